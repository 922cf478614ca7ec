/** What `doctor` finds when it asks a vendor once, and what it keeps to itself. */

import { afterEach, expect, it } from "vitest";
import { adapters } from "../../src/adapters/index.ts";
import { loadConfig } from "../../src/config/load.ts";
import { askVendor } from "../../src/doctor/ask-vendor.ts";
import { ingestSourcesOf, pullOf } from "../../src/wiring.ts";
import { type PolledVendor, startPolledVendor, type VendorAnswer } from "../support/polled-vendor.ts";
import { NO_PROXY } from "../support/polling.ts";
import { scaled } from "../support/speed.ts";

const vendors: PolledVendor[] = [];
afterEach(async () => {
  for (const vendor of vendors.splice(0)) await vendor.close();
});

const rows = ["356938035643809", "356938035643810"].map((device, index) => ({
  device,
  lat: 33.4484 + index,
  lon: -112.074,
  time: "2026-10-26T17:59:00Z",
  kph: 30,
}));

async function asked(answer: VendorAnswer, over: { pull?: object; options?: object } = {}) {
  const vendor = await startPolledVendor(({ path }) =>
    path.startsWith("/login") ? { status: 200, body: { token: "session-token" } } : answer,
  );
  vendors.push(vendor);
  const settings = {
    redis: { url: "redis://127.0.0.1:6379" },
    ops: { token: "5f0c2a96d3b14e7a" },
    sources: {
      fleet: {
        vendor: "json-pull",
        destination: "acme",
        auth: { username: "me", secret: "the-secret-of-the-account" },
        pull: {
          baseUrl: vendor.url,
          privateNetwork: true,
          login: { path: "/login", json: { user: "{username}", key: "{secret}" }, token: "token" },
          path: "/vehicles",
          bearer: "{token}",
          ...over.pull,
        },
        options: { readings: "rows", deviceId: "device", speed: "kph", ...over.options },
      },
    },
    destinations: {
      acme: { tenant: 1, provider: "waypost", clientId: "c", clientSecret: "s".repeat(20), appKey: "a" },
    },
  };
  const loaded = loadConfig({ settings, env: {}, adapters, allowWeak: true });
  if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems));
  const source = ingestSourcesOf(loaded.config, adapters).get("fleet");
  const pull = source && pullOf(loaded.config, source);
  if (!source || !pull) throw new Error("no source");
  return { vendor, ...(await askVendor({ source, ...pull, proxy: NO_PROXY, withinMs: scaled(60_000) })) };
}

it("shows the first readings of a page, masked, and what it did not find", async () => {
  const { isWell, lines, vendor } = await asked({ status: 200, body: { rows } });
  expect(vendor.asked.map(({ path }) => path)).toEqual(["/login", "/vehicles"]);
  expect(lines).toEqual([
    "2 vehicles; 2 positions, 0 rejected",
    "35…09 at 2026-10-26T17:59:00.000Z: 33.4…, -112.1…, 8.3 m/s, no heading",
    "35…10 at 2026-10-26T17:59:00.000Z: 34.4…, -112.1…, 8.3 m/s, no heading",
    "found in no position: heading",
  ]);
  expect(isWell).toBe(true);
  expect(lines.join()).not.toMatch(/356938035643809|33\.4484|the-secret|session-token/);
});

it.each([
  ["a refused request", { status: 403, body: "" }, {}, "HTTP 403, forbidden"],
  ["an answer that is no JSON", { status: 200, body: "<html>" }, {}, "HTTP 200, unreadable_answer"],
  ["no vehicle", { status: 200, body: { rows: [] } }, {}, "shows no vehicle"],
  ["wrong paths", { status: 200, body: { rows } }, { options: { readings: "data" } }, "data: must be a list"],
])("says what is wrong: %s", async (_, answer, over, words) => {
  const { isWell, lines } = await asked(answer, over);
  expect(isWell).toBe(false);
  expect(lines.join("\n")).toContain(words);
});

it("asks nothing where a login would use up the token that the gateway keeps", async () => {
  const login = {
    path: "/login",
    json: { refresh: "{kept.refresh}" },
    token: "token",
    keep: { refresh: { at: "refresh", first: "first-refresh-token" } },
  };
  const { lines, vendor } = await asked(
    { status: 200, body: { rows } },
    { pull: { login: { ...login, basic: true } } },
  );
  expect(vendor.asked).toEqual([]);
  expect(lines.join()).toContain("only the gateway may log in");
});
