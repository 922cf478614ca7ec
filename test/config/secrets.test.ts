/** What check and start refuse of secrets and of what lies open, unless it is allowed; and what they warn of. */

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references to the environment look like that

import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { adapters } from "../../src/adapters/index.ts";
import { loadConfig } from "../../src/config/load.ts";
import { weaknessOf } from "../../src/config/secrets.ts";

const dir = mkdtempSync(join(tmpdir(), "waypost-secrets-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** As `openssl rand` makes them. */
const [OPS, HOOK, PHONE, OTHER] = [
  "3f1a9c07be52d8648e0b7d19",
  "a90c4e7b12f36d58c1e8b042",
  "Zt7!pQ2m#Lx9",
  "e7d2b6f08c4193a5d0f6e29b",
];

type Settings = Record<string, unknown>;

/** Two tenants with a webhook each, a device, a broker and a vendor that is asked; everything in it is right. */
function settings(change: (at: ReturnType<typeof right>) => void = () => {}) {
  const all = right();
  change(all);
  return all;
}
function right() {
  const destination = (tenant: string) => ({
    ...{ tenant, provider: "acme-gps", appKey: "ak1.x", clientId: "cid.x", clientSecret: "cs" },
  });
  const auth: Record<"vans" | "trucks" | "bouncie" | "geotab", Settings> = {
    vans: { method: "bearer", secret: HOOK },
    trucks: { method: "basic", username: "trucks-user", secret: OTHER },
    bouncie: { secret: "k7Qw-92x" },
    geotab: { username: "svc", secret: "short" },
  };
  const broker: Settings = {
    url: "mqtts://broker.example.com",
    clientId: "w",
    username: "w",
    password: "pw",
  };
  const topics = ["owntracks/%u/#"];
  const device: Settings = { username: "anna", password: PHONE, source: "phones", topics };
  const devices = [device];
  const http: Settings = { host: "127.0.0.1" };
  const ops: Settings = { token: OPS };
  const redis: Settings = {};
  return {
    ...{ http, ops, redis, auth, broker, device },
    mqtt: { brokers: { fleet: broker }, listen: { host: "127.0.0.1", devices } as Settings },
    sources: {
      vans: { vendor: "json", destination: "acme", auth: auth.vans },
      trucks: { vendor: "json", destination: "beta", auth: auth.trucks },
      bouncie: { vendor: "bouncie", destination: "acme", auth: auth.bouncie },
      geotab: { vendor: "geotab", destination: "acme", auth: auth.geotab, pull: { database: "acme" } },
      phones: { vendor: "owntracks", destination: "acme", mqtt: { broker: "listen" } },
      buses: { vendor: "owntracks", destination: "acme", mqtt: { broker: "fleet" } },
    } as Record<string, Settings>,
    destinations: { acme: destination("1001"), beta: destination("2002") } as Record<string, Settings>,
  };
}

function load(
  { auth: _auth, broker: _broker, device: _device, ...written }: ReturnType<typeof right>,
  { allowWeak = false, env = {} }: { allowWeak?: boolean; env?: Record<string, string> } = {},
) {
  return loadConfig({ settings: written, env, adapters, allowWeak });
}
/** Each as `path message`. */
function problems(...args: Parameters<typeof load>): string[] {
  const loaded = load(...args);
  return "config" in loaded ? [] : loaded.problems.map(({ path, message }) => `${path} ${message}`);
}
function warnings(...args: Parameters<typeof load>): string[] {
  const loaded = load(...args);
  if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems));
  return loaded.warnings.map(({ path, message }) => `${path} ${message}`);
}

test("strong secrets are accepted, and secrets that authenticate us to others are not checked", () => {
  expect(problems(settings())).toEqual([]);
  expect(warnings(settings())).toEqual([]);
});

type Change = (at: ReturnType<typeof right>) => void;

