/**
 * The configuration is read from file or environment, every problem is named at once with its place, and no secret shows.
 * Secrets are short here; secrets.test.ts checks them.
 */

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references to the environment look like that

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { z } from "zod";
import type { AdapterFacts } from "../../src/config/check-sources.ts";
import type { Config } from "../../src/config/config.ts";
import { type LoadedConfig, loadConfig } from "../../src/config/load.ts";
import { opsTokenFor, opsTokensOf } from "../../src/config/ops-tokens.ts";
import { configAsYaml } from "../../src/config/show.ts";

const shownOf = (config: Config) => configAsYaml({ config, references: new Map(), notesOf: () => [] });

const dir = mkdtempSync(join(tmpdir(), "waypost-config-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** One adapter for each thing a source can be asked for. */
const adapters: AdapterFacts[] = [
  {
    vendor: "simple",
    transports: ["webhook"],
    auth: [{ name: "shared-key", needs: ["secrets"] }],
    speedUnit: "mph",
    deadlineMs: 3000,
  },
  {
    vendor: "choosy",
    transports: ["webhook", "mqtt"],
    auth: [
      { name: "basic", needs: ["secrets", "username"] },
      { name: "custom-header", needs: ["secrets", "header"] },
      { name: "address", needs: ["allow"] },
    ],
    speedUnit: "required",
    deadlineMs: 5000,
    options: z.strictObject({ zone: z.string(), depth: z.int().max(9).default(3) }).optional(),
    settingProblems: ({ speedUnit, options }) =>
      speedUnit === "mps" && options !== undefined ? ["options.zone: does not go with mps"] : [],
  },
  {
    vendor: "signed",
    transports: ["webhook"],
    auth: [
      { name: "hmac", needs: ["secrets"] },
      { name: "bearer", needs: ["secrets"], verifyHead: () => null },
    ],
    speedUnit: "none",
    options: z.strictObject({ id: z.enum(["body", "header", "query"]) }),
    idOutsideBody: (options) => {
      const { id } = z.object({ id: z.enum(["body", "header", "query"]) }).parse(options);
      return id === "body" ? null : id;
    },
  },
  {
    vendor: "either",
    transports: ["webhook"],
    auth: [
      { name: "hmac", needs: ["secrets"] },
      { name: "basic", needs: ["secrets", "username"], isByNameOnly: true },
    ],
    speedUnit: "none",
  },
  { vendor: "radio", transports: ["mqtt"], auth: [], speedUnit: "optional", topics: ["radio/#"] },
  {
    vendor: "asked",
    transports: ["pull"],
    auth: [],
    speedUnit: "kph",
    pull: {
      hosts: /^([a-z]+\.)?asked\.example$/,
      needs: ["secret", "username", "database"],
      minIntervalMs: 5000,
    },
  },
  {
    vendor: "token",
    transports: ["pull"],
    auth: [],
    speedUnit: "mph",
    pull: { hosts: /^api\.token\.example$/, needs: ["secret"], minIntervalMs: 5000 },
  },
  {
    vendor: "picky",
    transports: ["mqtt"],
    auth: [],
    speedUnit: "none",
    topics: ["place/+"],
    options: z.strictObject({ topics: z.array(z.string()).default(["place/+"]) }).prefault({}),
    topicsRead: (options) => z.object({ topics: z.array(z.string()) }).parse(options).topics,
  },
  { vendor: "topicless", transports: ["mqtt"], auth: [], speedUnit: "none" },
];

type Settings = Record<string, unknown>;
/** What is wrong, how the configuration becomes so, and what is said of it where. */
type Case = [string, (base: ReturnType<typeof minimal>) => void, Record<string, string | RegExp>];

/** The least that is a configuration, with some of it replaced; `undefined` removes. */
function settings(change: (base: ReturnType<typeof minimal>) => void = () => {}): Settings {
  const base = minimal();
  change(base);
  return base;
}

function minimal() {
  const source: Settings = { vendor: "simple", destination: "acme", auth: { secret: "hook-secret" } };
  const destination: Settings = {
    tenant: "123",
    provider: "acme-gps",
    appKey: "ak1.secret-app-key",
    clientId: "cid.secret-client",
    clientSecret: "cs1.secret",
  };
  const sources: Record<string, Settings> = { vans: source };
  const destinations: Record<string, Settings> = { acme: destination };
  const root: Settings & {
    ops: Settings;
    sources: typeof sources;
    destinations: typeof destinations;
    source: Settings;
    destination: Settings;
  } = { ops: { token: "0123456789abcdef" }, sources, destinations, source, destination };
  // Short cuts for tests, not settings.
  Object.defineProperty(root, "source", { enumerable: false });
  Object.defineProperty(root, "destination", { enumerable: false });
  return root;
}

function load(value: Settings, env: Record<string, string> = {}): LoadedConfig {
  return loadConfig({ settings: value, env, adapters, allowWeak: true });
}

let files = 0;
function loadFile(text: string, env: Record<string, string> = {}): LoadedConfig {
  files += 1;
  const file = join(dir, `${files}.yaml`);
  writeFileSync(file, text);
  return loadConfig({ file, env, adapters, allowWeak: true });
}

function good(loaded: LoadedConfig): Config {
  if ("problems" in loaded) throw new Error(`refused: ${JSON.stringify(loaded.problems)}`);
  return loaded.config;
}

/** Path to message, so that a test sees that nothing else was complained about. */
function problemsOf(loaded: LoadedConfig): Record<string, string> {
  if ("config" in loaded) throw new Error("accepted");
  return Object.fromEntries(loaded.problems.map(({ path, message }) => [path, message]));
}

describe("given settings are used, others have a default", () => {
  test("the least that is a configuration", () => {
    const config = good(load(settings()));
    expect(config.redis).toEqual({
      url: "redis://127.0.0.1:6379",
      prefix: "waypost",
      commandTimeoutMs: 2000,
    });
    expect(config.http).toMatchObject({ port: 8080, bodyLimitBytes: 2_000_000, trustedProxies: [] });
    expect(config.ops).toMatchObject({ host: "127.0.0.1", port: 9090 });
    expect(config.destinations.acme).toMatchObject({
      environment: "production",
      tenant: "123",
      ratePerSecond: 20,
      maxBatchPings: 100,
      maxBatchBytes: 64_000,
      maxBatchAgeMs: 1000,
      lanes: 4,
      maxAgeMs: 600_000,
      backfill: "drop",
    });
    expect(config.sources.vans?.unmapped).toBe("forward");
    expect(config.sources.vans?.maxAccuracyM).toBeUndefined();
    expect(config.proxy).toEqual({});
    expect(config.queue.concurrency).toBe(100);
  });

  test("as many slots as there are lanes, so that hanging tenants leave some for the others", () => {
    const loaded = load(
      settings((base) => {
        for (let n = 0; n < 30; n++)
          base.destinations[`t${n}`] = { ...base.destination, tenant: String(n + 1) };
      }),
    );
    expect(good(loaded).queue.concurrency).toBe(31 * 4);
  });

  test("an end that waits for the slowest request", () => {
    const shutdownOf = (...requestTimeoutMs: number[]) => {
      const change = (base: ReturnType<typeof minimal>) => {
        for (const [n, timeoutMs] of requestTimeoutMs.entries())
          base.destinations[`t${n}`] = { ...base.destination, requestTimeoutMs: timeoutMs };
      };
      return good(load(settings(change))).shutdownMs;
    };
    expect([shutdownOf(), shutdownOf(1000, 40_000)]).toEqual([25_000, 45_000]);
    expect(good(load({ ...settings(), shutdownMs: 2000 })).shutdownMs).toBe(2000);
    const unlimited = settings((b) =>
      Object.assign(b.destination, { requestTimeoutMs: 2 ** 31 - 1, maxAgeMs: 0 }),
    );
    expect(good(load(unlimited)).shutdownMs).toBe(3_600_000);
  });

  test("a section left empty has its defaults, and a tenant may be a number", () => {
    const text = `${stringify(settings((base) => delete base.destination.tenant))}    tenant: 4711\nhttp:\nqueue: ~\n`;
    const config = good(loadFile(text));
    expect(config.http.port).toBe(8080);
    expect(config.destinations.acme?.tenant).toBe("4711");
  });

  test("merge keys spare repetition", () => {
    const config = good(
      loadFile(`
ops: { token: 0123456789abcdef }
sources: { vans: { vendor: simple, destination: one, auth: { secret: s } } }
destinations:
  one: &shared { tenant: "1", provider: p, appKey: a, clientId: c, clientSecret: s, lanes: 2 }
  two: { <<: *shared, tenant: "2" }
`),
    );
    expect(config.destinations.two).toMatchObject({ tenant: "2", appKey: "a", lanes: 2 });
  });

  test("options come back as the adapter's schema gives them", () => {
    const config = good(
      load(
        settings((base) => {
          base.sources.tagged = {
            ...{ vendor: "choosy", destination: "acme", speedUnit: "kph", options: { zone: "z" } },
            auth: { method: "address", allow: ["203.0.113.0/24", "2001:db8::1"] },
          };
        }),
      ),
    );
    expect(config.sources.tagged?.options).toEqual({ zone: "z", depth: 3 });
  });
});

describe("tokens of the ops endpoint", () => {
  const SECRET_OF = (name: string) => `${name}-token-of-24-chars-`;
  const ops = (change: Settings) => settings((base) => (base.ops = change));
  const listed = (...tokens: Settings[]) => ops({ tokens });
  const one = (name: string, more: Settings = {}) => ({
    name,
    token: SECRET_OF(name),
    role: "read",
    ...more,
  });

  test("the short form is one that may do everything", () => {
    expect(opsTokensOf(good(load(settings())).ops)).toEqual([
      { name: "token", token: "0123456789abcdef", role: "operate", destinations: null },
    ]);
  });

  test("several have a name, a role and, where wanted, their destinations", () => {
    const config = good(
      load(listed(one("boss", { role: "operate" }), one("desk", { destinations: ["acme"] }))),
    );
    expect(opsTokensOf(config.ops)).toEqual([
      { name: "boss", token: SECRET_OF("boss"), role: "operate", destinations: null },
      { name: "desk", token: SECRET_OF("desk"), role: "read", destinations: ["acme"] },
    ]);
    const shown = shownOf(config);
    expect(shown).not.toContain("token-of-24");
    expect(shown).toContain("desk");
  });

  test.each([
    ["none", ops({}), { "ops.token": "is required" }],
    ["an empty list", listed(), { "ops.tokens": expect.stringContaining("at least 1") }],
    [
      "both forms",
      ops({ token: "0123456789abcdef", tokens: [one("a")] }),
      { "ops.token": expect.stringContaining("must be left out") },
    ],
    [
      "a name twice",
      listed(one("a"), one("a", { token: SECRET_OF("b") })),
      { "ops.tokens[1].name": "is given twice" },
    ],
    [
      "a token twice",
      listed(one("a"), one("b", { token: SECRET_OF("a") })),
      { "ops.tokens[1].token": expect.stringContaining("is also that of a") },
    ],
    [
      "a short token",
      listed(one("a", { token: "short" })),
      { "ops.tokens[0].token": expect.stringContaining("16") },
    ],
    [
      "another role",
      listed(one("a", { role: "admin" })),
      { "ops.tokens[0].role": "must be read or operate" },
    ],
    [
      "an unknown destination",
      listed(one("a", { destinations: ["acme", "nowhere"] })),
      { "ops.tokens[0].destinations[1]": "names no destination of this configuration" },
    ],
    [
      "no destination at all",
      listed(one("a", { destinations: [] })),
      { "ops.tokens[0].destinations": expect.stringContaining("at least 1") },
    ],
    ["no name", listed({ token: SECRET_OF("a"), role: "read" }), { "ops.tokens[0].name": "is required" }],
    [
      "a host with a port",
      ops({ token: "0123456789abcdef", hosts: ["waypost.example.com:9090"] }),
      { "ops.hosts[0]": expect.stringContaining("without scheme and port") },
    ],
    [
      "a host with a scheme",
      ops({ token: "0123456789abcdef", hosts: ["https://waypost.example.com"] }),
      { "ops.hosts[0]": expect.stringContaining("without scheme and port") },
    ],
    [
      "a pattern for a host",
      ops({ token: "0123456789abcdef", hosts: ["*.example.com"] }),
      { "ops.hosts[0]": expect.stringContaining("host name") },
    ],
  ])("%s is refused", (_, given, problems) => {
    const loaded = load(given);
    expect(problemsOf(loaded)).toEqual(problems);
    expect(JSON.stringify(loaded)).not.toContain("token-of-24");
  });

  test("a command uses the first with the role that sees everything, or the named one", () => {
    const { ops: tokens } = good(
      load(
        listed(
          one("screen"),
          one("desk", { role: "operate", destinations: ["acme"] }),
          one("boss", { role: "operate" }),
        ),
      ),
    );
    expect(opsTokenFor(tokens, "read", undefined).name).toBe("screen");
    expect(opsTokenFor(tokens, "operate", undefined).name).toBe("boss");
    expect(opsTokenFor(tokens, "operate", "desk").name).toBe("desk");
    expect(() => opsTokenFor(tokens, "operate", "screen")).toThrow('role operate; "screen" has read');
    expect(() => opsTokenFor(tokens, "read", "nobody")).toThrow(
      "there are screen (read), desk (operate, limited)",
    );
    const { ops: limited } = good(load(listed(one("desk", { role: "operate", destinations: ["acme"] }))));
    expect(() => opsTokenFor(limited, "operate", undefined)).toThrow(/sees all destinations.*--token/);
  });
});

describe("every problem at once, each with its place", () => {
  test("problems of all kinds, relations too, do not hide one another", () => {
    const problems = problemsOf(
      load({
        ops: { token: "short" },
        htttp: {},
        http: { port: "80", body_limit_bytes: 1 },
        sources: {
          "Bad Name": { vendor: "simple", destination: "acme", auth: { secret: "s" } },
          vans: { vendor: "nobody", destination: "nowhere" },
          trucks: { vendor: "simple", destination: "acme" },
        },
        destinations: {
          acme: {
            tenant: "acme-ltd",
            provider: " x",
            appKey: "",
            clientId: "c\n",
            clientSecret: 7,
            lanes: 1.5,
          },
        },
        queue: { lockMs: 4000 },
        log: { level: "loud" },
      }),
    );
    expect(problems).toEqual({
      "ops.token": "must have at least 16 characters; openssl rand -hex 24 makes one",
      htttp: expect.stringMatching(/^is not a setting; here can stand: redis, http, ops/),
      "http.port": "must be a number",
      "http.body_limit_bytes": "is not a setting; did you mean bodyLimitBytes?",
      "sources.Bad": expect.stringContaining("must be lower-case letters, digits and dashes"),
      "sources.vans.vendor":
        "is not a known vendor; known are simple, choosy, signed, either, radio, asked, token, picky, topicless",
      "sources.vans.destination": "names no destination of this configuration",
      "sources.trucks.auth":
        "is required: without it the source cannot authenticate its sender; simple offers shared-key",
      "destinations.acme.tenant": "must be the numeric tenant id, not the tenant's name",
      "destinations.acme.provider": "begins or ends with white space",
      "destinations.acme.appKey": "must not be empty",
      "destinations.acme.clientId": expect.stringContaining("pasted newline"),
      "destinations.acme.clientSecret": "must be text: put it in quotes",
      "destinations.acme.lanes": "must be a whole number",
      "queue.lockMs": expect.stringContaining("must be at most 5000"),
      "log.level": "must be debug or info or warn or error",
    });
  });

  test("missing and empty", () => {
    expect(problemsOf(load({}))).toEqual({
      ops: "is required",
      sources: "is required",
      destinations: "is required",
    });
    const empty = loadFile("ops:\n  token:\nsources: {}\ndestinations:\n  acme: {}\n");
    expect(problemsOf(empty)).toMatchObject({
      "ops.token": "is empty",
      sources: "must name at least one",
      "destinations.acme.tenant": "is required",
    });
    expect(Object.values(problemsOf(loadFile("")))).toEqual(["is empty"]);
  });

  test("lines of the file are named", () => {
    const loaded = loadFile(stringify(settings((base) => (base.destination.lanes = 0))));
    expect(loaded).toEqual({
      problems: [{ path: "destinations.acme.lanes", message: "must be at least 1", line: 16 }],
    });
  });

  test("YAML faults are named by line and column, without the text they are about", () => {
    const secret = "Sw0rdf1sh";
    for (const text of [
      `ops:\n  token: "${secret}\nsources: {}\n`,
      `ops:\n  token: ${secret}: ${secret}\n`,
      `ops:\n\ttoken: ${secret}\n`,
      `ops:\n  token: *${secret}\n`,
      `ops:\n  token: !${secret} x\n`,
      `ops:\n  token: @${secret}\n`,
      `ops:\n  ${secret}\n  x: y\n`,
      `ops: {token: ${secret}\n`,
      `ops: 1\nops: ${secret}\n`,
    ]) {
      const loaded = loadFile(text);
      if ("config" in loaded) throw new Error(`accepted: ${text}`);
      expect(loaded.problems.length).toBeGreaterThan(0);
      expect(JSON.stringify(loaded.problems), text).not.toContain(secret);
      for (const { message, line, path } of loaded.problems) {
        expect(path).toMatch(/\.yaml$/);
        if (!message.includes("alias (*)"))
          expect({ message, line }).toMatchObject({ line: expect.any(Number) });
      }
    }
  });

  test("a file that is not there, and no configuration at all", () => {
    const file = join(dir, "absent.yaml");
    expect(problemsOf(loadConfig({ file, env: {}, adapters, allowWeak: true }))).toEqual({
      [file]: "cannot be read (ENOENT)",
    });
    expect(problemsOf(loadConfig({ env: {}, adapters, allowWeak: true }))).toEqual({
      configuration: expect.stringContaining(".env.example"),
    });
  });

  test("WAYPOST_CONFIG names the file", () => {
    const file = join(dir, "named.yaml");
    writeFileSync(file, stringify(settings()));
    expect(
      good(loadConfig({ env: { WAYPOST_CONFIG: file }, adapters, allowWeak: true })).sources,
    ).toHaveProperty("vans");
  });
});

describe("references to the environment and to files", () => {
  const withSecret = (secret: string) =>
    stringify(settings((base) => (base.destination.clientSecret = secret)));

  test("are replaced, with defaults, in the middle of a text, and where a number is asked for", () => {
    const text = `${withSecret("pre-${PART}-post")}redis: { url: "redis://\${HOST:-127.0.0.1}:\${PORT:-6380}" }
http: { port: "\${HTTP_PORT}", tls: null }
mqtt: { brokers: { one: { url: "mqtts://b", clientId: w, rejectUnauthorized: "\${STRICT}", protocolVersion: "\${V}" } } }
`;
    const config = good(loadFile(text, { PART: "x", HTTP_PORT: "8081", STRICT: "false", V: "4", HOST: "" }));
    expect(config.destinations.acme?.clientSecret).toBe("pre-x-post");
    expect(config.redis.url).toBe("redis://127.0.0.1:6380");
    expect(config.http.port).toBe(8081);
    expect(config.mqtt.brokers.one).toMatchObject({ rejectUnauthorized: false, protocolVersion: 4 });
  });

  test("a value can neither change the structure nor refer further, and stays text where text is asked for", () => {
    for (const value of [
      "a: b",
      "x # y",
      '"quoted"',
      "{}",
      "${HOME}",
      "1234567",
      "true",
      "null",
      "*a",
      "a\\nb",
    ]) {
      const config = good(loadFile(withSecret("${S}"), { S: value, HOME: "/root" }));
      expect(config.destinations.acme?.clientSecret).toBe(value);
    }
  });

  test("what is written with quotes in the file is not turned into a number", () => {
    expect(problemsOf(loadFile(`${stringify(settings())}http: { port: "8081" }\n`))).toEqual({
      "http.port": "must be a number",
    });
  });

  test("$${ stands for ${", () => {
    const config = good(loadFile(withSecret("a$${b}c")));
    expect(config.destinations.acme?.clientSecret).toBe("a${b}c");
  });

  test("a file's text stands for its reference, without the newline at its end", () => {
    for (const [held, means] of [
      ["f1le-5ecret", "f1le-5ecret"],
      ["f1le-5ecret\n", "f1le-5ecret"],
      ["f1le-5ecret\r\n", "f1le-5ecret"],
      ["${HOME}", "${HOME}"],
    ] as const) {
      const name = join(dir, "secret");
      writeFileSync(name, held);
      // A relative name starts at the configuration's folder.
      for (const reference of ["secret", name]) {
        const config = good(loadFile(withSecret(`\${file:${reference}}`), { HOME: "/root" }));
        expect(config.destinations.acme?.clientSecret).toBe(means);
      }
    }
  });

  test("a file that is no single text is named, and what it holds is not shown", () => {
    writeFileSync(join(dir, "bytes"), Buffer.from([0xff, 0xfe, 0x00]));
    writeFileSync(join(dir, "long"), "s3cret".repeat(20_000));
    const of = (reference: string) => problemsOf(loadFile(withSecret(reference)));
    for (const [reference, why] of [
      ["${file:gone}", /names a file that cannot be read \(.*gone: ENOENT\)/],
      ["${file:.}", /EISDIR/],
      ["${file:bytes}", /not UTF-8 text/],
      ["${file:long}", /more than 65536 bytes/],
      ["${file:}", /names no file/],
    ] as const) {
      const found = of(reference);
      expect(found).toEqual({ "destinations.acme.clientSecret": expect.stringMatching(why) });
      expect(JSON.stringify(found)).not.toContain("s3cret");
    }
  });

  test("unknown variables and broken references are named with their place, once", () => {
    const text = stringify(
      settings((base) => {
        base.destination.clientSecret = "${NOT_SET}";
        base.destination.appKey = "${not closed";
        base.source.auth = { secret: "${ALSO_NOT_SET}" };
      }),
    );
    expect(problemsOf(loadFile(text))).toEqual({
      "destinations.acme.clientSecret": "needs the environment variable NOT_SET, which is not set",
      "destinations.acme.appKey": expect.stringContaining("begins no ${NAME}"),
      "sources.vans.auth.secret": "needs the environment variable ALSO_NOT_SET, which is not set",
    });
  });
});

describe("relations", () => {
  const brokers = { hub: { url: "mqtt://hub.test", clientId: "waypost-1" } };
  const device = { username: "van-1", password: "p", source: "radios" };

  /** Each case: what is changed in a good configuration, and everything that must be said about it. */
  const cases: Case[] = [
    [
      "an unknown method",
      (b) => (b.source.auth = { method: "magic", secret: "s" }),
      { "sources.vans.auth.method": /it offers shared-key/ },
    ],
    [
      "a method that must be chosen",
      (b) =>
        (b.sources.vans = { vendor: "choosy", destination: "acme", speedUnit: "mph", auth: { secret: "s" } }),
      { "sources.vans.auth.method": "is required: choosy offers basic, custom-header, address" },
    ],
    [
      "what a method needs that is meant only where it is named",
      (b) => {
        const either = { vendor: "either", destination: "acme" };
        b.sources.vans = { ...either, auth: { secret: "s" } };
        b.sources.trucks = { ...either, auth: { method: "basic", secret: "s" } };
      },
      { "sources.trucks.auth.username": "is required by the method basic" },
    ],
    [
      "what the method needs",
      (b) =>
        (b.sources.vans = {
          vendor: "choosy",
          destination: "acme",
          speedUnit: "mph",
          auth: { method: "basic" },
        }),
      { "sources.vans.auth.secret": /basic/, "sources.vans.auth.username": /basic/ },
    ],
    [
      "a header the method needs",
      (b) =>
        (b.sources.vans = {
          ...{ vendor: "choosy", destination: "acme", speedUnit: "mph" },
          auth: { method: "custom-header", secret: "s" },
        }),
      { "sources.vans.auth.header": /custom-header/ },
    ],
    [
      "addresses that nobody would look at",
      (b) => (b.source.auth = { secret: "s", allow: ["10.0.0.0/8"] }),
      { "sources.vans.auth.allow": /has no effect/ },
    ],
    [
      "secret and secrets",
      (b) => (b.source.auth = { secret: "s", secrets: ["s", "t"] }),
      { "sources.vans.auth.secrets": /leave one out/ },
    ],
    [
      "a vendor without MQTT",
      (b) =>
        Object.assign(
          b,
          { mqtt: { brokers } },
          { sources: { vans: { vendor: "simple", destination: "acme", mqtt: { broker: "hub" } } } },
        ),
      { "sources.vans.mqtt": /is not a way simple sends/ },
    ],
    [
      "a vendor without webhook",
      (b) => (b.sources.vans = { vendor: "radio", destination: "acme" }),
      { "sources.vans.mqtt": /MQTT only/ },
    ],
    [
      "webhook and MQTT in one source",
      (b) => {
        b.mqtt = { brokers };
        b.sources.vans = {
          ...{
            vendor: "choosy",
            destination: "acme",
            speedUnit: "mph",
            mqtt: { broker: "hub", topics: ["t"] },
          },
          auth: { method: "basic", secret: "s", username: "u" },
        };
      },
      { "sources.vans.auth": /two sources/ },
    ],
    [
      "what a vendor is asked with",
      (b) => (b.sources.vans = { vendor: "asked", destination: "acme" }),
      {
        "sources.vans.auth.secret": "is required: asked is asked with a token or a password",
        "sources.vans.auth.username": "is required by asked",
        "sources.vans.pull.database": "is required by asked",
      },
    ],
    [
      "what a vendor that is asked does not look at",
      (b) => {
        const auth = { secret: "s", username: "u", method: "basic", allow: ["10.0.0.0/8"] };
        b.sources.vans = { vendor: "token", destination: "acme", auth, pull: { database: "d" } };
      },
      {
        "sources.vans.auth.method": /has no effect/,
        "sources.vans.auth.allow": /has no effect/,
        "sources.vans.auth.username": /knows none/,
        "sources.vans.pull.database": /knows none/,
      },
    ],
    [
      "a vendor asked too often",
      (b) => {
        const pull = { intervalMs: 4999 };
        b.sources.vans = { vendor: "token", destination: "acme", auth: { secret: "s" }, pull };
      },
      { "sources.vans.pull.intervalMs": /at least 5000/ },
    ],
    [
      "settings for asking a vendor that sends by itself",
      (b) => (b.source.pull = { intervalMs: 5000 }),
      { "sources.vans.pull": /sends by itself/ },
    ],
    [
      "a broker for a vendor that is asked",
      (b) => {
        b.mqtt = { brokers };
        b.sources.vans = {
          ...{ vendor: "token", destination: "acme", auth: { secret: "s" } },
          mqtt: { broker: "hub", topics: ["t"] },
        };
      },
      { "sources.vans.mqtt": /is not a way token sends/ },
    ],
    [
      "topics that the options do not read",
      (b) => {
        b.mqtt = {
          brokers,
          listen: {
            devices: [
              { ...device, source: "walks" },
              { ...device, username: "van-2", source: "walks", topics: ["place/%u", "other"] },
            ],
          },
        };
        const picky = { vendor: "picky", destination: "acme" };
        b.sources.rides = { ...picky, mqtt: { broker: "hub", topics: ["place/7", "phones/+", "#"] } };
        b.sources.drives = { ...picky, mqtt: { broker: "hub" }, options: { topics: ["a/+/b", "c/#"] } };
        b.sources.walks = { ...picky, mqtt: { broker: "listen" } };
      },
      {
        "sources.rides.mqtt.topics[1]":
          "must meet what picky reads with these options (place/+), which phones/+ does not: give options.topic as well",
        "sources.drives.mqtt.topics": /\(a\/\+\/b, c\/#\), which place\/\+ does not/,
        "mqtt.listen.devices[0].topics": /which van-1\/# does not/,
      },
    ],
    [
      "an unknown broker",
      (b) => (b.sources.vans = { vendor: "radio", destination: "acme", mqtt: { broker: "hub" } }),
      { "sources.vans.mqtt.broker": /names no broker/ },
    ],
    [
      "an embedded broker that is off",
      (b) => (b.sources.vans = { vendor: "radio", destination: "acme", mqtt: { broker: "listen" } }),
      { "sources.vans.mqtt.broker": /mqtt.listen/ },
    ],
    [
      "no topics at all",
      (b) => {
        b.mqtt = { brokers };
        b.sources.vans = { vendor: "topicless", destination: "acme", mqtt: { broker: "hub" } };
      },
      { "sources.vans.mqtt.topics": /has no usual topics/ },
    ],
    [
      "a topic that is no filter",
      (b) => {
        b.mqtt = { brokers };
        b.sources.vans = {
          vendor: "radio",
          destination: "acme",
          mqtt: { broker: "hub", topics: ["a/+/b", "#", "/x/#", "a/#/b", "a+"] },
        };
      },
      { "sources.vans.mqtt.topics[3]": /topic filter/, "sources.vans.mqtt.topics[4]": /topic filter/ },
    ],
    [
      "a speed unit the vendor does not document",
      (b) =>
        (b.sources.vans = {
          vendor: "choosy",
          destination: "acme",
          auth: { method: "address", allow: ["10.0.0.1"] },
        }),
      { "sources.vans.speedUnit": /is required/ },
    ],
    [
      "a speed unit for nothing",
      (b) => (b.source.speedUnit = "kph"),
      { "sources.vans.speedUnit": /has no effect/ },
    ],
    ["options for nothing", (b) => (b.source.options = {}), { "sources.vans.options": /takes no options/ }],
    [
      "options that the adapter itself has something against",
      (b) =>
        (b.sources.vans = {
          ...{ vendor: "choosy", destination: "acme", speedUnit: "mps", options: { zone: "z" } },
          auth: { method: "address", allow: ["10.0.0.1"] },
        }),
      { "sources.vans.options.zone": "does not go with mps" },
    ],
    [
      "wrong options",
      (b) =>
        (b.sources.vans = {
          ...{ vendor: "choosy", destination: "acme", speedUnit: "mph", options: { depth: 10, zones: 1 } },
          auth: { method: "address", allow: ["10.0.0.1"] },
        }),
      {
        "sources.vans.options.zone": "is required",
        "sources.vans.options.depth": "must be at most 9",
        "sources.vans.options.zones": /is not a setting/,
      },
    ],
    [
      "no address",
      (b) =>
        (b.sources.vans = {
          vendor: "choosy",
          destination: "acme",
          speedUnit: "mph",
          auth: { method: "address", allow: ["10.0.0.0/33", "10", "10.0/8", "fd00::/8"] },
        }),
      {
        "sources.vans.auth.allow[0]": /must be an address or a range/,
        "sources.vans.auth.allow[1]": /must be an address or a range/,
        "sources.vans.auth.allow[2]": /must be an address or a range/,
      },
    ],
    [
      "a custom environment without addresses",
      (b) => (b.destination.environment = "custom"),
      { "destinations.acme.apiUrl": /is required/, "destinations.acme.authUrl": /is required/ },
    ],
    [
      "a custom environment in the clear",
      (b) =>
        Object.assign(b.destination, {
          environment: "custom",
          apiUrl: "http://api.example.com",
          authUrl: "http://8.8.8.8",
        }),
      { "destinations.acme.apiUrl": /must be https/, "destinations.acme.authUrl": /must be https/ },
    ],
    [
      "an address without effect",
      (b) => (b.destination.apiUrl = "https://api.test"),
      { "destinations.acme.apiUrl": /only where environment is custom/ },
    ],
    [
      "an address that is none",
      (b) => Object.assign(b.destination, { environment: "custom", apiUrl: "ftp://x", authUrl: "localhost" }),
      { "destinations.acme.apiUrl": /http:\/\/ or https:\/\//, "destinations.acme.authUrl": /http:\/\// },
    ],
    [
      "a lock that takes too long to run out",
      (b) => (b.queue = { lockMs: 2001 }),
      { "queue.lockMs": /at most 5000/ },
    ],
    [
      "a lock that a stall would cost",
      (b) => (b.queue = { toleratedStallMs: 2000 }),
      { "queue.lockMs": /more than toleratedStallMs/ },
    ],
    [
      "answers later than senders wait",
      (b) => Object.assign(b, { http: { answerWithinMs: 50 }, queue: { groupCommitMs: 50 } }),
      { "queue.groupCommitMs": /http.answerWithinMs/, "redis.commandTimeoutMs": /http.answerWithinMs/ },
    ],
    [
      "answers later than a vendor waits",
      (b) => {
        b.http = { answerWithinMs: 5000 };
        const auth = { method: "address", allow: ["203.0.113.0/24"] };
        b.sources.tags = { vendor: "choosy", destination: "acme", speedUnit: "mph", auth };
      },
      {
        "http.answerWithinMs": "must be less than 3000: simple (sources.vans) waits no longer for an answer",
      },
    ],
    [
      "fewer slots than lanes",
      (b) => {
        b.queue = { concurrency: 9 };
        b.destinations.second = { ...b.destination, tenant: "124", lanes: 6 };
      },
      { "queue.concurrency": /^must be at least 10, the lanes of all destinations together/ },
    ],
    [
      "a request longer than an age",
      (b) => Object.assign(b.destination, { maxAgeMs: 20_000, maxBatchAgeMs: 20_000 }),
      {
        "destinations.acme.requestTimeoutMs": /less than maxAgeMs/,
        "destinations.acme.maxBatchAgeMs": /less than maxAgeMs/,
      },
    ],
    [
      "one throttle, two rates",
      (b) =>
        (b.destinations.second = { ...b.destination, provider: "other", ratePerSecond: 10, guardMs: 60 }),
      {
        "destinations.second.ratePerSecond": "must be 20 as in acme: same app and tenant, hence one throttle",
        "destinations.second.guardMs": /must be 40 as in acme/,
      },
    ],
    [
      "one client id twice at one broker",
      (b) =>
        (b.mqtt = { brokers: { ...brokers, again: { url: "tcp://HUB.test:1883", clientId: "waypost-1" } } }),
      { "mqtt.brokers.again.clientId": /also that of hub/ },
    ],
    [
      "a broker called listen",
      (b) => (b.mqtt = { brokers: { listen: brokers.hub } }),
      { "mqtt.brokers.listen": /cannot be called listen/ },
    ],
    [
      "a certificate without its key, and without encryption",
      (b) => (b.mqtt = { brokers: { hub: { ...brokers.hub, cert: import.meta.filename } } }),
      { "mqtt.brokers.hub.cert": /not encrypted/, "mqtt.brokers.hub.key": /is required with cert/ },
    ],
    [
      "a password alone in 3.1.1",
      (b) => (b.mqtt = { brokers: { hub: { ...brokers.hub, protocolVersion: 4, password: "p" } } }),
      { "mqtt.brokers.hub.username": /is required/ },
    ],
    [
      "devices that lead nowhere",
      (b) =>
        (b.mqtt = {
          listen: { devices: [device, { ...device, source: "vans" }, { ...device, username: "a/b" }] },
        }),
      { "mqtt.listen.devices[2].username": /without space/ },
    ],
    [
      "devices that lead nowhere, each well written",
      (b) => (b.mqtt = { listen: { devices: [device, { ...device, source: "vans" }] } }),
      {
        "mqtt.listen.devices[0].source": /names no source/,
        "mqtt.listen.devices[1].username": "is given twice",
        "mqtt.listen.devices[1].source": /is not listen/,
      },
    ],
    [
      "logins with names that nobody sees, and patterns that fit nothing",
      (b) =>
        (b.mqtt = {
          listen: {
            devices: [
              { ...device, username: "van\u200b1" },
              { ...device, username: "van\u202e2", speaksFor: [] },
              { ...device, speaksFor: ["van\u2066-*", ""] },
            ],
          },
        }),
      {
        "mqtt.listen.devices[0].username": /nothing invisible/,
        "mqtt.listen.devices[1].username": /nothing invisible/,
        "mqtt.listen.devices[1].speaksFor": /./,
        "mqtt.listen.devices[2].speaksFor[0]": /nothing invisible/,
        "mqtt.listen.devices[2].speaksFor[1]": /must not be empty/,
      },
    ],
    [
      "users that are not well written",
      (b) =>
        (b.sources.vans = {
          ...{ vendor: "choosy", destination: "acme", speedUnit: "mph" },
          auth: {
            method: "basic",
            users: ["", "a:b", " a", "a ", "a\u0000", "a\u200d"].map((username) => ({
              username,
              secret: "s",
            })),
          },
        }),
      Object.fromEntries(
        [0, 1, 2, 3, 4, 5].map((i) => [`sources.vans.auth.users[${i}].username`, /1 to 128 characters/]),
      ),
    ],
    [
      "users that do not go together",
      (b) =>
        (b.sources.vans = {
          ...{ vendor: "choosy", destination: "acme", speedUnit: "mph" },
          auth: {
            ...{ method: "basic", username: "account", secret: "s1" },
            users: [
              { username: "ann", secret: "s2" },
              { username: "ann", secret: "s3", secrets: ["s4"] },
              { username: "bob" },
            ],
          },
        }),
      {
        "sources.vans.auth.username": /does not go with users/,
        "sources.vans.auth.secret": /does not go with users/,
        "sources.vans.auth.users[1].username": "is given twice",
        "sources.vans.auth.users[1].secrets": /two ways/,
        "sources.vans.auth.users[2].secret": /is required by the method basic/,
      },
    ],
    [
      "users where the method has none",
      (b) =>
        (b.sources.vans = {
          ...{ vendor: "simple", destination: "acme" },
          auth: { secret: "s", users: [{ username: "ann", secret: "s" }] },
        }),
      {
        "sources.vans.auth.secret": /does not go with users/,
        "sources.vans.auth.users": /has no effect/,
      },
    ],
    ...(["header", "query"] as const).map(
      (id): Case => [
        `a device id from the ${id} under a signature of the body`,
        (b) =>
          (b.sources.vans = {
            ...{ vendor: "signed", destination: "acme", options: { id } },
            auth: { method: "hmac", secret: "s" },
          }),
        { "sources.vans.options.deviceId": /which the method hmac does not cover/ },
      ],
    ),
    [
      "a source that no device feeds",
      (b) => {
        b.sources.radios = { vendor: "radio", destination: "acme", mqtt: { broker: "listen" } };
        b.sources.others = { vendor: "radio", destination: "acme", mqtt: { broker: "listen" } };
        b.mqtt = { listen: { devices: [device] } };
      },
      { "sources.others.mqtt.broker": /no device there feeds/ },
    ],
    [
      "one port twice",
      (b) =>
        Object.assign(b, {
          http: { port: 9090 },
          mqtt: { listen: { port: 9090, devices: [{ ...device, source: "radios" }] } },
          sources: { radios: { vendor: "radio", destination: "acme", mqtt: { broker: "listen" } } },
        }),
      { "ops.port": "is also http.port", "mqtt.listen.port": /is also/ },
    ],
    [
      "a file that is not there",
      (b) => (b.mapping = { file: "nowhere.csv" }),
      { "mapping.file": /cannot be read \(.*nowhere\.csv\)/ },
    ],
    [
      "a redis that is none",
      (b) => (b.redis = { url: "http://user:hunter2@x", prefix: "a b" }),
      {
        "redis.url": "must be a URL that begins with redis:// or rediss://",
        "redis.prefix": /must be letters/,
      },
    ],
  ];

  test.each(cases)("%s", (_name, change, expected) => {
    const problems = problemsOf(load(settings((base) => void change(base))));
    expect(problems).toEqual(
      Object.fromEntries(
        Object.entries(expected).map(([path, words]) => [
          path,
          typeof words === "string" ? words : expect.stringMatching(words),
        ]),
      ),
    );
  });

  test("what looks similar and is right", () => {
    const config = good(
      load(
        settings((b) => {
          b.http = { port: 0, answerWithinMs: 2999 };
          b.ops.port = 0;
          b.queue = { lockMs: 2000, stalledCheckMs: 1500, toleratedStallMs: 1999, concurrency: 16 };
          b.destination.maxAgeMs = 0;
          b.destinations.other = { ...b.destination, tenant: "124", ratePerSecond: 5 };
          b.sources.people = {
            ...{ vendor: "choosy", destination: "acme", speedUnit: "mph" },
            auth: {
              method: "basic",
              users: [
                { username: "Ann Ö", secret: "s1", speaksFor: ["ann/*", "x"] },
                { username: "bob@example.com", secrets: ["s2", "s3"] },
              ],
            },
          };
          b.sources.sealed = {
            ...{ vendor: "signed", destination: "acme", options: { id: "body" } },
            auth: { method: "hmac", secret: "s" },
          };
          b.sources.carried = {
            ...{ vendor: "signed", destination: "acme", options: { id: "header" } },
            auth: { method: "bearer", secret: "s" },
          };
          b.destinations.sandbox = {
            ...{ ...b.destination, tenant: "9", environment: "custom" },
            ...{ apiUrl: "http://127.0.0.1:4000", authUrl: "http://[fd00::1]:4000/" },
          };
          b.destinations.neighbour = {
            ...b.destinations.sandbox,
            apiUrl: "http://sandbox:1",
            authUrl: "http://10.1.2.3",
          };
          b.sources.radios = {
            vendor: "radio",
            destination: "other",
            mqtt: { broker: "listen" },
            speedUnit: "kph",
          };
          b.sources.picky = {
            ...{ vendor: "picky", destination: "other", options: { topics: ["a/#", "b/+/c"] } },
            mqtt: { broker: "hub", topics: ["$share/group/a", "a/b/c", "b/#", "+/x/c", "b/x/c"] },
          };
          b.sources.hub = { vendor: "radio", destination: "other", mqtt: { broker: "hub" } };
          b.mqtt = {
            brokers: { ...brokers, other: { url: "mqtt://elsewhere.test", clientId: "waypost-1" } },
            listen: { port: 0, devices: [device, { ...device, username: "02:aa:bb" }] },
          };
        }),
      ),
    );
    expect(config.mqtt.listen?.devices[0]?.topics).toEqual(["%u/#"]);
  });

  test("names of JavaScript's own are no entries", () => {
    const loaded = load(settings((base) => (base.source.destination = "constructor")));
    expect(problemsOf(loaded)).toEqual({
      "sources.vans.destination": "names no destination of this configuration",
    });
    expect(problemsOf(loadFile(`${stringify(settings())}__proto__: { a: 1 }\n`))).toHaveProperty([
      "__proto__",
    ]);
  });
});

describe("the credentials of a vendor that is asked", () => {
  const at = (baseUrl: string) =>
    load(
      settings((b) => {
        const auth = { secret: "s", username: "u" };
        b.sources.vans = { vendor: "asked", destination: "acme", auth, pull: { baseUrl, database: "d" } };
      }),
    );

  test.each([
    "https://asked.example",
    "https://eu.asked.example/",
    "http://127.0.0.1:8099",
    "http://stand-in:8080",
    "http://10.1.2.3",
  ])("may go to %s", (baseUrl) => void good(at(baseUrl)));

  test.each([
    "http://asked.example",
    "http://eu.asked.example",
    "https://asked.example.evil.example",
    "https://evil.example",
    "https://asked.example:8443",
    "http://203.0.113.7",
    "https://203.0.113.7",
  ])("may not go to %s", (baseUrl) =>
    expect(problemsOf(at(baseUrl))).toEqual({
      "sources.vans.pull.baseUrl": expect.stringContaining("gets the credentials"),
    }),
  );
});

test("files are found beside the configuration file, wherever the program was started", () => {
  writeFileSync(join(dir, "mapping.csv"), "device,unit\n");
  const config = good(loadFile(stringify(settings((base) => (base.mapping = { file: "mapping.csv" })))));
  expect(config.mapping?.file).toBe(join(dir, "mapping.csv"));
});

describe("a single tenant on environment variables alone", () => {
  const env = {
    WAYPOST_SOURCE_VENDOR: "simple",
    WAYPOST_SOURCE_SECRET: "12345",
    WAYPOST_TENANT: "987654321",
    WAYPOST_PROVIDER: "acme-gps",
    WAYPOST_APP_KEY: "ak1.x",
    WAYPOST_CLIENT_ID: "cid.x",
    WAYPOST_CLIENT_SECRET: "cs.${x}",
    WAYPOST_OPS_TOKEN: "0123456789abcdef",
  };
  const loadEnv = (more: Record<string, string> = {}) =>
    loadConfig({ env: { ...env, ...more }, adapters, allowWeak: true });

  test("makes the same configuration as a file", () => {
    const fromFile = good(
      load({
        ops: { token: env.WAYPOST_OPS_TOKEN, port: 9191 },
        http: { port: 8181, trustedProxies: ["10.0.0.1", "10.1.0.0/16"] },
        redis: { url: "redis://r:6379" },
        sources: { simple: { vendor: "simple", destination: "servicetitan", auth: { secret: "12345" } } },
        destinations: {
          servicetitan: {
            ...{ tenant: "987654321", provider: "acme-gps", appKey: "ak1.x", clientId: "cid.x" },
            ...{ clientSecret: "cs.${x}", environment: "integration", ratePerSecond: 7 },
          },
        },
      }),
    );
    const fromEnv = loadEnv({
      WAYPOST_HTTP_PORT: "8181",
      WAYPOST_OPS_PORT: "9191",
      WAYPOST_REDIS_URL: "redis://r:6379",
      WAYPOST_TRUSTED_PROXIES: "10.0.0.1, 10.1.0.0/16",
      WAYPOST_ENVIRONMENT: "integration",
      WAYPOST_RATE_PER_SECOND: "7",
      WAYPOST_LOG_LEVEL: "",
    });
    expect(good(fromEnv)).toEqual(fromFile);
  });

  test("over MQTT", () => {
    const config = good(
      loadConfig({
        env: {
          ...Object.fromEntries(Object.entries(env).filter(([name]) => name !== "WAYPOST_SOURCE_SECRET")),
          WAYPOST_SOURCE_VENDOR: "radio",
          WAYPOST_SOURCE_NAME: "trackers",
          WAYPOST_MQTT_URL: "mqtts://broker.test",
          WAYPOST_MQTT_CLIENT_ID: "waypost",
          WAYPOST_MQTT_PROTOCOL_VERSION: "4",
          WAYPOST_MQTT_TOPICS: "a/#,b/+",
        },
        adapters,
        allowWeak: true,
      }),
    );
    expect(config.sources.trackers).toMatchObject({ mqtt: { broker: "mqtt", topics: ["a/#", "b/+"] } });
    expect(config.mqtt.brokers.mqtt).toMatchObject({ clientId: "waypost", protocolVersion: 4 });
  });

  test("for a vendor that has to be asked", () => {
    const config = good(
      loadEnv({
        WAYPOST_SOURCE_VENDOR: "asked",
        WAYPOST_SOURCE_USERNAME: "svc",
        WAYPOST_PULL_DATABASE: "acme",
        WAYPOST_PULL_BASE_URL: "https://eu.asked.example",
      }),
    );
    expect(config.sources.asked).toMatchObject({
      auth: { username: "svc", secret: "12345" },
      pull: { database: "acme", baseUrl: "https://eu.asked.example" },
    });
  });

  test("problems name the variable to change", () => {
    const problems = problemsOf(
      loadConfig({
        env: {
          WAYPOST_SOURCE_VENDOR: "choosy",
          WAYPOST_TENNANT: "1",
          WAYPOST_HTTP_PORT: "eighty",
          WAYPOST_SOURCE_AUTH_METHOD: "address",
          WAYPOST_SOURCE_ALLOW: "10.0.0.1,nowhere",
          WAYPOST_CLIENT_SECRET: "s",
          WAYPOST_CLIENT_ID: "c",
          WAYPOST_APP_KEY: "a",
          WAYPOST_PROVIDER: "p",
          // What Kubernetes adds by itself.
          WAYPOST_SERVICE_HOST: "10.0.0.7",
          WAYPOST_PORT: "tcp://10.0.0.7:8080",
          WAYPOST_PORT_8080_TCP_ADDR: "10.0.0.7",
        },
        adapters,
        allowWeak: true,
      }),
    );
    expect(problems).toEqual({
      WAYPOST_TENNANT: expect.stringContaining("is not a variable"),
      WAYPOST_HTTP_PORT: "must be a number",
      WAYPOST_SOURCE_ALLOW: expect.stringContaining("must be an address"),
      WAYPOST_OPS_TOKEN: "is required",
      WAYPOST_TENANT: "is required",
    });
    expect(problemsOf(loadEnv({ WAYPOST_SOURCE_SECRET: "" }))).toEqual({
      WAYPOST_SOURCE_SECRET: expect.stringContaining("cannot authenticate its sender"),
    });
  });
});

describe("proxies", () => {
  test("come from the environment, lower case first, and are handed on", () => {
    const env = {
      HTTPS_PROXY: "http://upper:1",
      https_proxy: "http://lower:2",
      HTTP_PROXY: "",
      NO_PROXY: "localhost,.test",
    };
    expect(good(load(settings(), env)).proxy).toEqual({
      httpsProxy: "http://lower:2",
      noProxy: "localhost,.test",
    });
  });

  test("must be addresses", () => {
    expect(problemsOf(load(settings(), { HTTPS_PROXY: "user:hunter2@proxy" }))).toEqual({
      HTTPS_PROXY: "must be an http:// or https:// URL",
    });
    expect(problemsOf(load(settings((base) => (base.proxy = {}))))).toHaveProperty("proxy");
  });
});

describe("secrets never show", () => {
  const SECRET = "Sw0rdf1sh";

  test("what is shown names each and holds none", () => {
    const config = good(
      load(
        settings((base) => {
          base.ops.token = `${SECRET}-long-enough`;
          base.redis = { url: `redis://user:${SECRET}@r.test:6379/2?password=${SECRET}` };
          base.source.auth = { secrets: [SECRET, `${SECRET}2`] };
          Object.assign(base.destination, { appKey: SECRET, clientId: SECRET, clientSecret: SECRET });
          base.sources.radios = { vendor: "radio", destination: "acme", mqtt: { broker: "listen" } };
          base.mqtt = {
            brokers: {
              hub: { url: `mqtts://u:${SECRET}@hub.test`, clientId: "w", username: "u", password: SECRET },
            },
            listen: { devices: [{ username: "v", password: SECRET, source: "radios" }] },
          };
        }),
        { HTTPS_PROXY: `http://u:${SECRET}@proxy:3128` },
      ),
    );
    const described = shownOf(config);
    expect(described).not.toContain(SECRET);
    const shown = parse(described);
    const reference = expect.stringMatching(/^\$\{[A-Z0-9_]+\}$/);
    expect(shown.sources.vans.auth.secrets).toEqual([reference, reference]);
    expect(shown.redis.url).toEqual(reference);
    expect(shown.mqtt.brokers.hub).toMatchObject({ url: reference, username: "u", password: reference });
    expect(shown.destinations.acme).toMatchObject({ tenant: "123", appKey: reference, lanes: 4 });
    for (const line of [
      "redis.url is redis://(set)@r.test:6379/2?(set)",
      "mqtt.brokers.hub.url is mqtts://(set)@hub.test",
      "From the environment: httpsProxy http://(set)@proxy:3128",
    ])
      expect(described).toContain(`# ${line}\n`);
  });

  test("nor in a problem, whatever is wrong with the setting they stand in", () => {
    const config = settings();
    const places: (string | number)[][] = [];
    const note = (value: unknown, path: (string | number)[]) => {
      if (typeof value !== "object" || value === null) places.push(path);
      else for (const [key, item] of Object.entries(value)) note(item, [...path, key]);
    };
    note(config, []);
    expect(places.length).toBeGreaterThan(8);
    for (const wrong of [`${SECRET}\n`, ` ${SECRET}`, `${SECRET}\${`, { [SECRET]: 1 }, [SECRET]]) {
      for (const path of places) {
        const broken = structuredClone(parse(stringify(config)));
        let at = broken;
        for (const step of path.slice(0, -1)) at = at[step];
        at[path.at(-1) ?? ""] = wrong;
        const text = stringify(broken);
        const loaded = loadFile(text);
        if ("config" in loaded) continue;
        // A key is shown, so that it can be found; only a value is secret.
        const shown = JSON.stringify(loaded.problems);
        if (typeof wrong === "string" || Array.isArray(wrong)) expect(shown, text).not.toContain(SECRET);
      }
    }
  });

  test("nor when the space after the colon is missing", () => {
    const problems = JSON.stringify(
      loadFile(`ops: {token:${SECRET}-long-enough}\nsources: {}\ndestinations: {}\n`),
    );
    expect(problems).toContain("ops.token");
    expect(problems).not.toContain(SECRET);
  });
});

describe("a secret that can authenticate no sender", () => {
  const adapters: AdapterFacts[] = [
    {
      vendor: "simple",
      transports: ["webhook"],
      auth: [
        {
          name: "shared-key",
          needs: ["secrets"],
          secretProblem: (secret) => (secret.startsWith("base64") ? null : "must be base64"),
        },
      ],
      speedUnit: "mph",
    },
  ];
  const refused = (auth: Settings) => {
    const value = settings(({ source }) => Object.assign(source, { auth }));
    return loadConfig({ settings: value, env: {}, adapters, allowWeak: true });
  };

  test("is reported with its place, and not quoted", () => {
    expect(problemsOf(refused({ secret: "hook-secret" }))).toEqual({
      "sources.vans.auth.secret": "must be base64",
    });
    expect(problemsOf(refused({ secrets: ["base64-1", "hook-secret"] }))).toEqual({
      "sources.vans.auth.secrets[1]": "must be base64",
    });
    good(refused({ secrets: ["base64-1", "base64-2"] }));
  });
});
