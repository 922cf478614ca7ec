/** Pollers against a stand-in for Geotab: sessions, the host it names, device names, and errors that come with 200. */

import { expect, test, vi } from "vitest";
import type { LogRecord } from "../../support/geotab.ts";
import { GEOTAB_ACCOUNT, type Geotab, geotabError, startGeotab } from "../../support/geotab.ts";
import { distinctReadings, type PollingOptions, usePollings, viaHosts } from "../../support/polling.ts";
import { scaled } from "../../support/speed.ts";
import { until } from "../../support/wait.ts";

vi.setConfig({ testTimeout: scaled(130_000), hookTimeout: scaled(130_000) });

const pollings = usePollings();

async function geotab(options?: Parameters<typeof startGeotab>[0]): Promise<Geotab> {
  return pollings.closing(await startGeotab(options));
}

function poll(vendor: Geotab, options: Partial<PollingOptions> = {}) {
  return pollings.start({ vendor: "geotab", baseUrl: vendor.url, account: GEOTAB_ACCOUNT, ...options });
}

const NOW = Date.now();

function record(device: string, secondsAgo: number): LogRecord {
  const dateTime = new Date(NOW - secondsAgo * 1000).toISOString();
  return { device, dateTime, latitude: 45.5, longitude: -73.57, speed: 54 };
}

const paramsOf = ({ body }: { body: string }) => JSON.parse(body).params;

test("logs in, learns names, starts as far back as fixes are wanted, and goes on by version", async () => {
  const vendor = await geotab();
  vendor.name("b1", "Van 1");
  vendor.record(record("b1", 3600), record("b1", 100), record("b2", 90));
  const { store } = poll(vendor, { source: { maxAgeMs: 600_000 } });
  await until(() => store.stored().length === 2, { what: "the first page" });
  expect(vendor.calls().slice(0, 3)).toEqual(["Authenticate", "Get Device", "GetFeed LogRecord"]);
  const { search } = paramsOf(vendor.asked[2] ?? { body: "{}" });
  expect(Date.parse(search.fromDate)).toBeGreaterThan(NOW - 601_000);
  expect(distinctReadings(store).map(({ deviceId, details }) => [deviceId, details?.deviceName])).toEqual([
    ["b1", "Van 1"],
    ["b2", undefined],
  ]);
  // A buffered upload comes later with an older time: still a fix, and its age is judged like any other's.
  vendor.record(record("b1", 300));
  await until(() => store.stored().length === 3, { what: "the late one" });
  const lastParams = () => paramsOf(vendor.asked.at(-1) ?? { body: "{}" });
  await until(() => lastParams().fromVersion === "0000000000000004", { what: "the next version" });
});

test("goes where the login sends it, if that is Geotab's, and logs in where it began", async () => {
  const vendor = await geotab({ path: "my184.geotab.com" });
  const http = viaHosts({ "https://my.geotab.com": vendor.url, "https://my184.geotab.com": vendor.url });
  const { poller } = poll(vendor, { baseUrl: "https://my.geotab.com", http });
  await until(() => poller.state().state === "polling", { what: "a page" });
  expect(http.hosts.slice(0, 3)).toEqual(["my.geotab.com", "my184.geotab.com", "my184.geotab.com"]);
  vendor.endSessions();
  await until(() => http.hosts.filter((host) => host === "my.geotab.com").length === 2, { what: "a login" });
});

test.each([
  "evil.example",
  "geotab.com.evil.example",
  "my.geotab.com:8443",
  "my.geotab.com/x",
  "a@b.geotab.com",
])("does not follow a login to %s", async (path) => {
  const vendor = await geotab({ path });
  const http = viaHosts({ "https://my.geotab.com": vendor.url });
  const { poller } = poll(vendor, { baseUrl: "https://my.geotab.com", http });
  await until(() => poller.state().state === "refused", { what: "the refusal" });
  expect(poller.state()).toMatchObject({ reason: "foreign_host" });
  expect(http.hosts).toEqual(["my.geotab.com"]);
});

test("a session that ended is replaced once, and the call repeated with the same version", async () => {
  const vendor = await geotab();
  vendor.record(record("b1", 100));
  const { store, told } = poll(vendor);
  vendor.record(record("b1", 90));
  await until(() => store.stored().length > 0, { what: "a page" });
  vendor.endSessions();
  vendor.record(record("b1", 80));
  const stored = store.stored().length;
  await until(() => store.stored().length > stored, { what: "the page of the new session" });
  expect(vendor.calls().filter((call) => call === "Authenticate")).toHaveLength(2);
  await until(() => told.pollStateChanged.length > 0, { what: "word that a page was stored" });
  expect(told.pollStateChanged).toMatchObject([{ state: "polling" }]);
});

test("a wrong password is tried once", async () => {
  const vendor = await geotab();
  const { poller } = poll(vendor, { account: { ...GEOTAB_ACCOUNT, secret: "another" } });
  await until(() => poller.state().state === "refused", { what: "the refusal" });
  expect(poller.state()).toMatchObject({ reason: "unauthorized", detail: "InvalidUserException" });
  expect(vendor.calls()).toEqual(["Authenticate"]);
});

