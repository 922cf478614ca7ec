/** `check` warns where a device may not publish to the topics that are usual for its vendor. */

import { expect, test } from "vitest";
import { adapters } from "../../src/adapters/index.ts";
import { loadConfig } from "../../src/config/load.ts";

const SECRET = "f4Kw-92xq-Lr7u-Zm3e-Ty8b";

function warnings(
  vendor: string,
  { topics, devices = [{}] }: { topics?: string[]; devices?: { topics?: string[] }[] } = {},
): string[] {
  const loaded = loadConfig({
    settings: {
      destinations: {
        acme: {
          ...{ environment: "integration", tenant: "1000001", provider: "waypost" },
          ...{ appKey: `${SECRET}-1`, clientId: "cid.x", clientSecret: `${SECRET}-2` },
        },
      },
      sources: {
        phones: { vendor, destination: "acme", mqtt: { broker: "listen", ...(topics && { topics }) } },
      },
      http: { host: "127.0.0.1" },
      ops: { token: `${SECRET}-3` },
      mqtt: {
        listen: {
          host: "127.0.0.1",
          devices: devices.map((device, i) => ({
            ...{ username: `van-${i + 1}`, password: `${SECRET}-v${i}`, source: "phones" },
            ...device,
          })),
        },
      },
    },
    env: {},
    adapters,
  });
  if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems));
  return loaded.warnings.map(({ path, message }) => `${path} ${message}`);
}

test("the usual topic of the vendor is not among those that the device may publish to", () => {
  expect(warnings("owntracks")).toEqual([
    'mqtt.listen.devices[0].topics van-1 may publish to van-1/#, but usual for owntracks is owntracks/+/+: a device that publishes there is disconnected. Give it topics: ["owntracks/%u/#"], or set the topic in the device',
  ]);
  expect(warnings("owntracks", { devices: [{}, {}] })[0]).toContain("Give each device of the source topics");
});

test("what it says to write is right, for every vendor that starts without options", () => {
  const suggested = new Map<string, string[]>();
  for (const { vendor } of adapters.filter(({ transports }) => transports.includes("mqtt"))) {
    const found = tryWarnings(vendor).join();
    const topics = /topics: (\[.*?\]), or/.exec(found)?.[1];
    if (topics !== undefined) suggested.set(vendor, JSON.parse(topics));
  }
  expect([...suggested.keys()]).toEqual(expect.arrayContaining(["owntracks", "traccar", "chirpstack"]));
  for (const [vendor, topics] of suggested) {
    expect(warnings(vendor, { devices: [{ topics }] }), vendor).toEqual([]);
  }
});

/** None for a vendor that needs settings of its own. */
function tryWarnings(vendor: string): string[] {
  try {
    return warnings(vendor);
  } catch {
    return [];
  }
}

test("the configured topics count in place of the usual ones", () => {
  expect(warnings("owntracks", { topics: ["+/gps"] })).toEqual([]);
  expect(warnings("owntracks", { topics: ["yard/+/gps"] })).toEqual([
    expect.stringMatching(/but source phones listens to yard\/\+\/gps: .* topics: \["yard\/%u\/#"\]/),
  ]);
});

test("one device that may is enough, and a vendor without usual topics has none to miss", () => {
  expect(warnings("owntracks", { devices: [{}, { topics: ["owntracks/%u/#"] }] })).toEqual([]);
  expect(warnings("json")).toEqual([]);
});