describe("a weak secret", () => {
  const cases: [string, Change, string][] = [
    [
      "too short for a program's",
      (c) => (c.auth.vans.secret = HOOK.slice(0, 15)),
      "sources.vans.auth.secret must have at least 16",
    ],
    [
      "too short for a person's",
      (c) => (c.auth.trucks.secret = PHONE.slice(1)),
      "sources.trucks.auth.secret must have at least 12",
    ],
    [
      "too short for a device",
      (c) => (c.device.password = PHONE.slice(1)),
      "mqtt.listen.devices[0].password must have at least 12",
    ],
    [
      "too short for a vendor's",
      (c) => (c.auth.bouncie.secret = "k7Qw-92"),
      "sources.bouncie.auth.secret must have at least 8",
    ],
    [
      "of few characters",
      (c) => (c.ops.token = "aabbccddeeaabbdcedca"),
      "ops.token has fewer than 6 different",
    ],
    ["a word twice", (c) => (c.ops.token = "Fleetwood-9Fleetwood-9"), "ops.token repeats itself"],
    [
      "of one character",
      (c) => (c.device.password = "111111111111"),
      "mqtt.listen.devices[0].password has fewer than 6",
    ],
    [
      "its username",
      (c) => Object.assign(c.device, { username: "Van-1-of-the-fleet", password: "van-1-of-the-FLEET" }),
      "mqtt.listen.devices[0].password is little more than a name",
    ],
    [
      "its username and a little",
      (c) => (c.auth.trucks.secret = "9Trucks-User!"),
      "sources.trucks.auth.secret is little more than a name",
    ],
    [
      "its source's name",
      (c) => (c.auth.vans.secret = "vansvansvans-2026-K!"),
      "sources.vans.auth.secret is little more than a name",
    ],
    [
      "its tenant's number",
      (c) => (c.auth.vans.secret = "1001-x1001-y1001"),
      "sources.vans.auth.secret is little more than a name",
    ],
    [
      "printed in an example",
      (c) => (c.auth.vans.secret = "unused-until-rotation"),
      "sources.vans.auth.secret is printed in an example",
    ],
    [
      "the second of a rotation",
      (c) => (c.auth.vans = { method: "bearer", secrets: [HOOK, "short"] }),
      "sources.vans.auth.secrets[1] must have at least 16",
    ],
    [
      "the same for both of a rotation",
      (c) => {
        c.sources.vans = { ...c.sources.vans, auth: { method: "bearer", secrets: [HOOK, HOOK] } };
      },
      "sources.vans.auth.secrets[1] is the same as the first",
    ],
    [
      "the same in two tenants",
      (c) => (c.auth.trucks.secret = HOOK),
      "sources.trucks.auth.secret is also sources.vans.auth.secret: one tenant could",
    ],
    [
      "the same for another tenant's device",
      (c) => (c.auth.trucks.secret = PHONE),
      "sources.trucks.auth.secret is also mqtt.listen.devices[0].password",
    ],
    [
      "a webhook's and another tenant's at ServiceTitan",
      (c) => Object.assign(c.destinations.beta ?? {}, { clientSecret: HOOK }),
      "destinations.beta.clientSecret is also sources.vans.auth.secret",
    ],
    [
      "the ops token's",
      (c) => (c.auth.vans.secret = OPS),
      "sources.vans.auth.secret is also ops.token: whoever knows one knows both",
    ],
    [
      "the ops token's, at a device",
      (c) => (c.device.password = OPS),
      "mqtt.listen.devices[0].password is also ops.token",
    ],
    [
      "the ops token's, at a broker",
      (c) => (c.broker.password = OPS),
      "mqtt.brokers.fleet.password is also ops.token",
    ],
    [
      "the ops token's, in an address",
      (c) => (c.redis.url = `rediss://:${OPS}@redis.example.com`),
      "redis.url is also ops.token",
    ],
  ];

  test.each(cases)("is refused: %s", (_name, change, problem) => {
    const changed = settings(change);
    // The group of a source may have been replaced as a whole.
    for (const [name, auth] of Object.entries(changed.auth)) {
      const source = changed.sources[name];
      if (source && !Object(source.auth).secrets) source.auth = auth;
    }
    const found = problems(changed);
    expect(found.filter((text) => text.startsWith(problem))).toHaveLength(1);
    expect(new Set(found.map((text) => text.split(" ")[0])).size).toBe(1);
    expect(JSON.stringify(found)).not.toMatch(new RegExp(`${OPS}|${HOOK}|Fleetwood|unused-until`));
    // Allowed, it is a warning in the same words.
    expect(warnings(changed, { allowWeak: true })).toEqual(found);
  });

  test.each([
    ...["passwordpassword", "Password12345678", "p4ssw0rd-p4ssw0rd", "changeme-changeme", "secret1234567890"],
    ...["0123456789abcdef", "1234567890abcdef", "fedcba9876543210", "qwertyuiopasdfgh", "1qaz2wsx3edc4rfv"],
    ...["your-secret-token-here", "my.secret.password", "abcdefghijklmnopqrs", "0123456789abcdefX!"],
    ...["waypost-test-token-1234", "servicetitan-webhook"],
  ])("is refused where a guesser begins: %s", (token) => {
    expect(problems(settings((c) => (c.ops.token = token)))).toEqual([expect.stringMatching(/^ops\.token /)]);
  });

  test("is none: what a program made, whatever it made", () => {
    for (let i = 0; i < 2000; i++) {
      const bytes = crypto.getRandomValues(new Uint8Array(24));
      for (const encoding of ["hex", "base64", "base64url"] as const)
        expect(weaknessOf(Buffer.from(bytes).toString(encoding))).toBeNull();
    }
  });

  test("may be shared by two sources of one tenant", () => {
    const change: Change = (c) => {
      c.sources.more = { ...c.sources.vans };
    };
    expect(problems(settings(change))).toEqual([]);
  });

  test("is checked in five thousand devices at once", () => {
    const change: Change = (c) => {
      c.mqtt.listen.devices = Array.from({ length: 5000 }, (_, i) => ({ ...c.device, username: `d${i}` }));
    };
    const startedAt = performance.now();
    expect(problems(settings(change))).toEqual([]);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });
});