test("errors that come with 200 are told apart by type: quota, database, load balancer; then data", async () => {
  const vendor = await geotab();
  const first = poll(vendor);
  await until(() => first.poller.state().state === "polling", { what: "a start" });
  const before = vendor.asked.length;
  vendor.instead.push(
    geotabError("OverLimitException", { "retry-after": "1" }),
    geotabError("DbUnavailableException"),
    { status: 502, headers: { "content-type": "text/html" }, body: "<html>Bad Gateway</html>" },
  );
  vendor.record(record("b1", 50));
  await until(() => first.store.stored().length === 1, { what: "the data behind them" });
  // Reported once the cursor is written, a moment after the page is stored.
  await until(() => first.told.pollStateChanged.length === 5, { what: "word that all is well again" });
  const states = first.told.pollStateChanged.map(({ state, reason, detail }) => [state, reason, detail]);
  expect(states).toEqual([
    ["polling", null, ""],
    ["throttled", "throttled", ""],
    ["failing", "vendor_unavailable", "DbUnavailableException"],
    ["failing", "http_502", "HTTP 502"],
    ["polling", null, ""],
  ]);
  const throttled = vendor.asked
    .slice(before)
    .find(({ at }, index, all) => (all[index + 1]?.at ?? 0) - at > 990);
  expect(throttled).toBeDefined();
  // Nothing of it ended the session.
  expect(vendor.calls().filter((call) => call === "Authenticate")).toHaveLength(1);
});

test("an error of an unknown kind passes by itself, and is named", async () => {
  const vendor = await geotab();
  vendor.instead.push(geotabError("SomethingNewException"));
  const { poller, told } = poll(vendor);
  await until(() => poller.state().state === "polling", { what: "a start" });
  const [first] = told.pollStateChanged;
  expect(first).toMatchObject({ state: "failing", reason: "vendor_error", detail: "SomethingNewException" });
});

test("a limit without a wait is a refusal, not a pause", async () => {
  const vendor = await geotab();
  const { poller } = poll(vendor);
  await until(() => poller.state().state === "polling", { what: "a start" });
  vendor.instead.push(geotabError("OverLimitException"));
  await until(() => poller.state().state === "refused", { what: "the refusal" });
  expect(poller.state()).toMatchObject({ reason: "over_limit" });
});

test("many failures in a row make it log in again: the account may have moved", async () => {
  const vendor = await geotab();
  const { poller, store } = poll(vendor, { pull: { minGapMs: 1 } });
  await until(() => poller.state().state === "polling", { what: "a start" });
  vendor.instead.push(...Array.from({ length: 3 }, () => geotabError("ServiceUnavailableException")));
  await until(() => vendor.instead.length === 0, { what: "the failures" });
  vendor.record(record("b1", 10));
  await until(() => store.stored().length === 1, { what: "data" });
  expect(vendor.calls().filter((call) => call === "Authenticate")).toHaveLength(2);
});

test("a full page is followed at once by the next", async () => {
  const vendor = await geotab();
  vendor.record(...Array.from({ length: 5003 }, (_, index) => record(`b${index}`, 100)));
  const { store } = poll(vendor, { intervalMs: 60_000, source: { maxAgeMs: 600_000 } });
  await until(() => store.stored().length === 5003, { what: "both pages", withinMs: 60_000 });
  expect(store.entries.map((entry) => entry.kind === "decoded" && entry.rawReadings)).toEqual([5000, 3]);
});

test("names come in pages, and a device without a name makes it ask once more", async () => {
  const vendor = await geotab();
  for (let index = 0; index < 5002; index++)
    vendor.name(`b${String(index).padStart(4, "0")}`, `Van ${index}`);
  vendor.record(record("b5001", 100), record("b9999", 100));
  const { store } = poll(vendor, { source: { maxAgeMs: 600_000 } });
  const names = () => distinctReadings(store).map(({ details }) => details?.deviceName);
  await until(() => names().length === 2, { what: "a page", withinMs: 60_000 });
  expect(names()).toEqual(["Van 5001", undefined]);
  const asksForNames = () => vendor.calls().filter((call) => call === "Get Device").length;
  await until(() => asksForNames() === 4, { what: "the names again", withinMs: 60_000 });
  vendor.name("b9998", "Van new");
  vendor.record(record("b9999", 50), record("b9998", 50));
  await until(() => asksForNames() === 6, { what: "the names once more", withinMs: 60_000 });
  vendor.record(record("b9999", 40), record("b9998", 40));
  await until(() => names().length === 6, { what: "the last page", withinMs: 60_000 });
  expect(names().slice(4)).toEqual([undefined, "Van new"]);
  expect(asksForNames()).toBe(6);
});

test("an account that may not list devices still brings their positions", async () => {
  const vendor = await geotab({ mayList: "nothing" });
  vendor.name("b1", "Van 1");
  vendor.record(record("b1", 100));
  const { store } = poll(vendor);
  await until(() => store.stored().length === 1, { what: "the position" });
  expect(distinctReadings(store)[0]?.details).toBeUndefined();
});
