/** Pollers against a stand-in for Samsara: what is read, when it counts as read, and what happens when it cannot be. */

import { once } from "node:events";
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { StoreError } from "../../../src/ingest/store.ts";
import type { CursorStore } from "../../../src/inputs/poll/cursor.ts";
import { createPullHttp } from "../../../src/inputs/poll/http.ts";
import { USER_AGENT } from "../../../src/version.ts";
import { door, memoryStore } from "../../support/memory-store.ts";
import { distinctReadings, NO_PROXY, type PollingOptions, usePollings } from "../../support/polling.ts";
import { SAMSARA_TOKEN, type Samsara, type SamsaraFix, startSamsara } from "../../support/samsara.ts";
import { until } from "../../support/wait.ts";

const pollings = usePollings();

async function samsara(options?: Parameters<typeof startSamsara>[0]): Promise<Samsara> {
  return pollings.closing(await startSamsara(options));
}

function poll(vendor: Samsara, options: Partial<PollingOptions> = {}) {
  const account = { secret: SAMSARA_TOKEN };
  return pollings.start({ vendor: "samsara-feed", baseUrl: vendor.url, account, ...options });
}

const NOW = Date.now();
const DAY_MS = 86_400_000;

/** `vehicle`'s fix so many seconds ago. */
function fix(vehicle: string, secondsAgo: number): SamsaraFix {
  const time = new Date(NOW - secondsAgo * 1000).toISOString();
  return { vehicle, time, latitude: 32.78, longitude: -96.8, speedMilesPerHour: 30 };
}

const cursorIn = (text: string | null) => JSON.parse(text ?? "{}").cursor;
const afterOf = (path: string) => new URL(path, "http://x").searchParams.get("after");

test("reads page after page without waiting, then everything that is new", async () => {
  const vendor = await samsara({ pageFixes: 2 });
  vendor.report(...["1", "2", "3", "4", "5"].map((vehicle) => fix(vehicle, 30)));
  // Nothing but the first three pages could come within this interval.
  const { store, poller } = poll(vendor, { intervalMs: 60_000 });
  await until(() => store.stored().length === 5, { what: "three pages" });
  expect(vendor.asked.map(({ path }) => afterOf(path)).slice(0, 2)).toEqual([null, expect.any(String)]);
  await until(() => poller.state().state === "polling", { what: "a success" });

  const soon = poll(vendor);
  await until(() => soon.store.stored().length === 5, { what: "the same from the beginning" });
  vendor.report(fix("1", 10), fix("6", 9));
  await until(() => soon.store.stored().length === 7, { what: "what is new" });
  expect(soon.store.entries.at(-1)).toMatchObject({ kind: "decoded", rawReadings: 2 });
});

test("names itself to the vendor", async () => {
  const vendor = await samsara();
  poll(vendor);
  await until(() => vendor.asked.length > 0, { what: "a request" });
  expect(vendor.asked[0]?.headers).toMatchObject({ "user-agent": USER_AGENT });
});

test("an empty page is no message, and its cursor counts", async () => {
  const vendor = await samsara();
  const { store, poller, source } = poll(vendor);
  await until(() => vendor.asked.length > 3, { what: "some requests" });
  expect(store.entries).toEqual([]);
  expect(poller.state()).toMatchObject({ state: "polling", reason: null, gap: null });
  // The next request may have begun while this one's cursor is being written.
  await until(
    async () =>
      cursorIn(await pollings.cursors.load(source.name)) === afterOf(vendor.asked.at(-1)?.path ?? ""),
    { what: "the last cursor to be stored" },
  );
});

test("months-old fixes of a first call are rejected by their age, and counted", async () => {
  const vendor = await samsara();
  vendor.report(fix("1", 30), fix("2", 200 * 86_400), fix("3", 3600));
  const { store } = poll(vendor, { source: { maxAgeMs: 600_000 } });
  const [entry] = await until(() => store.entries.length > 0 && store.entries, { what: "the first page" });
  expect(entry).toMatchObject({ rawReadings: 3, rejections: new Map([["too_old", 2]]) });
  expect(store.stored()).toHaveLength(1);
});

