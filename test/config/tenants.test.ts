/** Tenants with documents of their own join the main configuration, are checked like it, and are read again only where they changed. */

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references look like that

import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { adapters } from "../../src/adapters/index.ts";
import { type ApiTenant, createConfigReader, type LoadedConfig, loadConfig } from "../../src/config/load.ts";
import { problemText } from "../../src/config/problems.ts";

const root = mkdtempSync(join(tmpdir(), "waypost-tenants-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Random enough for the checks of secrets, and told apart by their number. */
const secret = (n: number) => `k${n}-q8Zr2mVx7Tn4Lw9c`;

function main(more: object = {}) {
  return {
    ops: { token: secret(0) },
    mqtt: { listen: {}, brokers: { shared: { url: "mqtt://127.0.0.1:1", clientId: "gateway" } } },
    ...more,
  };
}

function tenant(n: number, more: object = {}) {
  return {
    sources: {
      [`vans-${n}`]: {
        ...{ vendor: "samsara", destination: `st-${n}` },
        auth: { secret: Buffer.from(`${secret(n)}-${secret(n)}`).toString("base64") },
      },
    },
    destinations: { [`st-${n}`]: destination(n) },
    ...more,
  };
}

function destination(n: number, more: object = {}) {
  return {
    ...{ tenant: String(1000 + n), provider: "gps", appKey: `ak-${n}` },
    ...{ clientId: `cid-${n}`, clientSecret: secret(n), ...more },
  };
}

/** With a login at the embedded broker. */
function withDevice(n: number, username = `van-${n}`) {
  const { sources, destinations } = tenant(n);
  return {
    sources: {
      ...sources,
      [`phones-${n}`]: { vendor: "owntracks", destination: `st-${n}`, mqtt: { broker: "listen" } },
    },
    destinations,
    mqtt: {
      listen: {
        devices: [{ username, password: secret(n), source: `phones-${n}`, topics: ["owntracks/%u/#"] }],
      },
    },
  };
}

let folders = 0;
function folder(tenants: Record<string, object | string> = {}, settings: object = main()) {
  const dir = join(root, String(++folders));
  mkdirSync(join(dir, "tenants.d"), { recursive: true });
  const file = join(dir, "waypost.yaml");
  writeFileSync(file, stringify(settings));
  const write = (name: string, document: object | string) =>
    writeFileSync(
      join(dir, "tenants.d", name.includes(".") ? name : `${name}.yaml`),
      typeof document === "string" ? document : stringify(document),
    );
  for (const [name, document] of Object.entries(tenants)) write(name, document);
  return { dir, file, write };
}

const read = (file: string) => loadConfig({ file, env: {}, adapters });

function good(loaded: LoadedConfig) {
  if ("problems" in loaded) throw new Error(loaded.problems.map(problemText).join("\n"));
  return loaded.config;
}

function problemsIn(loaded: LoadedConfig): string[] {
  if ("config" in loaded) throw new Error("accepted");
  return loaded.problems.map(problemText);
}

describe("files of tenants.d/", () => {
  test("bring sources, destinations, brokers and devices of their own, and may use the main brokers", () => {
    const own = { brokers: { theirs: { url: "mqtt://127.0.0.1:2", clientId: "b" } } };
    const onBrokers = {
      sources: {
        "on-own": { vendor: "ovms", destination: "st-3", mqtt: { broker: "theirs" } },
        "on-main": { vendor: "ovms", destination: "st-3", mqtt: { broker: "shared" } },
      },
      destinations: { "st-3": destination(3) },
      mqtt: own,
      limits: { readingsPerSecond: 10 },
    };
    const { file, write, dir } = folder({ acme: tenant(1), bolt: withDevice(2), cold: onBrokers });
    write(".hidden.yaml", "not: read");
    write("notes.txt", "neither");
    const config = good(read(file));
    expect(Object.keys(config.sources).sort()).toEqual(["on-main", "on-own", "phones-2", "vans-1", "vans-2"]);
    expect(Object.keys(config.destinations)).toEqual(["st-1", "st-2", "st-3"]);
    expect(Object.keys(config.mqtt.brokers)).toEqual(["shared", "theirs"]);
    expect(config.mqtt.listen?.devices.map(({ username }) => username)).toEqual(["van-2"]);
    expect(config.tenants.cold).toMatchObject({
      origin: { kind: "file", file: join(dir, "tenants.d", "cold.yaml") },
      ...{ sources: ["on-own", "on-main"], destinations: ["st-3"], brokers: ["theirs"] },
      ...{ limits: { readingsPerSecond: 10 }, isPaused: false },
    });
  });

  test("problems name their file and line, those of all files at once, and no value", () => {
    const { file } = folder({
      acme: `sources:\n  vans:\n    vendor: samsra\n    destination: st-1\ndestinations:\n  st-1: {}\n`,
      bolt: `sources: {}\n  x: [`,
      "Not A Name.yaml": "x: 1\n",
      cold: tenant(3, { mapping: {}, limit: { devices: 1 } }),
    });
    expect(problemsIn(read(file))).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^tenants\.d\/acme\.yaml line 3: sources\.vans\.vendor is not a known vendor/),
        expect.stringMatching(/^tenants\.d\/acme\.yaml line 6: destinations\.st-1\.appKey is required/),
        expect.stringMatching(/^tenants\.d\/bolt\.yaml line 2: column/),
        expect.stringMatching(/^tenants\.d\/Not A Name\.yaml: has a name that no tenant can have/),
        expect.stringMatching(/^tenants\.d\/cold\.yaml line \d+: mapping must be either file or rows/),
        expect.stringMatching(/^tenants\.d\/cold\.yaml line \d+: limit is not a setting/),
      ]),
    );
  });

  test("a tenant's source leads to its own destination, its device to its own source", () => {
    const foreign = tenant(2, {
      sources: { stolen: { ...tenant(2).sources["vans-2"], destination: "st-1" } },
    });
    const device = { username: "x", password: secret(7), source: "phones-3", topics: ["owntracks/%u/#"] };
    const { file } = folder({
      acme: tenant(1),
      bolt: foreign,
      cold: withDevice(3),
      dust: tenant(4, { mqtt: { listen: { devices: [device] } } }),
    });
    expect(problemsIn(read(file))).toEqual([
      expect.stringMatching(
        /^tenants\.d\/bolt\.yaml line \d+: sources\.stolen\.destination names no destination/,
      ),
      expect.stringMatching(
        /^tenants\.d\/dust\.yaml line \d+: mqtt\.listen\.devices\[0\]\.source names no source/,
      ),
    ]);
  });

  test("names must not meet, of sources, destinations, brokers, devices and what ServiceTitan counts by", () => {
    const broker = { brokers: { shared: { url: "mqtt://127.0.0.1:3", clientId: "other" } } };
    const vans = { ...tenant(2).sources["vans-2"], destination: "st-1" };
    const { file } = folder({
      acme: withDevice(1),
      bolt: { sources: { "vans-1": vans }, destinations: { "st-1": destination(2) } },
      cold: tenant(3, { mqtt: broker }),
      dust: withDevice(4, "van-1"),
      elk: { ...tenant(5), destinations: { "st-5": destination(3, { ratePerSecond: 5 }) } },
    });
    expect(problemsIn(read(file)).sort()).toEqual([
      expect.stringMatching(/bolt\.yaml line \d+: sources\.vans-1 is a name that tenant acme has already/),
      expect.stringMatching(/bolt\.yaml line \d+: destinations\.st-1 is a name that tenant acme has already/),
      expect.stringMatching(
        /cold\.yaml line \d+: mqtt\.brokers\.shared is a name that the main configuration/,
      ),
      expect.stringMatching(/dust\.yaml line \d+: mqtt\.listen\.devices\[0\]\.username is given twice/),
      expect.stringMatching(/elk\.yaml line \d+: destinations\.st-5\.ratePerSecond must be 20 as in st-3/),
    ]);
  });

  test("secrets are checked in each, and across all", () => {
    const guessed = [{ username: "van-3", password: "password1234", source: "phones-3" }];
    const { file } = folder({
      acme: withDevice(1),
      bolt: { ...tenant(2), destinations: { "st-2": destination(2, { clientSecret: secret(1) }) } },
      cold: { ...withDevice(3), mqtt: { listen: { devices: guessed } } },
    });
    expect(problemsIn(read(file))).toEqual([
      expect.stringMatching(/cold\.yaml line \d+: mqtt\.listen\.devices\[0\]\.password is made of words/),
      expect.stringMatching(
        /bolt\.yaml line \d+: destinations\.st-2\.clientSecret is also .* of tenant acme: one tenant could speak/,
      ),
    ]);
  });

  test("without any source the main file needs a tenants.d beside it", () => {
    const { file, dir } = folder();
    expect(good(read(file)).sources).toEqual({});
    rmSync(join(dir, "tenants.d"), { recursive: true });
    expect(problemsIn(read(file))).toEqual([
      expect.stringMatching(/^sources is required/),
      expect.stringMatching(/^destinations is required/),
      expect.stringMatching(/devices must be at least 1 entries/),
    ]);
  });
});

