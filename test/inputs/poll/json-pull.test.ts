/** A configured vendor at work: real HTTP, real Redis, the real poller; what it keeps, how it is renewed, what it survives. */

import { describe, expect, test } from "vitest";
import { findAdapter } from "../../../src/adapters/index.ts";
import type { PullRequest } from "../../../src/adapters/kit/pull.ts";
import type { CursorStore } from "../../../src/inputs/poll/cursor.ts";
import { createPullHttp } from "../../../src/inputs/poll/http.ts";
import { createPollLogins } from "../../../src/inputs/poll/logins.ts";
import { VANS } from "../../support/json-pull.ts";
import {
  type PolledVendor,
  startPolledVendor,
  type VendorAnswer,
  type VendorRequest,
} from "../../support/polled-vendor.ts";
import { distinctReadings, NO_PROXY, type PollingOptions, usePollings } from "../../support/polling.ts";
import { until } from "../../support/wait.ts";

const pollings = usePollings();

async function vendorThat(answer: (asked: VendorRequest) => VendorAnswer): Promise<PolledVendor> {
  return pollings.closing(await startPolledVendor(answer));
}

function poll({ url }: PolledVendor, settings: object, more: Partial<PollingOptions> = {}) {
  const source = { ...more.source, options: findAdapter("json-pull")?.options?.parse(VANS) };
  return pollings.start({
    vendor: "json-pull",
    baseUrl: url,
    account: { secret: "s3cret", username: "anna" },
    pullSettings: { baseUrl: url, privateNetwork: true, ...settings },
    ...more,
    source,
  });
}

/** Where a van was so many minutes ago. */
function van(name: string, minutesAgo = 1) {
  return { van: name, lat: 39.1, lon: -94.6, at: new Date(START - minutesAgo * 60_000).toISOString() };
}
const START = Date.now();

/** Gives tokens `t1`, `t2`, …; takes the newest alone, and refresh tokens only once. */
function tokens() {
  const state = { logins: [] as string[], newest: "" };
  return {
    state,
    answer({ path, body, headers }: VendorRequest): VendorAnswer {
      if (path === "/login") {
        state.logins.push(body);
        state.newest = `t${state.logins.length}`;
        return {
          status: 200,
          body: { token: state.newest, refresh: `refresh-${state.logins.length}`, life: 3600 },
        };
      }
      if (headers.authorization !== `Bearer ${state.newest}`) return { status: 401, body: {} };
      return { status: 200, body: { vans: [van("1"), van("2")] } };
    },
  };
}
const login = { path: "/login", json: { key: "{secret}" }, token: "token" };
const LOGGED_IN = { path: "/vans", bearer: "{token}", login };

describe("a login", () => {
  test("comes first, and again when the token is refused; what is parked stays away", async () => {
    const vendor = tokens();
    const stand = await vendorThat(vendor.answer);
    const { store, poller } = poll(stand, LOGGED_IN);
    await until(() => store.stored().length === 2, { what: "both vans" });
    vendor.state.newest = "another";
    await until(() => vendor.state.logins.length === 2, { what: "a second login" });
    await until(() => poller.state().reads.unchanged >= 6, { what: "some rounds" });
    expect(store.entries).toHaveLength(1);
    expect(poller.state()).toMatchObject({ state: "polling", reads: { emptyRounds: 0 } });
  });

  test("a refused one is not tried again soon", async () => {
    const stand = await vendorThat(() => ({ status: 401, body: {} }));
    const { poller } = poll(stand, LOGGED_IN);
    await until(() => poller.state().state === "refused", { what: "the refusal" });
    expect(poller.state()).toMatchObject({ reason: "unauthorized" });
    expect(stand.asked).toHaveLength(1);
  });

  test("two in a row need a person", () => {
    const logins = createPollLogins(5);
    expect([logins.refused(), logins.refused(), logins.refused()]).toEqual([false, true, true]);
    logins.accepted();
    expect(logins.refused()).toBe(false);
  });

  test("so many an hour and no more", async () => {
    const vendor = tokens();
    const stand = await vendorThat(vendor.answer);
    const { store, poller } = poll(stand, { ...LOGGED_IN, loginsPerHour: 1 });
    await until(() => store.stored().length === 2, { what: "both vans" });
    vendor.state.newest = "another";
    await until(() => poller.state().reason === "too_many_logins", { what: "the bound" });
    expect(vendor.state.logins).toHaveLength(1);
  });

  test("an outage uses up none of them", async () => {
    const vendor = tokens();
    let isAway = true;
    const stand = await vendorThat((asked) => (isAway ? { status: 503, body: "" } : vendor.answer(asked)));
    const { store } = poll(stand, LOGGED_IN, { pull: { loginsPerHour: 1 } });
    await until(() => stand.asked.length >= 2, { what: "two tries" });
    isAway = false;
    await until(() => store.stored().length === 2, { what: "both vans" });
  });

  test("the bound is of the last hour", () => {
    const logins = createPollLogins(2);
    logins.made(0);
    logins.made(1000);
    expect([logins.mayTry(3_599_999), logins.mayTry(3_600_000)]).toEqual([false, true]);
  });
});