describe("a secret has no default, and an unset second one is none", () => {
  let files = 0;
  function loadFile(change: Change, env: Record<string, string> = {}) {
    files += 1;
    const file = join(dir, `${files}.yaml`);
    const { auth: _auth, broker: _broker, device: _device, ...written } = settings(change);
    writeFileSync(file, stringify(written, { aliasDuplicateObjects: false }));
    return loadConfig({ file, env, adapters });
  }
  const problemsOf = (...args: Parameters<typeof loadFile>) => {
    const loaded = loadFile(...args);
    return "config" in loaded ? [] : loaded.problems.map(({ path, message }) => `${path} ${message}`);
  };

  const KEYS = { A: HOOK, B: OTHER.replace("e", "f") };
  const rotation =
    (...secrets: string[]): Change =>
    (c) => {
      c.sources.vans = { vendor: "json", destination: "acme", auth: { method: "bearer", secrets } };
    };

  test.each([
    ["${B:-}", {}],
    ["${B:-}", { B: "" }],
    ["${B}", { B: "" }],
  ])("an unset %s with %o", (second, env) => {
    const loaded = loadFile(rotation("${A}", second), { A: HOOK, ...env });
    if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems));
    expect(loaded.config.sources.vans?.auth?.secrets).toEqual([HOOK]);
  });

  test("set, it counts", () => {
    const loaded = loadFile(rotation("${A}", "${B:-}"), KEYS);
    if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems));
    expect(loaded.config.sources.vans?.auth?.secrets).toEqual(Object.values(KEYS));
  });

  test("the only one is missed, and an empty one that is written is a mistake", () => {
    expect(problemsOf(rotation("${A:-}", "${B:-}"))).toEqual([
      "sources.vans.auth.secrets must be at least 1 entries",
    ]);
    expect(problemsOf(rotation("${A}", ""), KEYS)).toEqual([
      "sources.vans.auth.secrets[1] must not be empty",
    ]);
    expect(problemsOf((c) => (c.ops.token = "${T:-}"))).toContain("ops.token must not be empty");
  });

  test.each<[string, Change]>([
    ["ops.token", (c) => (c.ops.token = `\${T:-${OPS}}`)],
    ["ops.token", (c) => (c.ops.token = "${T:-0123}${U}")],
    ["sources.vans.auth.secrets[1]", rotation("${A}", `\${B:-${KEYS.B}}`)],
    ["mqtt.listen.devices[0].password", (c) => (c.device.password = `\${P:-${PHONE}}`)],
    ["mqtt.brokers.fleet.password", (c) => (c.broker.password = "${P:-guest}")],
    [
      "destinations.acme.clientSecret",
      (c) => Object.assign(c.destinations.acme ?? {}, { clientSecret: "${C:-x}" }),
    ],
    ["redis.url", (c) => (c.redis.url = "redis://waypost:${P:-hunter22}@redis:6379")],
    ["redis.url", (c) => (c.redis.url = "${URL:-redis://:hunter22@redis:6379}")],
    ["redis.url", (c) => (c.redis.url = "redis://redis:6379?password=${P:-hunter22}")],
    ["mqtt.brokers.fleet.url", (c) => (c.broker.url = "mqtts://u:${P:-hunter22}@hub.example.com")],
  ])("a default is refused, whatever the environment says: %s %#", (path, change) => {
    const env = { ...KEYS, T: OPS, U: OPS, P: PHONE, C: "c".repeat(20), URL: "redis://redis" };
    const found = problemsOf(change, env);
    expect(found).toEqual([expect.stringMatching(/ has a default for a secret/)]);
    expect(found[0]?.split(" ")[0]).toBe(path);
    expect(found[0]).not.toContain("hunter22");
  });

  test("other settings may have one, those of an address too", () => {
    expect(
      problemsOf(
        (c) => {
          c.redis.url = "redis://${RUSER:-waypost}:${P}@${HOST:-127.0.0.1}:${PORT:-6380}/${DB:-0}";
          c.device.username = "${NAME:-anna}";
        },
        { P: OTHER },
      ),
    ).toEqual([]);
  });
});