describe("a reader", () => {
  test("notices what its files come to: written, replaced, swapped by a link, added, removed, and secrets' files", () => {
    const { file, write, dir } = folder({ acme: tenant(1) });
    const reader = createConfigReader({ file, env: {}, adapters });
    const secretFile = join(dir, "secret");
    const changes: [string, () => void][] = [
      [
        "a new file",
        () =>
          write(
            "bolt",
            tenant(2, {
              destinations: { "st-2": destination(2, { clientSecret: `\${file:${secretFile}}` }) },
            }),
          ),
      ],
      ["what a reference names", () => writeFileSync(secretFile, secret(8))],
      [
        "its replacement",
        () => {
          writeFileSync(`${secretFile}.new`, secret(9));
          renameSync(`${secretFile}.new`, secretFile);
        },
      ],
      ["a file that is written in place", () => write("acme", tenant(1, { limits: { devices: 5 } }))],
      [
        "a link",
        () => {
          mkdirSync(join(dir, "..data-2"));
          writeFileSync(join(dir, "..data-2", "cold.yaml"), stringify(tenant(3)));
          symlinkSync(join(dir, "..data-2", "cold.yaml"), join(dir, "tenants.d", "cold.yaml"));
        },
      ],
      ["a file that goes", () => rmSync(join(dir, "tenants.d", "acme.yaml"))],
      ["the main file", () => writeFileSync(file, stringify(main({ log: { level: "warn" } })))],
    ];
    for (const [what, change] of changes) {
      reader.read();
      const mark = reader.mark();
      expect(reader.hasChanged(mark), `before ${what}`).toBe(false);
      change();
      expect(reader.hasChanged(mark), what).toBe(true);
    }
    const config = good(reader.read());
    expect(Object.keys(config.tenants)).toEqual(["bolt", "cold"]);
    expect(config.destinations["st-2"]?.clientSecret).toBe(secret(9));
    expect(config.log.level).toBe("warn");
  });

  test("gives unchanged documents as the same objects, so that comparing is cheap", () => {
    const { file, write } = folder({ acme: tenant(1), bolt: tenant(2) });
    const reader = createConfigReader({ file, env: {}, adapters });
    const before = good(reader.read());
    write("bolt", tenant(2, { limits: { devices: 5 } }));
    const after = good(reader.read());
    expect(after.sources["vans-1"]).toBe(before.sources["vans-1"]);
    expect(after.destinations["st-1"]).toBe(before.destinations["st-1"]);
    expect(after.tenants.bolt?.limits).toEqual({ devices: 5 });
  });
});