describe("a refresh token that changes each time", () => {
  const rotating = (first = "refresh-0") => ({
    ...LOGGED_IN,
    login: { ...login, json: { r: "{kept.refresh}" }, keep: { refresh: { at: "refresh", first } } },
  });
  const sent = (bodies: readonly string[]) => bodies.map((body) => (JSON.parse(body) as { r: string }).r);

  test("is stored, sealed, and a new process goes on with the newest", async () => {
    const vendor = tokens();
    const stand = await vendorThat(vendor.answer);
    const first = poll(stand, rotating(), { name: "rotating" });
    await until(() => first.store.stored().length === 2, { what: "both vans" });
    const stored = (await pollings.cursors.load("kept:rotating")) ?? "";
    expect(stored).not.toMatch(/refresh-|s3cret/);
    expect(stored).toMatch("sealed");
    await first.poller.close(1000);
    poll(stand, rotating(), { name: "rotating" });
    await until(() => vendor.state.logins.length === 2, { what: "its login" });
    expect(sent(vendor.state.logins)).toEqual(["refresh-0", "refresh-1"]);
    await pollings.endAll();
    // Somebody authorised us again, or changed the secret: what is stored is of no use.
    poll(stand, rotating("anew"), { name: "rotating" });
    await until(() => vendor.state.logins.length === 3, { what: "a login anew" });
    await pollings.endAll();
    poll(stand, rotating(), { name: "other-secret" });
    await until(() => vendor.state.logins.length === 4, { what: "a login" });
    await until(() => pollings.cursors.load("kept:other-secret"), { what: "the token to be stored" });
    await pollings.endAll();
    poll(stand, rotating(), { name: "other-secret", account: { secret: "changed" } });
    await until(() => vendor.state.logins.length === 5, { what: "a login with the first token" });
    expect(sent(vendor.state.logins).slice(2)).toEqual(["anew", "refresh-0", "refresh-0"]);
  });

  test("is not used while it cannot be stored", async () => {
    const vendor = tokens();
    const stand = await vendorThat(vendor.answer);
    let isBroken = true;
    const cursors: CursorStore = {
      load: (name) => pollings.cursors.load(name),
      replace: async (name, before, after) => {
        if (isBroken) throw new Error("the store is full");
        return pollings.cursors.replace(name, before, after);
      },
    };
    const { poller, store } = poll(stand, rotating(), { cursors, name: "unstored" });
    await until(() => poller.state().reason === "storage_unavailable", { what: "the failure" });
    expect(stand.asked.map(({ path }) => path)).toEqual(["/login"]);
    isBroken = false;
    await until(() => store.stored().length === 2, { what: "both vans" });
    expect(sent(vendor.state.logins)).toEqual(["refresh-0", "refresh-1"]);
  });
});

describe("too often", () => {
  test.each([
    ["a fraction of a second", () => ({ "retry-after": "0.4" })],
    ["a date by the vendor's clock", () => ({ date: at(0), "retry-after": at(1000) })],
  ])("it waits as long as it is asked to: %s", async (_, headers) => {
    const stand = await vendorThat(() => ({ status: 200, body: { vans: [van("1")] } }));
    stand.instead.push({ status: 429, headers: headers(), body: "" });
    const { store } = poll(stand, { path: "/vans" });
    await until(() => store.stored().length === 1, { what: "the van" });
    const [first, second] = stand.asked;
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(390);
  });
  const at = (ms: number) => new Date(Date.UTC(2020, 0, 1) + ms).toUTCString();
});