describe("a password in the clear", () => {
  const to =
    (url: string, more: Settings = {}): Change =>
    (c) =>
      Object.assign(c.broker, { url, ...more });

  test.each([
    ...["mqtt://broker.example.com", "tcp://broker.example.com:1883", "ws://broker.example.com/mqtt"],
    ...["mqtt://8.8.8.8", "mqtt://134744072", "mqtt://0x8.8.8.8", "mqtt://[2001:4860:4860::8888]"],
    ...["mqtt://[::ffff:8.8.8.8]", "mqtt://BROKER.EXAMPLE.COM.", "mqtt://100.64.0.1"],
  ])("does not go to %s", (url) => {
    const expected = [expect.stringMatching(/^mqtt\.brokers\.fleet\.url must be mqtts:\/\//)];
    expect(problems(settings(to(url)))).toEqual(expected);
    expect(warnings(settings(to(url)), { allowWeak: true })).toEqual(expected);
    const inAddress = url.replace("://", "://user:Pq83-kkw@");
    expect(problems(settings(to(inAddress, { password: undefined })))).toEqual(expected);
    expect(problems(settings(to(url, { password: undefined, username: undefined })))).toEqual([]);
  });

  test.each([
    ...["mqtt://127.0.0.1", "mqtt://[::1]", "mqtt://10.1.2.3", "tcp://192.168.7.7", "ws://172.31.0.9"],
    ...[
      "mqtt://mosquitto",
      "mqtt://localhost",
      "mqtt://hub.local",
      "mqtt://hub.iot.svc",
      "mqtt://HUB.Internal.",
    ],
    ...["mqtt://[fd12::7]", "mqtt://169.254.1.1", "mqtts://broker.example.com", "wss://8.8.8.8"],
  ])("may go to %s", (url) => expect(problems(settings(to(url)))).toEqual([]));

  test("does not go to a Redis on a public network", () => {
    for (const url of ["redis://:Pq83-kkw@redis.example.com", "redis://8.8.8.8?password=Pq83-kkw"]) {
      expect(problems(settings((c) => (c.redis.url = url)))).toEqual([
        "redis.url must be rediss://: the password crosses a public network in the clear",
      ]);
      const encrypted = url.replace("redis:", "rediss:");
      expect(problems(settings((c) => (c.redis.url = encrypted)))).toEqual([]);
    }
    expect(problems(settings((c) => (c.redis.url = "redis://:Pq83-kkw@redis:6379")))).toEqual([]);
  });

  test("does not go to a server that shows no certificate of its own", () => {
    const unverified = { rejectUnauthorized: false };
    expect(problems(settings(to("mqtts://broker.example.com", unverified)))).toEqual([
      expect.stringMatching(/^mqtt\.brokers\.fleet\.rejectUnauthorized must be true/),
    ]);
    expect(problems(settings(to("mqtts://hub.local", unverified)))).toEqual([]);
  });
});

describe("a range that means everybody", () => {
  test.each([
    ...[
      "0.0.0.0/0",
      "0.0.0.0/1",
      "128.0.0.0/1",
      "8.0.0.0/7",
      "::/0",
      "2000::/3",
      "::ffff:0:0/96",
      "::ffff:0.0.0.0/100",
    ],
    ...["fc00::/6", "2001::/15"],
  ])("proves nothing, and is no proxy: %s", (range) => {
    const listed: Change = (c) => {
      c.http.trustedProxies = ["10.0.0.1", range];
      c.sources.vans = { ...c.sources.vans, auth: { method: "address-list", allow: [range] } };
    };
    const found = problems(settings(listed));
    expect(found).toEqual([
      expect.stringMatching(/^http\.trustedProxies\[1\] is so wide/),
      expect.stringMatching(/^sources\.vans\.auth\.allow\[0\] is so wide/),
    ]);
    expect(warnings(settings(listed), { allowWeak: true })).toEqual(found);
  });

  test.each([
    "10.0.0.0/8",
    "203.0.113.0/24",
    "203.0.113.7",
    "fd00::/8",
    "fc00::/7",
    "2001:db8::/32",
    "::1",
    "::ffff:10.0.0.0/104",
  ])("is none: %s", (range) =>
    expect(problems(settings((c) => (c.http.trustedProxies = [range])))).toEqual([]),
  );
});

describe("it is warned of", () => {
  test.each<[string, Change]>([
    ["http.host", (c) => (c.http.host = "0.0.0.0")],
    ["http.host", (c) => (c.http.host = "::")],
    ["http.host", (c) => (c.http.host = "203.0.113.7")],
    ["ops.host", (c) => (c.ops.host = "0.0.0.0")],
    ["ops.host", (c) => (c.ops.host = "[::]")],
    ["mqtt.listen.host", (c) => (c.mqtt.listen.host = "0.0.0.0")],
  ])("a plain listener where others reach it: %s %#", (path, change) => {
    expect(warnings(settings(change))).toEqual([
      expect.stringMatching(/ listens without TLS where other machines/),
    ]);
    expect(warnings(settings(change))[0]?.split(" ")[0]).toBe(path);
  });

  test("not where a TLS proxy stands before it, or only this machine or network reaches it", () => {
    const change: Change = (c) => {
      Object.assign(c.http, { host: "0.0.0.0", trustedProxies: ["10.0.0.7"] });
      c.ops.host = "localhost";
      c.mqtt.listen.host = "10.0.0.8";
    };
    expect(warnings(settings(change))).toEqual([]);
  });

  test("a proxy's password in the clear", () => {
    const env = {
      HTTPS_PROXY: "http://u:Pq83-kkw@proxy.example.com:3128",
      HTTP_PROXY: "http://u:p@proxy:3128",
    };
    expect(warnings(settings(), { env })).toEqual([
      "HTTPS_PROXY sends its password over a public network in the clear; use https:// to the proxy",
    ]);
  });
});

describe("gps_provider", () => {
  const named = (provider: string) =>
    problems(settings((c) => Object.assign(c.destinations.acme ?? {}, { provider })));

  test.each(["acme-gps", "Acme_GPS.2", "a~b", "7"])("may be %s", (provider) =>
    expect(named(provider)).toEqual([]),
  );

  test.each([
    "acme/gps",
    "acme gps",
    "acme%2Fgps",
    "..",
    ".",
    "a?b",
    "a#b",
    "gps\\\\x",
    "gpś",
    "a:b",
    "a;b",
    "a+b",
  ])("would not stand for itself in the address: %s", (provider) =>
    expect(named(provider)).toEqual([
      expect.stringMatching(/^destinations\.acme\.provider must be the name/),
    ]),
  );
});

describe("what is shipped", () => {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const files = [
    ...["waypost.example.yaml", ".env.example", "README.md", "Dockerfile", "src/adapters/README.md"],
    ...["deploy", "docs"].flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((name) =>
        join(folder, name),
      ),
    ),
  ].filter((name) => statSync(join(root, name)).isFile() && !name.endsWith(".png"));
  /** What stands where a secret is asked for: `token: …`, `PASSWORD=…`, the entries of `secrets:`, `Bearer …`. */
  const PLACES = [
    /(?:token|secrets?|password|appKey|clientId|clientSecret)["']?[^\S\n]*[:=][^\S\n]*["']?([^\s"',}]+)/gi,
    /(?:TOKEN|SECRET|PASSWORD|APP_KEY|CLIENT_ID|_KEY)(?:_[A-Z]+)?(?::-|=)([^\s}'"]+)/g,
    /secrets:\n\s+- (\S+)\n\s+- (\S+)/g,
    /Bearer ([^\s"'`]+)/g,
  ];

  test("prints no secret that would be accepted", () => {
    expect(files.length).toBeGreaterThan(6);
    const found = files.flatMap((name) => {
      const text = readFileSync(join(root, name), "utf8");
      return PLACES.flatMap((place) => [...text.matchAll(place)].flatMap(([, ...values]) => values)).map(
        (value) => ({ name, value }),
      );
    });
    expect(found.length).toBeGreaterThan(10);
    const literal = found.filter(({ value }) => !/^\$|^<|^\|/.test(value));
    for (const { name, value } of literal) expect(weaknessOf(value), `${name}: ${value}`).not.toBeNull();
  });

  test("an example's second secret is none until it is set", () => {
    const text = readFileSync(join(root, "waypost.example.yaml"), "utf8");
    const env = Object.fromEntries(
      [...text.matchAll(/\$\{([A-Z0-9_]+)\}/g)].map(([, name]) => [name, `${name}-7c1e90b4`]),
    );
    const loaded = loadConfig({ file: join(root, "waypost.example.yaml"), env, adapters });
    if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems));
    expect(loaded.config.sources["acme-trackers"]?.auth?.secrets).toEqual(["TRACKER_KEY-7c1e90b4"]);
  });
});
