/** Vendors that tell where vehicles are now, against stand-ins: nothing is lost, and nothing is sent twice without need. */

import { describe, expect, it } from "vitest";
import { findAdapter } from "../../../src/adapters/index.ts";
import type { MemoryStore } from "../../support/memory-store.ts";
import { type PolledVendor, startPolledVendor } from "../../support/polled-vendor.ts";
import { type PollingOptions, usePollings } from "../../support/polling.ts";
import { FLEET, fordPro, reveal, type SnapshotVendor, tracksolid } from "../../support/snapshot-vendors.ts";
import { until } from "../../support/wait.ts";

const pollings = usePollings();

async function serve(standIn: SnapshotVendor): Promise<PolledVendor> {
  return pollings.closing(await startPolledVendor(standIn.answer));
}

function poll(
  { vendor, account, options }: SnapshotVendor,
  { url }: PolledVendor,
  more: Partial<PollingOptions> = {},
) {
  const source = { options: findAdapter(vendor)?.options?.parse(options) };
  return pollings.start({
    vendor,
    baseUrl: url,
    account,
    source,
    pull: { minGapMs: 1 },
    intervalMs: 10,
    ...more,
  });
}

function rejections({ entries }: MemoryStore): string[] {
  return entries.flatMap((entry) =>
    entry.kind === "decoded"
      ? [...entry.rejections].flatMap(([reason, count]) => new Array<string>(count).fill(reason))
      : [],
  );
}

/** More than one request brings: pages, or chunks, or one request each. */
const SIZE = 120;

describe.each([
  ["verizon-reveal", reveal],
  ["ford-pro", fordPro],
  ["tracksolid", tracksolid],
])("%s", (_, make) => {
  it("brings every vehicle once, and again when it has moved", async () => {
    const standIn = make(SIZE);
    const server = await serve(standIn);
    const { store } = poll(standIn, server);
    const devices = () => store.stored().map(({ deviceId }) => deviceId);
    await until(() => devices().length >= SIZE, { what: "the fleet" });
    expect(devices()).toEqual(FLEET(SIZE));
    const soFar = server.asked.length;
    await until(() => server.asked.length > soFar + standIn.round(SIZE), { what: "a round without news" });
    expect(devices()).toEqual(FLEET(SIZE));
    standIn.move();
    await until(() => devices().length >= 2 * SIZE, { what: "the fleet elsewhere" });
    expect(devices().slice(SIZE).sort()).toEqual(FLEET(SIZE));
    expect(standIn.logins()).toBe(1);
  });

  it("goes on where it was when its session ends in the midst of a round", async () => {
    const standIn = make(SIZE);
    const server = await serve(standIn);
    const { store, told, poller } = poll(standIn, server);
    await until(() => store.stored().length > 0, { what: "the first page" });
    standIn.endSessions();
    await until(() => standIn.logins() === 2 && store.stored().length >= SIZE, { what: "the rest" });
    standIn.move();
    await until(() => store.stored().length >= 2 * SIZE, { what: "the fleet elsewhere" });
    expect(store.stored().length).toBe(2 * SIZE);
    expect(told.pollMade.filter(({ outcome }) => outcome === "session_expired").length).toBe(1);
    expect(poller.state().state).toBe("polling");
  });

  it("waits when it asks too often, and loses nothing by it", async () => {
    const standIn = make(SIZE);
    const { answer } = standIn;
    let left = 2;
    standIn.answer = (asked) => (standIn.logins() === 1 && left-- > 0 ? standIn.tooOften : answer(asked));
    const { store, told } = poll(standIn, await serve(standIn));
    await until(() => store.stored().length >= SIZE, { what: "the fleet" });
    expect(store.stored().map(({ deviceId }) => deviceId)).toEqual(FLEET(SIZE));
    expect(told.pollMade.filter(({ outcome }) => outcome === "throttled").length).toBe(2);
  });

  it("brings the whole fleet after a restart in the midst of a round", async () => {
    const standIn = make(SIZE);
    const server = await serve(standIn);
    const first = poll(standIn, server, { name: `restarted-${standIn.vendor}` });
    await until(() => first.store.stored().length > 0, { what: "the first page" });
    await first.poller.close(1000);
    standIn.move();
    const { store } = poll(standIn, server, { name: `restarted-${standIn.vendor}`, store: first.store });
    const later = () =>
      store.stored().filter(({ fixTime }) => fixTime > (first.store.stored()[0]?.fixTime ?? 0));
    await until(() => later().length >= SIZE, { what: "the fleet elsewhere" });
    expect(new Set(later().map(({ deviceId }) => deviceId))).toEqual(new Set(FLEET(SIZE)));
  });

  it("sends a page again that could not be stored, and none of it is passed over", async () => {
    const standIn = make(SIZE);
    const server = await serve(standIn);
    const { store } = poll(standIn, server);
    let failures = 0;
    store.before = () => {
      if (++failures <= 2) throw new Error("not now");
    };
    await until(() => store.stored().length >= SIZE, { what: "the fleet" });
    expect(store.stored().map(({ deviceId }) => deviceId)).toEqual(FLEET(SIZE));
  });
});

