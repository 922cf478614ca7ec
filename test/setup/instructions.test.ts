/** What is entered at a vendor: true for each adapter, complete for those used most, and without any secret. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { adapters } from "../../src/adapters/index.ts";
import { loadConfig } from "../../src/config/load.ts";
import { instructionsOf } from "../../src/setup/instructions.ts";
import { stepsFor } from "../../src/setup/vendor-steps.ts";

const SECRET = "7c1e90b4a2d85f36";
const guide = readFileSync(fileURLToPath(new URL("../../docs/vendors.md", import.meta.url)), "utf8");
/** Every source that the page for operators shows. */
const sources: Record<string, { vendor: string; mqtt?: unknown }> = Object.assign(
  {},
  ...[...guide.matchAll(/```yaml\n([^`]+)```/g)].map(([, block = ""]) =>
    parse(block.replaceAll(/\$\{(\w+)\}/g, `$1-${SECRET}`)),
  ),
);

function configOf(more: object = {}, http: object = { publicUrl: "https://gps.example.com/" }) {
  const loaded = loadConfig({
    adapters,
    env: {},
    settings: {
      http,
      ops: { token: "5f0c2a96d3b14e7a" },
      mqtt: { brokers: { house: { url: "mqtts://house.example", clientId: "waypost-1" } } },
      sources,
      destinations: { acme: { tenant: "1", provider: "p", appKey: "a", clientId: "c", clientSecret: "s" } },
      ...more,
    },
  });
  if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems));
  return loaded.config;
}

describe("of the sources in docs/vendors.md", () => {
  const config = configOf();
  const shown = Object.keys(sources).map((name) => ({ name, ...instructionsOf(config, name) }));

  test("name the address that the page names", () => {
    const named = [...guide.matchAll(/https:\/\/gps\.example\.com\/webhooks\/[a-z-]+(\?token=<secret>)?/g)];
    const addresses = shown.flatMap(({ address }) => (address?.startsWith("https:") ? [address] : []));
    // A token in the address stands beside it on the page.
    expect(addresses.map((each) => each.split("?")[0])).toEqual(named.map(([each]) => each.split("?")[0]));
  });

  test("hold no secret, and each says what to do", () => {
    expect(JSON.stringify(shown)).not.toContain(SECRET);
    for (const { name, steps } of shown) expect(steps?.length, name).toBeGreaterThan(0);
  });

  test("say where the secret goes", () => {
    const headersOf = (name: string) => shown.find((each) => each.name === name)?.headers;
    expect(headersOf("bouncie")).toEqual([{ name: "X-Bouncie-Authorization", value: "<secret>" }]);
    expect(headersOf("lytx")).toEqual([{ name: "apikey", value: "<secret>" }]);
    expect(headersOf("azuga")).toEqual([{ name: "X-Azuga-Key", value: "<secret>" }]);
    expect(headersOf("linxup")).toEqual([{ name: "Authorization", value: "Bearer <secret>" }]);
    expect(headersOf("reveal")).toEqual([
      { name: "Authorization", value: "Basic <base64 of waypost:<secret>>" },
    ]);
    expect(headersOf("motive")).toEqual([
      { name: "X-KT-Webhook-Signature", value: "<HMAC-SHA1 of the body in hex>" },
    ]);
    expect(headersOf("onestep")).toEqual([]);
    expect(instructionsOf(config, "onestep")?.address).toBe(
      "https://gps.example.com/webhooks/onestep?token=<secret>",
    );
    expect(instructionsOf(config, "jimi")?.steps).toContain(
      "The vendor sends auth.secret as the field token of each body.",
    );
  });

  test("tell that a polled vendor needs no address", () => {
    expect(instructionsOf(config, "samsara")).toMatchObject({
      address: null,
      steps: expect.arrayContaining([
        "No address is entered: Waypost asks https://api.samsara.com every 5 s, with auth.secret.",
      ]),
    });
  });

  test("name the broker and the topics of one that publishes", () => {
    expect(instructionsOf(config, "navixy")).toMatchObject({
      address: "mqtts://house.example",
      topics: ["acme/navixy/#"],
    });
  });
});

test("without a public address the host is left to the reader", () => {
  expect(instructionsOf(configOf({}, {}), "bouncie")?.address).toBe("https://<your host>/webhooks/bouncie");
});

test("devices of the embedded broker get its address and their topics", () => {
  const login = { password: "5f0c2a96d3b14e7b", source: "phones", topics: ["owntracks/%u/#"] };
  const config = configOf({
    mqtt: {
      listen: {
        port: 1884,
        devices: [
          { username: "anna", ...login },
          { username: "ben", ...login },
        ],
      },
    },
    sources: { phones: { vendor: "owntracks", destination: "acme", mqtt: { broker: "listen" } } },
  });
  expect(instructionsOf(config, "phones")).toMatchObject({
    address: "mqtt://gps.example.com:1884",
    topics: ["owntracks/%u/#"],
    steps: expect.arrayContaining([expect.stringContaining("(2)")]),
  });
});

test("there are steps for the ten vendors used most, and only for adapters that exist", () => {
  const most = ["verizon-connect", "samsara-feed", "motive", "linxup", "azuga", "gps-insight"];
  for (const vendor of [...most, "onestepgps", "bouncie", "lytx", "zubie"])
    expect(stepsFor(vendor), vendor).not.toEqual([]);
  const known = adapters.filter(({ vendor }) => stepsFor(vendor).length > 0);
  expect(known.length).toBe(12);
});

test("a source that is not there has none", () => {
  expect(instructionsOf(configOf(), "nobody")).toBeNull();
});
