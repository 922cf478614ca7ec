/** A destination that refuses our credentials: one fresh token, then stop, keep what waits, probe, and resume when it works. */

import { afterEach, describe, expect, it, vi } from "vitest";
import { diagnose } from "../../../src/ops/diagnose/index.ts";
import { type Api, everySuccess, startApi } from "../../support/api.ts";
import { OTHER_TENANT, readingOf, startTestQueue, type TestQueue } from "../../support/queue.ts";
import { scaled } from "../../support/speed.ts";
import { until } from "../../support/wait.ts";

vi.setConfig({ testTimeout: scaled(60_000), hookTimeout: scaled(60_000) });

let rig: TestQueue;
let api: Api | undefined;
afterEach(async () => {
  await rig.close();
  await api?.stop();
  api = undefined;
});

const fleet = (n: number, prefix = "v", secondsAgo = 1) =>
  Array.from({ length: n }, (_, i) => readingOf(`${prefix}${i}`, secondsAgo));

describe("a token that was revoked", () => {
  it("is replaced at once, and the batch is sent with the new one", async () => {
    rig = await startTestQueue({ destination: { lanes: 1 } });
    await rig.store(fleet(5));
    await rig.empty();
    rig.sandbox.faults.set({ kind: "token_revoked" });
    await rig.store(fleet(5, "w"));
    expect(await rig.empty()).toMatchObject({ delivered: 10 });
    expect(rig.sandbox.requests().map(({ status }) => status)).toEqual([200, 401, 200]);
    expect(rig.sandbox.summary().tokensIssued).toBe(2);
    expect((await rig.statusOf()).gate.state).toBe("open");
    expect(rig.reported.some(({ name }) => name === "gateChanged")).toBe(false);
    // Every POST is reported, the one that was refused as well.
    expect(
      rig.reported.filter(({ name }) => name === "attemptMade").map(({ event }) => event.status),
    ).toEqual([200, 401, 200]);
  });

  it("in the middle of a stream costs nothing", async () => {
    rig = await startTestQueue({ destination: { maxBatchPings: 10 } });
    // A token that was never accepted and is refused is no case for another one.
    await rig.store(fleet(1, "first"));
    await rig.empty();
    for (let i = 0; i < 10; i++) {
      await rig.store(fleet(20, `r${i}-`));
      if (i === 5) rig.sandbox.faults.set({ kind: "token_revoked" });
    }
    expect(await rig.empty()).toMatchObject({ delivered: 201 });
    expect(rig.sandbox.summary()).toMatchObject({ accepted: 201, distinct: 201 });
    expect(await rig.mismatches()).toEqual([]);
  });
});

describe("a token endpoint that is down", () => {
  it("pauses the scope, and all goes on when it is back", async () => {
    rig = await startTestQueue();
    rig.sandbox.faults.set({ kind: "token_down", status: 503 });
    await rig.store(fleet(20));
    await until(async () => (await rig.statusOf()).scopeGate.reason === "token_unavailable", {
      what: "the pause",
    });
    expect(rig.sandbox.summary().requests).toBe(0);
    expect(await rig.account()).toMatchObject({ stored: 20, delivered: 0 });
    rig.sandbox.faults.clear();
    expect(await rig.empty(40_000)).toMatchObject({ delivered: 20 });
    expect(await rig.mismatches()).toEqual([]);
  });
});

describe("a destination that does not answer", () => {
  it("is reported within seconds, long before a request times out, and no longer once others are answered", async () => {
    let hangs = true;
    const never: (() => void)[] = [];
    const to = await startApi(async (pings) => {
      if (hangs) await new Promise<void>((resolve) => never.push(resolve));
      return everySuccess(pings);
    });
    api = to;
    // Several lanes: a request that hangs holds up its own.
    rig = await startTestQueue({ apiUrl: to.url, requestTimeoutMs: 60_000, destination: { lanes: 8 } });
    const reported = async () => {
      const queue = await rig.queue.queryStatus();
      return diagnose({ queue, brokers: [], pollers: [], clocks: [] }).find(({ what }) =>
        what.includes("has given no answer"),
      );
    };
    await rig.store(fleet(1));
    await until(() => never.length === 1, { what: "a request" });
    const since = performance.now();
    expect(await reported()).toBe(undefined);
    const problem = await until(reported, { what: "the problem" });
    expect(performance.now() - since).toBeGreaterThan(4000);
    expect(problem).toMatchObject({ severity: "warning", where: "destination acme" });
    // Cured for the others, though this one still hangs.
    hangs = false;
    await rig.store(fleet(30, "w"));
    await until(async () => (await reported()) === undefined, { what: "the end of it" });
    for (const answer of never) answer();
    expect(await rig.empty()).toMatchObject({ delivered: 31 });
  }, 60_000);

  it("is not said of batches that wait for a gate or the throttle", async () => {
    rig = await startTestQueue({ destination: { lanes: 2, ratePerSecond: 1, maxBatchPings: 1 } });
    rig.sandbox.faults.set({ kind: "status", status: 503 });
    await rig.store(fleet(12));
    await until(async () => (await rig.statusOf()).scopeGate.reason === "http_503", { what: "the gate" });
    rig.sandbox.faults.clear();
    let most = 0;
    await until(
      async () => {
        const { lanes, waiting, inFlight } = await rig.statusOf();
        most = Math.max(most, ...lanes.map(({ unansweredMs }) => unansweredMs ?? 0));
        return waiting + inFlight === 0;
      },
      { withinMs: 40_000, what: "an empty queue" },
    );
    expect(most).toBeLessThan(5000);
  }, 60_000);
});