describe("verizon-reveal", () => {
  it("finds the one vehicle for which all others are refused, and asks for it no more", async () => {
    const standIn = reveal(SIZE);
    const refused = "V1042";
    const answer = standIn.answer;
    standIn.answer = (asked) =>
      asked.body.includes(refused) ? { status: 400, body: "outside the data plan" } : answer(asked);
    const { store } = poll(standIn, await serve(standIn));
    await until(() => store.stored().length >= SIZE - 1, { what: "all others" });
    expect(new Set(store.stored().map(({ deviceId }) => deviceId))).toEqual(
      new Set(FLEET(SIZE).filter((number) => number !== refused)),
    );
    expect(rejections(store)).toEqual(["no_fix"]);
  });

  it("tells of vehicles without a number, and asks for the others", async () => {
    const standIn = reveal(2);
    const answer = standIn.answer;
    standIn.answer = (asked) => {
      const { status, body } = answer(asked);
      return asked.path === "/cmd/v1/vehicles" && Array.isArray(body)
        ? { status, body: { Vehicles: [...body, { VehicleNumber: "", Name: "New van" }, { VehicleId: 9 }] } }
        : { status, body };
    };
    const { store } = poll(standIn, await serve(standIn));
    await until(() => store.stored().length === 2, { what: "the others" });
    expect(rejections(store)).toEqual(["no_device", "no_device"]);
  });

  it.each([['"a-token-1"'], ['{"Token":"a-token-1"}'], ["a-token-1\r\n"]])(
    "reads a token sent as %j",
    async (token) => {
      const standIn = reveal(1);
      const { answer } = standIn;
      standIn.answer = (asked) => {
        const given = answer(asked);
        return asked.path === "/token" ? { ...given, body: token } : given;
      };
      const { store } = poll(standIn, await serve(standIn));
      await until(() => store.stored().length === 1, { what: "a position" });
    },
  );
});

describe("ford-pro", () => {
  it("passes over vans that are not enrolled, and tells of each once", async () => {
    const standIn = fordPro(6);
    const { answer } = standIn;
    const bad: Record<string, number> = { V1001: 412, V1003: 404, V1005: 403 };
    standIn.answer = (asked) => {
      const status = bad[/V\d+/.exec(asked.path)?.[0] ?? ""];
      return status === undefined ? answer(asked) : { status, body: { message: "not this one" } };
    };
    const server = await serve(standIn);
    const { store } = poll(standIn, server);
    await until(() => server.asked.length > 30, { what: "some rounds" });
    expect(store.stored().map(({ deviceId }) => deviceId)).toEqual(["V1000", "V1002", "V1004"]);
    expect(rejections(store)).toEqual(["no_fix", "no_fix", "no_fix"]);
  });

  it("says so when it may ask for no van at all", async () => {
    const standIn = fordPro(3);
    const { answer } = standIn;
    standIn.answer = (asked) =>
      asked.path.includes("/status") ? { status: 403, body: { message: "no" } } : answer(asked);
    const { poller } = poll(standIn, await serve(standIn));
    await until(() => poller.state().state === "refused", { what: "a refusal" });
    expect(poller.state()).toMatchObject({ reason: "forbidden", detail: "HTTP 403 for every van" });
  });

  it("renews its token before it ends, and does not log in for ever where clocks differ", async () => {
    const standIn = fordPro(20);
    const { answer } = standIn;
    standIn.answer = (asked) => {
      const given = answer(asked);
      if (!asked.path.endsWith("/token") || typeof given.body !== "object") return given;
      // From the second on as if the vendor's clock were an hour behind ours.
      const endsAt = Date.now() + (standIn.logins() === 1 ? 30_300 : -3_600_000);
      return { ...given, body: { ...given.body, expires_in: String(endsAt) } };
    };
    const server = await serve(standIn);
    const { told } = poll(standIn, server);
    await until(() => standIn.logins() === 2, { what: "a renewal ahead of time" });
    const asked = server.asked.length;
    await until(() => server.asked.length > asked + 30, { what: "more rounds" });
    expect(standIn.logins()).toBe(2);
    expect(told.pollMade.some(({ outcome }) => outcome === "session_expired")).toBe(false);
  });

  it("ends a list whose pages do not end", async () => {
    const standIn = fordPro(3);
    const { answer } = standIn;
    let pages = 0;
    standIn.answer = (asked) => {
      const given = answer(asked);
      return asked.path.includes("/vehicles?") && typeof given.body === "object"
        ? { ...given, body: { ...given.body, next_page: `page-${++pages}` } }
        : given;
    };
    const { store } = poll(standIn, await serve(standIn));
    await until(() => store.stored().length > 0, { what: "a position" });
    expect(pages).toBe(100);
  });
});