test("without a limit of age, what a start without a cursor brings is a day old at most, on all its pages", async () => {
  const vendor = await samsara({ pageFixes: 2 });
  const fixes = ["1", "2", "3", "4", "5"].map((vehicle) => fix(vehicle, 200 * 86_400));
  vendor.report(...fixes, fix("6", 7200));
  const { store } = poll(vendor, { source: { maxAgeMs: Number.POSITIVE_INFINITY } });
  await until(() => store.entries.length === 3, { what: "all pages" });
  expect(store.stored().map(({ deviceId }) => deviceId)).toEqual(["6"]);
  // Behind them the source's own limit holds: what a vehicle uploads late is not a last place handed out as live.
  vendor.report(fix("1", 100 * 86_400));
  await until(() => store.stored().length === 2, { what: "the late one" });
});

test("goes on after a restart where the last stored page ended", async () => {
  const vendor = await samsara();
  vendor.report(fix("1", 60));
  const first = poll(vendor, { name: "restarted" });
  await until(() => first.poller.state().lastSuccessAtMs !== null, { what: "a page" });
  await first.poller.close(1000);
  vendor.report(fix("1", 50), fix("1", 40));
  const second = poll(vendor, { name: "restarted" });
  await until(() => second.store.stored().length === 2, { what: "what came meanwhile" });
  expect(second.store.stored().map(({ fixTime }) => fixTime)).toEqual([NOW - 50_000, NOW - 40_000]);
});

test("another account or address begins anew, without a gap", async () => {
  const [one, other] = [await samsara(), await samsara()];
  one.report(fix("1", 60));
  other.report(fix("9", 60));
  const first = poll(one, { name: "moved" });
  await until(() => first.store.stored().length === 1, { what: "the first account" });
  await first.poller.close(1000);
  const second = poll(other, { name: "moved" });
  await until(() => second.store.stored().length === 1, { what: "the other account" });
  expect(afterOf(other.asked[0]?.path ?? "")).toBeNull();
  expect(second.told.pollGap).toEqual([]);
});

test("what comes again on the next page is a duplicate and nothing else", async () => {
  const vendor = await samsara({ pageFixes: 10, repeats: 4 });
  vendor.report(...Array.from({ length: 40 }, (_, index) => fix(`v${index}`, 30)));
  const { store } = poll(vendor);
  await until(() => distinctReadings(store).length === 40, { what: "all vehicles" });
  expect(store.stored().length).toBeGreaterThan(40);
});

test("the cursor does not move before the page is stored", async () => {
  const vendor = await samsara();
  vendor.report(fix("1", 30));
  const store = memoryStore();
  let refusals = 0;
  store.before = () => {
    refusals += 1;
    throw new StoreError("buffer_full", 30);
  };
  const stopped = poll(vendor, { name: "deferred", store });
  await until(() => refusals > 1, { what: "the page being offered again" });
  expect(await pollings.cursors.load("deferred")).toBeNull();
  await stopped.poller.close(0);
  expect(await pollings.cursors.load("deferred")).toBeNull();

  const next = poll(vendor, { name: "deferred" });
  await until(() => next.store.stored().length === 1, { what: "the same page" });
  await until(() => pollings.cursors.load("deferred"), { what: "its cursor" });
});

test("a crash between storing the page and moving the cursor reads the page twice and loses nothing", async () => {
  const vendor = await samsara();
  vendor.report(fix("1", 30), fix("2", 30));
  let failures = 0;
  const cursors: CursorStore = {
    load: (source) => pollings.cursors.load(source),
    async replace(...place) {
      if (failures++ === 0) throw new Error("connection lost");
      return pollings.cursors.replace(...place);
    },
  };
  const { store, told, poller } = poll(vendor, { cursors });
  await until(() => poller.state().state === "polling", { what: "a success" });
  expect(store.entries.map((entry) => entry.kind === "decoded" && entry.rawReadings)).toEqual([2, 2]);
  expect(distinctReadings(store)).toHaveLength(2);
  expect(vendor.asked.slice(0, 2).map(({ path }) => afterOf(path))).toEqual([null, null]);
  expect(told.pollStateChanged).toMatchObject([
    { state: "failing", reason: "storage_unavailable" },
    { state: "polling", reason: null },
  ]);
});