test("a restart in mid-page loses nothing", async () => {
  const stand = await vendorThat(({ path }) => {
    const page = Number(new URL(path, "http://x").searchParams.get("page"));
    return { status: 200, body: { vans: [van(`${page}`)], of: 4 } };
  });
  const settings = { path: "/vans", query: { page: "{page}" }, page: { by: "number", pages: "of" } };
  const first = poll(stand, settings, { name: "pages", pull: { minGapMs: 50 } });
  await until(() => first.store.stored().length === 2, { what: "two pages" });
  await first.poller.close(0);
  const second = poll(stand, settings, { name: "pages", store: first.store });
  await until(() => distinctReadings(first.store).length === 4, { what: "all pages" });
  await until(() => second.poller.state().reads.pages > 8, { what: "another round" });
  // What was stored before is sent once more by the new process, and the store knows it.
  expect(first.store.stored().length).toBeLessThanOrEqual(4 + 3);
});

test("an account without a vehicle is told by its empty rounds, and pages of one round are one", async () => {
  let vans: object[] = [];
  const stand = await vendorThat(() => ({ status: 200, body: { vans, of: 2 } }));
  const settings = { path: "/vans", query: { page: "{page}" }, page: { by: "number", pages: "of" } };
  const { poller } = poll(stand, settings);
  await until(() => poller.state().reads.emptyRounds > 2, { what: "empty rounds" });
  expect(poller.state().reads.rows).toBe(0);
  vans = [van("1")];
  await until(() => poller.state().reads.rows > 0 && poller.state().reads.emptyRounds === 0, {
    what: "a vehicle",
  });
});

describe("hostile answers", () => {
  test.each([
    [
      "a redirect, which is not followed",
      { status: 302, headers: { location: "/elsewhere" }, body: "" },
      "redirect",
    ],
    ["20 MB", { status: 200, body: " ".repeat(20_000_000) }, "answer_too_large"],
    ["JSON that nests a million levels", { status: 200, body: "[".repeat(1_000_000) }, "unreadable_answer"],
    [
      "a link to a foreign host",
      { status: 200, body: { vans: [], next: "http://evil.example/" } },
      "foreign_host",
    ],
  ])("%s", async (_, answer, reason) => {
    const stand = await vendorThat(() => answer);
    const { poller, store } = poll(stand, { path: "/vans", page: { by: "link", next: "next" } });
    await until(() => poller.state().reason === reason, { what: reason });
    expect(store.entries).toEqual([]);
    expect(new Set(stand.asked.map(({ path }) => path))).toEqual(new Set(["/vans"]));
  });

  test("pages that never end stop after a hundred, and the next round waits its time", async () => {
    let count = 0;
    const stand = await vendorThat(() => {
      count += 1;
      return { status: 200, body: { vans: [van("1", count)], next: `/vans?n=${count}` } };
    });
    const settings = { path: "/vans", page: { by: "link", next: "next" } };
    const { poller } = poll(stand, settings, { intervalMs: 60_000, pull: { minGapMs: 0 } });
    await until(() => poller.state().reads.pages === 100, { what: "a hundred pages" });
    await until(() => stand.asked.length === 100, { what: "no more of them" });
  });
});

describe("our own network", () => {
  const stop = new AbortController().signal;
  const asking = (url: string): PullRequest => ({ method: "GET", url, headers: {} });

  test("is out of reach by name and by address, unless it is meant", async () => {
    const stand = await vendorThat(() => ({ status: 200, body: "hello" }));
    const { port } = new URL(stand.url);
    const http = createPullHttp(NO_PROXY);
    for (const host of [
      "localhost",
      "127.0.0.1",
      "[::1]",
      "2130706433",
      "[::ffff:127.0.0.1]",
      "169.254.169.254",
    ]) {
      const refused = await http.exchange(asking(`http://${host}:${port}/`), stop, false);
      expect(refused, host).toMatchObject({ kind: "failed", reason: "private_address" });
    }
    expect(stand.asked).toEqual([]);
    expect(await http.exchange(asking(`http://localhost:${port}/`), stop, true)).toMatchObject({
      kind: "answered",
    });
    await http.close();
  });

  test("is where a proxy may be: it is the vendor's name that must not lead there", async () => {
    const proxy = await vendorThat(() => ({ status: 200, body: "by proxy" }));
    const { port } = new URL(proxy.url);
    const http = createPullHttp({ ...NO_PROXY, httpProxy: `http://localhost:${port}` });
    const answered = await http.exchange(asking("http://api.vans.example/"), stop, false);
    // The stand-in knows no tunnels; that it was reached is what counts.
    expect(answered).not.toMatchObject({ reason: "private_address" });
    await http.close();
  });
});