describe("a destination that says no", () => {
  it.each([
    { status: 401, reason: "unauthorized" },
    { status: 403, reason: "forbidden" },
    { status: 404, reason: "not_found" },
    { status: 418, reason: "http_418" },
  ])(
    "with $status is asked again with a fresh token where that may help, then blocked and probed",
    async ({ status, reason }) => {
      const to = await startApi(() => ({ status, body: { statusCode: status, message: "no" } }));
      api = to;
      rig = await startTestQueue({ apiUrl: to.url, destination: { lanes: 2 } });
      await rig.store(fleet(20));
      await until(async () => (await rig.statusOf()).gate.reason === reason, { what: "the block" });
      const before = to.requests.length;
      expect(before).toBeLessThanOrEqual(4);
      expect((await rig.statusOf()).gate.untilMs ?? 0).toBeGreaterThan(Date.now() + 5000);
      expect(await rig.account()).toMatchObject({ stored: 20, delivered: 0, deadLettered: 0 });
      expect(await rig.mismatches()).toEqual([]);
      to.answers(everySuccess);
      expect(await rig.emptyInHaste(60_000)).toMatchObject({ delivered: 20 });
      // One probe went first and opened the gate.
      expect(to.requests.slice(before).every((each) => each.status === 200)).toBe(true);
      expect(await rig.mismatches()).toEqual([]);
    },
    90_000,
  );

  it("does not hold up the scope's other destinations, not even while it is being probed", async () => {
    const mapping = (_: string, device: string) => {
      const unit = { unitId: device, unitName: device, technician: null };
      return [{ destination: device.startsWith("b") ? "beta" : "acme", unit }];
    };
    rig = await startTestQueue({ more: { beta: {} }, mapping });
    const beta = rig.destinations.get("beta");
    if (!beta) throw new Error("no beta");
    beta.target = { ...beta.target, provider: "nobody-knows-it" };
    await rig.store(fleet(5, "b"));
    await until(async () => (await rig.statusOf("beta")).gate.reason === "not_found", { what: "the block" });
    // A pause of the scope, from which the blocked one takes the probe as likely as the other.
    rig.sandbox.faults.set({ kind: "throttle", hint: "seconds", seconds: 1, times: 1 });
    await rig.db.hset(`${rig.destination.keyPrefix}:gate:beta`, "until", Date.now() + 1500);
    await rig.store(fleet(5, "a"));
    await until(() => rig.sandbox.pings().length === 5, {
      what: "the other destination's pings",
      withinMs: 10_000,
    });
    await rig.store(fleet(5, "a2-"));
    await until(() => rig.sandbox.pings().length === 10, { what: "more of them", withinMs: 10_000 });
    expect(await rig.mismatches()).toEqual([]);
  });

  it("lets what waits there expire, and batches that were formed as well", async () => {
    const to = await startApi(() => ({ status: 404, body: "" }));
    api = to;
    rig = await startTestQueue({ apiUrl: to.url, destination: { maxAgeMs: 8000 } });
    for (let i = 0; i < 3; i++) await rig.store([...fleet(20, "u", 3 - i), ...fleet(20, `w${i}-`)]);
    await until(async () => (await rig.statusOf()).gate.reason === "not_found", { what: "the block" });
    expect(await rig.empty(30_000)).toMatchObject({
      stored: 120,
      delivered: 0,
      deadLettered: 0,
      expired: 120,
    });
    expect(await rig.mismatches()).toEqual([]);
  });

  it("of one tenant does not concern another tenant's scope", async () => {
    const mapping = (_: string, device: string) => {
      const unit = { unitId: device, unitName: device, technician: null };
      return [{ destination: device.startsWith("b") ? "beta" : "acme", unit }];
    };
    rig = await startTestQueue({ more: { beta: {} }, mapping });
    const acme = rig.destinations.get("acme");
    if (!acme) throw new Error("no acme");
    acme.target = { ...acme.target, tenant: "999" };
    const beta = rig.destinations.get("beta");
    if (!beta) throw new Error("no beta");
    beta.target = { ...beta.target, tenant: OTHER_TENANT };
    await rig.store([...fleet(5, "a"), ...fleet(5, "b")]);
    await until(() => rig.sandbox.pings({ tenant: OTHER_TENANT }).length === 5, {
      what: "the other tenant's pings",
    });
    expect(await rig.mismatches()).toEqual([]);
  });
});