test("two that ask at once lose nothing, and neither sets the other's cursor back", async () => {
  const vendor = await samsara({ pageFixes: 5 });
  const store = memoryStore();
  const both = [poll(vendor, { name: "shared", store }), poll(vendor, { name: "shared", store })];
  for (let round = 0; round < 10; round++) {
    vendor.report(...Array.from({ length: 7 }, (_, index) => fix(`v${index}`, 100 - round)));
    const asked = vendor.asked.length;
    await until(() => vendor.asked.length > asked + 2, { what: "further requests" });
  }
  await until(() => distinctReadings(store).length === 70, { what: "all fixes" });
  expect(both.flatMap(({ told }) => told.pollGap)).toEqual([]);
});

test("waits as long as the vendor says, fractions included, and goes on with the same cursor", async () => {
  const vendor = await samsara();
  vendor.report(fix("1", 30));
  const { store, told, poller } = poll(vendor);
  await until(() => store.stored().length === 1, { what: "a page" });
  const before = vendor.asked.length;
  vendor.instead.push(
    { status: 429, headers: { "retry-after": "0.618" }, body: { message: "slow down", requestId: "1" } },
    { status: 503, headers: { "retry-after": "1" }, body: "upstream unavailable" },
  );
  await until(() => vendor.instead.length === 0, { what: "both refusals" });
  vendor.report(fix("1", 20));
  await until(() => store.stored().length === 2, { what: "the page behind them" });
  const refused = vendor.asked.findIndex(
    ({ at }, index) => index >= before && (vendor.asked[index + 1]?.at ?? 0) - at > 600,
  );
  const [throttled, unavailable, answered] = vendor.asked.slice(refused, refused + 3);
  expect((unavailable?.at ?? 0) - (throttled?.at ?? 0)).toBeGreaterThan(610);
  expect((answered?.at ?? 0) - (unavailable?.at ?? 0)).toBeGreaterThan(990);
  expect(answered?.path).toBe(throttled?.path);
  // Reported once the page is stored, a moment after that.
  await until(() => told.pollStateChanged.length === 4, { what: "word that all is well again" });
  expect(told.pollStateChanged.map(({ state, reason }) => `${state} ${reason}`)).toEqual([
    "polling null",
    "throttled throttled",
    "failing http_503",
    "polling null",
  ]);
  expect(poller.state().state).toBe("polling");
});

test.each([
  [401, "unauthorized"],
  [403, "forbidden"],
  [404, "not_found"],
  [302, "redirect"],
] as const)("HTTP %i needs a person: %s", async (status, reason) => {
  const vendor = await samsara();
  vendor.instead.push({ status, headers: { location: "/elsewhere" }, body: "" });
  const { poller, told } = poll(vendor);
  await until(() => poller.state().state === "refused", { what: "the refusal" });
  expect(poller.state()).toMatchObject({ reason, lastSuccessAtMs: null });
  expect(told.pollMade).toHaveLength(1);
  // A redirect is not followed either.
  expect(vendor.asked).toHaveLength(1);
});

test.each([
  ["text where JSON should be", "upstream says hello", "unreadable_answer"],
  ["another shape", { data: [], pagination: {} }, "unreadable_answer"],
  ["a longer answer than anybody needs", "x".repeat(17_000_000), "answer_too_large"],
] as const)("%s costs an attempt and no fix", async (_, body, reason) => {
  const vendor = await samsara();
  vendor.report(fix("1", 30));
  vendor.instead.push({ status: 200, body });
  const { store, told } = poll(vendor);
  await until(() => store.stored().length === 1, { what: "the page after it" });
  expect(told.pollStateChanged[0]).toMatchObject({ state: "failing", reason });
});