describe("tenants of the API", () => {
  const given = (tenants: Record<string, object>) =>
    new Map(
      Object.entries(tenants).map(([name, settings]): [string, ApiTenant] => [
        name,
        { settings, isPaused: name === "bolt" },
      ]),
    );

  test("stand beside the files; one that is not right is left out, with its reasons and their places", () => {
    const { file } = folder({ acme: tenant(1) });
    const reader = createConfigReader({ file, env: { HOME: "/root" }, adapters });
    const loaded = reader.read(
      given({
        bolt: tenant(2),
        cold: { ...tenant(3), sources: tenant(1).sources },
        dust: tenant(4, { mapping: { file: "/etc/passwd" } }),
        elk: tenant(5, { mapping: { rows: [{ device: "1", unit: "Van 1" }] } }),
        fern: { ...tenant(6), destinations: { "st-6": destination(6, { clientSecret: "${HOME}" }) } },
      }),
    );
    const config = good(loaded);
    expect(Object.keys(config.tenants)).toEqual(["acme", "bolt", "elk", "fern"]);
    expect(config.tenants.bolt).toMatchObject({ origin: { kind: "api" }, isPaused: true });
    expect(config.destinations["st-6"]?.clientSecret).toBe("${HOME}");
    expect("leftOut" in loaded && loaded.leftOut.map(problemText)).toEqual([
      expect.stringMatching(/^tenant cold: sources\.vans-1\.destination names no destination/),
      expect.stringMatching(/^tenant dust: mapping\.file names a file/),
      expect.stringMatching(/^tenant cold: sources\.vans-1 is a name that tenant acme has already/),
    ]);
    expect("leftOut" in loaded && loaded.leftOut[0]?.steps).toEqual(["sources", "vans-1", "destination"]);
  });

  test("an environment without any tenant starts where tenants may come", () => {
    const env = { WAYPOST_OPS_TOKEN: secret(0) };
    const settings = { ops: { token: secret(0) } };
    expect("problems" in loadConfig({ settings, env, adapters })).toBe(true);
    expect(good(loadConfig({ settings, env, adapters, takesTenants: true })).sources).toEqual({});
  });
});
