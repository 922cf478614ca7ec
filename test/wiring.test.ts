/** What the configuration says of a source reaches the parts that act on it. */

import { expect, test } from "vitest";
import { adapters } from "../src/adapters/index.ts";
import { loadConfig } from "../src/config/load.ts";
import { policiesOf } from "../src/ops/policies.ts";
import { ingestSourcesOf } from "../src/wiring.ts";

const ENV = {
  WAYPOST_SOURCE_VENDOR: "bouncie",
  WAYPOST_SOURCE_SECRET: "b7d0f52c9e4a4e8f",
  WAYPOST_TENANT: "123",
  WAYPOST_PROVIDER: "acme-gps",
  WAYPOST_APP_KEY: "1234567890abcdef",
  WAYPOST_CLIENT_ID: "1234567890abcdef",
  WAYPOST_CLIENT_SECRET: "1234567890abcdef",
  WAYPOST_OPS_TOKEN: "5f0c2a96d3b14e7a",
};

function configured(change: { maxAccuracyM?: number }) {
  const loaded = loadConfig({ env: ENV, adapters });
  if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems));
  const { config } = loaded;
  const sources = Object.fromEntries(
    Object.entries(config.sources).map(([name, source]) => [name, { ...source, ...change }]),
  );
  return { ...config, sources };
}

test("a limit of accuracy reaches ingest, and is among the policies on the page", () => {
  const config = configured({ maxAccuracyM: 50 });
  expect([...ingestSourcesOf(config, adapters).values()]).toMatchObject([{ maxAccuracyM: 50 }]);
  expect(policiesOf(config)).toContainEqual({ where: "source bouncie", name: "maxAccuracyM", value: "50 m" });
});

test("logins and what they speak for reach ingest", () => {
  const config = configured({});
  const device = { password: "p", source: "radios", topics: ["%u/#"] };
  const [source] = Object.values(config.sources);
  if (!source) throw new Error("unreachable");
  const sources = ingestSourcesOf(
    {
      ...config,
      mqtt: {
        brokers: {},
        listen: {
          ...{ host: "127.0.0.1", port: 0, maxUnacked: 1, maximumPacketBytes: 1 },
          devices: [
            { ...device, username: "van-1" },
            { ...device, username: "yard", speaksFor: ["truck-*"] },
            { ...device, username: "other", source: "others" },
          ],
        },
      },
      sources: {
        radios: { ...source, vendor: "owntracks", auth: undefined, mqtt: { broker: "listen" } },
        people: {
          ...{ ...source, vendor: "owntracks" },
          auth: {
            users: [
              { username: "ann", secret: "s1" },
              { username: "bob", secrets: ["s2", "s3"], speaksFor: ["*"] },
            ],
          },
        },
      },
    },
    adapters,
  );
  const speaks = (name: string, login: string, id: string) => sources.get(name)?.logins?.get(login)?.(id);
  expect([...(sources.get("radios")?.logins?.keys() ?? [])]).toEqual(["van-1", "yard"]);
  expect([speaks("radios", "van-1", "van-1/x"), speaks("radios", "van-1", "truck-1")]).toEqual([true, false]);
  expect([speaks("radios", "yard", "yard"), speaks("radios", "yard", "truck-1")]).toEqual([false, true]);
  expect([speaks("people", "ann", "ann/phone"), speaks("people", "bob", "x")]).toEqual([true, true]);
  expect(sources.get("people")?.credentials.users).toEqual([
    { username: "ann", secrets: ["s1"] },
    { username: "bob", secrets: ["s2", "s3"] },
  ]);
});

test("there is none unless one is given", () => {
  const config = configured({});
  for (const source of ingestSourcesOf(config, adapters).values())
    expect(source.maxAccuracyM).toBeUndefined();
  expect(policiesOf(config).map(({ name }) => name)).not.toContain("maxAccuracyM");
});