test("an answer that does not come, or stops in the middle, costs an attempt and no fix", async () => {
  const vendor = await samsara();
  vendor.report(fix("1", 30));
  const silent = door();
  vendor.instead.push({ status: 200, body: {}, after: silent.opened });
  vendor.instead.push({ status: 200, headers: { "content-length": "500" }, body: '{"data":[' });
  const { store, told } = poll(vendor, { http: createPullHttp(NO_PROXY, 500) });
  await until(() => store.stored().length === 1, { what: "the page after them" });
  silent.open();
  // The cursor is written after the page is stored, and only then does it count as polling.
  await until(() => told.pollStateChanged.at(-1)?.reason === null, { what: "the poller to be well again" });
  expect(told.pollStateChanged[0]?.reason).toBe("timeout");
});

test("a damaged row costs itself and not its page, and reading goes on behind it", async () => {
  const vendor = await samsara();
  const { time, latitude, longitude } = fix("1", 30);
  const row = { id: "1", gps: [{ time, latitude, longitude }] };
  const page = {
    data: ["not a vehicle", row],
    pagination: { endCursor: "unknown-later", hasNextPage: false },
  };
  vendor.instead.push({ status: 200, body: page });
  const { store, source } = poll(vendor);
  await until(() => store.entries.length > 0, { what: "the page" });
  expect(store.entries[0]).toMatchObject({ rawReadings: 2, rejections: new Map([["no_device", 1]]) });
  expect(store.stored()).toHaveLength(1);
  await until(async () => cursorIn(await pollings.cursors.load(source.name)) === "unknown-later", {
    what: "its cursor",
  });
});

test("an empty cursor never takes the place of one that works", async () => {
  const vendor = await samsara();
  vendor.report(fix("1", 30));
  const { store, source } = poll(vendor);
  await until(() => store.stored().length === 1, { what: "a page" });
  vendor.instead.push({
    status: 200,
    body: { data: null, pagination: { endCursor: "", hasNextPage: true } },
  });
  await until(() => vendor.instead.length === 0, { what: "the odd page" });
  const asked = vendor.asked.length;
  await until(() => vendor.asked.length > asked + 1, { what: "further requests" });
  expect(afterOf(vendor.asked.at(-1)?.path ?? "")).toMatch(/^[0-9a-f-]{36}$/);
  expect(cursorIn(await pollings.cursors.load(source.name))).toMatch(/^[0-9a-f-]{36}$/);
});

test("a cursor that the vendor refuses again and again is given up, and the gap is reported", async () => {
  const vendor = await samsara();
  vendor.report(fix("1", 600));
  const { store, told, poller, source } = poll(vendor);
  await until(() => store.stored().length === 1, { what: "a page" });
  expect(poller.state().gap).toBeNull();
  vendor.forgetCursors();
  vendor.report(fix("1", 300), fix("1", 30));
  await until(() => store.stored().length === 2, { what: "a new beginning" });
  // Of the two since then the feed has only the newer: that is the gap.
  expect(store.stored().at(-1)?.fixTime).toBe(NOW - 30_000);
  const refusals = told.pollMade.filter(({ outcome }) => outcome === "cursor_refused");
  expect(refusals).toHaveLength(3);
  // Known once the cursor behind the page is stored, a moment after the page.
  const gap = await until(() => poller.state().gap, { what: "the gap" });
  expect(told.pollGap).toHaveLength(1);
  expect(gap.toMs).toBeGreaterThan(gap.fromMs);
  // The next poller still knows of it.
  await poller.close(1000);
  const next = poll(vendor, { name: source.name });
  await until(() => next.poller.state().gap, { what: "the gap" });
  expect(next.poller.state().gap).toEqual(gap);
});

test("a cursor refused once is no reason to give it up", async () => {
  const vendor = await samsara();
  vendor.report(fix("1", 60));
  const { store, told } = poll(vendor);
  await until(() => store.stored().length === 1, { what: "a page" });
  vendor.instead.push({ status: 400, body: { message: "a fault of theirs", requestId: "1" } });
  await until(() => vendor.instead.length === 0, { what: "the fault" });
  vendor.report(fix("1", 50), fix("1", 40));
  await until(() => store.stored().length === 3, { what: "both fixes" });
  expect(told.pollGap).toEqual([]);
});

test("a cursor unused for longer than the vendor remembers it is not tried", async () => {
  const vendor = await samsara();
  vendor.report(fix("1", 60));
  const first = poll(vendor, { name: "long-ago" });
  await until(() => first.poller.state().cursorAtMs !== null, { what: "a cursor" });
  await first.poller.close(1000);
  const text = (await pollings.cursors.load("long-ago")) ?? "";
  const at = Date.now() - 31 * DAY_MS;
  await pollings.cursors.replace("long-ago", text, JSON.stringify({ ...JSON.parse(text), at }));
  const asked = vendor.asked.length;
  const second = poll(vendor, { name: "long-ago" });
  await until(() => second.store.stored().length === 1, { what: "a new beginning" });
  expect(afterOf(vendor.asked[asked]?.path ?? "")).toBeNull();
  await until(() => second.poller.state().gap?.fromMs === at, { what: "the gap" });
  expect(second.told.pollGap).toMatchObject([{ from: new Date(at).toISOString() }]);
});

test("a stored cursor that cannot be read is like none", async () => {
  const vendor = await samsara();
  vendor.report(fix("1", 60));
  await pollings.cursors.replace("damaged", null, '{"cursor":');
  const { store, source } = poll(vendor, { name: "damaged" });
  await until(() => store.stored().length === 1, { what: "a beginning" });
  await until(async () => (await pollings.cursors.load(source.name))?.endsWith("}"), {
    what: "a good cursor",
  });
});

test("stops at once while it waits for the vendor, and lets what was fetched be stored", async () => {
  const vendor = await samsara();
  const never = door();
  vendor.instead.push({ status: 200, body: {}, after: never.opened });
  const waiting = poll(vendor);
  await until(() => vendor.asked.length === 1, { what: "the request" });
  await waiting.poller.close(60_000);
  expect(waiting.told.pollStateChanged).toEqual([]);
  never.open();

  vendor.report(fix("1", 30));
  const slow = door();
  const store = memoryStore();
  store.before = () => slow.opened;
  const keeping = poll(vendor, { name: "closing", store });
  await until(() => store.waiting() === 1, { what: "the store to be asked" });
  const closed = keeping.poller.close(60_000);
  slow.open();
  await closed;
  expect(store.stored()).toHaveLength(1);
  expect(cursorIn(await pollings.cursors.load("closing"))).toEqual(expect.any(String));
  const asked = vendor.asked.length;
  await keeping.poller.close(0);
  expect(vendor.asked).toHaveLength(asked);
});

test("the proxy of the environment is asked to open the way", async () => {
  const vendor = await samsara();
  vendor.report(fix("1", 30));
  const opened: string[] = [];
  const proxy = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (bytes) => void opened.push(bytes.toString().split("\r\n")[0] ?? ""));
    socket.once("data", () => socket.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"));
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const address = proxy.address();
  const port = typeof address === "object" ? address?.port : 0;
  const http = createPullHttp({ httpProxy: `http://127.0.0.1:${port}`, httpsProxy: null, noProxy: "" });
  const { poller } = poll(vendor, { http });
  await until(() => poller.state().state === "failing" || poller.state().state === "refused", {
    what: "a failure",
  });
  expect(opened[0]).toContain(new URL(vendor.url).host);
  expect(vendor.asked).toEqual([]);
  await poller.close(0);
  await http.close();
  proxy.close();
});
