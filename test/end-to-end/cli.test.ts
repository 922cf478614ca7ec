/** The commands as an operator meets them: help, configuration, decoding, and starting on the environment alone. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parse } from "yaml";
import { SANDBOX_CLIENT, type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { runCli, startCli } from "../support/cli-process.ts";
import { BEARER, quietPort, startGatewayProcess, TOKEN } from "../support/gateway-process.ts";
import { scaled } from "../support/speed.ts";
import { until } from "../support/wait.ts";

// Each command is a process that loads TypeScript first, and the machine may be busy.
vi.setConfig({ testTimeout: scaled(120_000) });

const SECRET = "a-secret-nobody-may-see";
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "waypost-cli-test-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(dir, name);
  writeFileSync(path, text);
  return path;
}

const GOOD = `
http: { host: 127.0.0.1 }
ops:
  token: ${SECRET}-ops
sources:
  vans:
    vendor: json
    destination: acme
    auth: { method: bearer, secret: ${SECRET}-vans }
destinations:
  acme:
    tenant: "1000001"
    provider: waypost
    appKey: ${SECRET}-app
    clientId: acme
    clientSecret: ${SECRET}-client
`;

describe("help", () => {
  const COMMANDS: Record<string, string[]> = {
    "": ["init", "start", "check", "decode", "replay", "sandbox"],
    start: ["--config", "--allow-weak"],
    check: ["--config", "--show", "--ports", "--allow-weak"],
    init: ["--vendor", "--tenant", "--provider", "--secrets", "--out", "--force"],
    decode: [
      "[vendor]",
      "--topic",
      "--headers",
      "--query",
      "--content-type",
      "--speed-unit",
      "--received-at",
    ],
    replay: ["<capture>", "--source", "--speed", "--shift", "--lines", "--concurrency", "--json"],
  };

  test("names what each command takes", async () => {
    for (const [command, expected] of Object.entries(COMMANDS)) {
      const { ended, stdout, stderr } = await runCli([command, "--help"].filter((word) => word !== ""));
      expect({ ended, stderr }).toEqual({ ended: "exit code 0", stderr: "" });
      for (const word of expected) expect(stdout, command).toContain(word);
    }
  });

  test("is offered for what makes no sense", async () => {
    for (const [args, said] of [
      [["strat"], /unknown command 'strat'/],
      [["replay", "x.jsonl"], /required option '--source <name>'/],
      [["replay", "x.jsonl", "--source", "vans", "--speed", "fast"], /use recorded, x<N>/],
    ] as const) {
      const { ended, stderr } = await runCli(args);
      expect(ended, args.join(" ")).toBe("exit code 1");
      expect(stderr).toMatch(said);
    }
  });
});

describe("check", () => {
  test("finds a right configuration right, and shows it without secrets", async () => {
    const config = file("good.yaml", GOOD);
    const plain = await runCli(["check", "--config", config]);
    expect(plain).toEqual({
      ended: "exit code 0",
      stdout: "The configuration is right: 1 source, 1 destination.\n",
      stderr: "",
    });
    const { ended, stdout, stderr } = await runCli(["check", "--config", config, "--show"]);
    expect(ended).toBe("exit code 0");
    expect(stdout).not.toContain(SECRET);
    expect(stdout).toMatch(/clientSecret: \$\{DESTINATIONS_ACME_CLIENTSECRET\}/);
    // Standard output is YAML alone, with what to enter at the vendor as comments.
    expect(parse(stdout)).toMatchObject({ sources: { vans: { vendor: "json" } } });
    expect(stdout).toContain("# json: https://<your host>/webhooks/vans\n");
    expect(stderr).toMatch(/^The configuration is right/);
    // Defaults are part of how it is understood.
    expect(stdout).toMatch(/maxBatchPings: 100/);
  });

  test("warns of what lies open, and finds the configuration right", async () => {
    const open = GOOD.replace("host: 127.0.0.1", "host: 0.0.0.0");
    const { ended, stdout, stderr } = await runCli(["check", "--config", file("open.yaml", open)]);
    expect(ended).toBe("exit code 0");
    expect(stdout).toMatch(/^The configuration is right/);
    expect(stderr).toMatch(/^warning: line 2: http\.host listens without TLS/);
  });

  const MAPPING = "device,unit\n356938035643809,van-1\n3.52094E+14,van-2\n,van-3\n";

  test.each(["check", "start"])("%s refuses a mapping file in the same words", async (command) => {
    const mapping = file("fleet.csv", MAPPING);
    // Its name is relative to the configuration, wherever the command is run.
    const config = file("mapped.yaml", `${GOOD}mapping: { file: fleet.csv }\n`);
    const { ended, stdout, stderr } = await runCli([command, "--config", config]);
    expect({ ended, stdout }).toEqual({ ended: "exit code 1", stdout: "" });
    expect(stderr.split("\n")).toEqual([
      expect.stringMatching(`^${mapping}: line 3: device is a rounded number`),
      `${mapping}: line 4: device is missing`,
      "",
    ]);
  });

  test("reads the mapping file and the spool's place", async () => {
    file("right.csv", "device\n1\n2\n");
    const mapped = file(
      "right.yaml",
      `${GOOD}mapping: { file: right.csv }\nspool: { dir: ${dir}/new/spool }\n`,
    );
    const right = await runCli(["check", "--config", mapped]);
    expect(right.stdout).toBe("The configuration is right: 1 source, 1 destination, 2 mapping rows.\n");
    const spooled = file("spooled.yaml", `${GOOD}spool: { dir: ${file("no-directory", "")}/spool }\n`);
    const { ended, stderr } = await runCli(["check", "--config", spooled]);
    expect(ended).toBe("exit code 1");
    expect(stderr).toMatch(/^spool\.dir: .*no-directory/);
  });

  const WEAK = GOOD.replace(`${SECRET}-vans`, "changeme-changeme").replace(
    "http: {",
    "http: { trustedProxies: [0.0.0.0/0],",
  );

  test.each(["check", "start"])("%s refuses weak secrets and what lies open", async (command) => {
    const { ended, stdout, stderr } = await runCli([command, "--config", file("weak.yaml", WEAK)]);
    expect({ ended, stdout }).toEqual({ ended: "exit code 1", stdout: "" });
    expect(stderr).toContain("sources.vans.auth.secret is made of words");
    expect(stderr).toContain("http.trustedProxies[0] is so wide that it means everybody");
    expect(stderr).toMatch(/2 problems; nothing was started\.\n$/);
    expect(stderr).not.toContain("changeme");
  });

  test("lets them pass where that is wanted, and says so", async () => {
    const { ended, stderr } = await runCli(["check", "--allow-weak", "--config", file("weak.yaml", WEAK)]);
    expect(ended).toBe("exit code 0");
    expect(stderr).toMatch(/^warning: line \d+: sources\.vans\.auth\.secret is made of words/);
  });

  const WRONG = `
ops: { token: short }
sources:
  vans: { vendor: jsn, destination: nowhere, auth: { secret: "${SECRET}" } }
destinations:
  acme:
    tenant: acme
    provider: waypost
    appKey: "${SECRET}"
    clientId: acme
    clientSecret: \${NOT_SET_ANYWHERE}
    ratePerSekond: 10
queue: { lockMs: 4000 }
`;
  const PROBLEMS = [
    "ops.token must have at least 16 characters",
    "sources.vans.vendor is not a known vendor",
    "sources.vans.destination names no destination",
    "destinations.acme.tenant must be the numeric tenant id",
    "destinations.acme.clientSecret",
    "ratePerSekond",
    "queue.",
  ];

  test.each(["check", "start"])(
    "%s names every problem of a wrong one at once and starts nothing",
    async (command) => {
      const { ended, stdout, stderr } = await runCli([command, "--config", file("wrong.yaml", WRONG)]);
      expect({ ended, stdout }).toEqual({ ended: "exit code 1", stdout: "" });
      for (const problem of PROBLEMS) expect(stderr).toContain(problem);
      expect(stderr).toMatch(/problems; nothing was started\.\n$/);
      expect(stderr).not.toContain(SECRET);
    },
  );

  test("says what is missing where nothing was given", async () => {
    const none = await runCli(["check"]);
    expect(none.ended).toBe("exit code 1");
    expect(none.stderr).toMatch(/--config/);
    const absent = await runCli(["check", "--config", join(dir, "absent.yaml")]);
    expect(absent.ended).toBe("exit code 1");
    expect(absent.stderr).toContain("absent.yaml");
  });
});

describe("decode", () => {
  /** Exactly the keys that were promised, with the types that were promised. */
  function expectShape(stdout: string): Record<string, unknown> {
    expect(stdout.trim().split("\n")).toHaveLength(1);
    const said = JSON.parse(stdout);
    expect(Object.keys(said).sort()).toEqual(["kind", "readings", "rejections"]);
    expect(["decoded", "ignored", "handshake", "malformed"]).toContain(said.kind);
    for (const reading of said.readings) {
      expect(Object.keys(reading).sort()).toEqual(
        ["deviceId", "fixTime", "headingDeg", "latitude", "longitude", "speedMps"].sort(),
      );
      expect(reading.fixTime).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    }
    for (const rejection of said.rejections)
      expect(Object.keys(rejection).sort()).toEqual(["path", "reason"]);
    return said;
  }

  const sample = (name: string) => readFileSync(`test/fixtures/${name}`);
  const topic = (name: string) => JSON.parse(sample(`${name}.request.json`).toString()).topic as string;

  test.each([
    ["bouncie", "bouncie/trip-data.json", [], "decoded"],
    ["bouncie", "bouncie/trip-metrics.json", [], "ignored"],
    ["motive", "motive/location-updated.json", ["--speed-unit", "kph"], "decoded"],
    ["motive", "motive/test-actions.json", ["--speed-unit", "kph"], "handshake"],
    ["traccar", "traccar/position.json", [], "decoded"],
    ["owntracks", "owntracks/location.json", ["--topic", topic("owntracks/location")], "decoded"],
    ["owntracks", "owntracks/last-will.json", ["--topic", topic("owntracks/last-will")], "ignored"],
    ["hsl-hfp", "hsl-hfp/vp.json", ["--topic", topic("hsl-hfp/vp")], "decoded"],
    ["json", "json/own-with-unit.json", ["--content-type", "application/json"], "decoded"],
    ["json", "json/not-our-format.json", [], "malformed"],
  ])("%s: %s", async (vendor, body, options, kind) => {
    const { ended, stdout } = await runCli(
      ["decode", vendor, "--received-at", "2026-10-26T18:00:00Z", ...options],
      { input: sample(body) },
    );
    expect(ended).toBe(kind === "malformed" ? "exit code 1" : "exit code 0");
    const said = expectShape(stdout);
    expect(said.kind).toBe(kind);
    if (kind === "decoded") expect(said.readings).not.toEqual([]);
    else expect(said.readings).toEqual([]);
  });

  test("takes a sequence of messages by topic", async () => {
    const sequence = [
      {
        topic: "owntracks/anna/phone",
        payload: '{"_type":"location","lat":32.78,"lon":-96.8,"tst":1792000000,"vel":36,"cog":90,"tid":"an"}',
        receivedAt: "2026-10-14T20:00:00Z",
      },
      {
        topic: "owntracks/anna/phone",
        payload: '{"_type":"location","lat":0,"lon":0,"tst":1792000005}',
        receivedAt: "2026-10-14T20:00:05Z",
        retain: true,
      },
    ];
    const { ended, stdout } = await runCli([
      "decode",
      "owntracks",
      "--sequence",
      file("sequence.json", JSON.stringify(sequence)),
    ]);
    expect(ended).toBe("exit code 0");
    expect(expectShape(stdout)).toMatchObject({
      kind: "decoded",
      readings: [
        { deviceId: "anna/phone", fixTime: "2026-10-14T17:46:40.000Z", speedMps: 10, headingDeg: 90 },
      ],
      rejections: [{ reason: "null_island" }],
    });
  });

  test("explains a vendor it does not know", async () => {
    const { ended, stdout, stderr } = await runCli(["decode", "acme"], { input: "{}" });
    expect({ ended, stdout }).toEqual({ ended: "exit code 1", stdout: "" });
    expect(stderr).toMatch(/acme/);
    expect(stderr).toMatch(/bouncie/);
    expect(stderr).not.toMatch(/ at .*\.ts:/);
  });
});

describe("start", () => {
  let redis: PrivateRedis;
  let sandbox: SandboxApi;
  beforeAll(async () => {
    redis = await startPrivateRedis();
    sandbox = await startSandboxApi({ record: "all" });
  });
  afterAll(async () => {
    await sandbox.stop();
    await redis.stop();
  });

  function environment(ports: { http: number; ops: number }): Record<string, string> {
    const { clientId, clientSecret, appKey, tenants, providers } = SANDBOX_CLIENT;
    return {
      WAYPOST_REDIS_URL: redis.url,
      WAYPOST_HTTP_HOST: "127.0.0.1",
      WAYPOST_HTTP_PORT: String(ports.http),
      WAYPOST_OPS_PORT: String(ports.ops),
      WAYPOST_OPS_TOKEN: `${SECRET}-ops`,
      WAYPOST_SOURCE_NAME: "vans",
      WAYPOST_SOURCE_VENDOR: "json",
      WAYPOST_SOURCE_AUTH_METHOD: "bearer",
      WAYPOST_SOURCE_SECRET: TOKEN,
      WAYPOST_ENVIRONMENT: "custom",
      WAYPOST_API_URL: sandbox.url,
      WAYPOST_AUTH_URL: sandbox.authUrl,
      WAYPOST_TENANT: tenants[0],
      WAYPOST_PROVIDER: providers[0],
      WAYPOST_APP_KEY: appKey,
      WAYPOST_CLIENT_ID: clientId,
      WAYPOST_CLIENT_SECRET: clientSecret,
    };
  }

  test("runs on environment variables alone, delivers, and ends in good order on SIGTERM", async () => {
    const ports = { http: await quietPort(), ops: await quietPort() };
    const gateway = await startCli(["start"], { env: environment(ports) });
    try {
      await until(async () => gateway.ended() ?? (await fetch(`http://127.0.0.1:${ports.ops}/readyz`)).ok, {
        withinMs: 60_000,
        what: "the gateway",
      });
      expect(gateway.stdout()).not.toMatch(/listens without TLS/);
      const time = new Date(Date.now() - 1000).toISOString();
      const answer = await fetch(`http://127.0.0.1:${ports.http}/webhooks/vans`, {
        method: "POST",
        headers: { ...BEARER, "content-type": "application/json" },
        body: JSON.stringify({ deviceId: "van-7", latitude: 32.78, longitude: -96.8, time, speed: 10 }),
      });
      expect([answer.status, await answer.json()]).toEqual([200, { stored: 1, duplicates: 0, rejected: [] }]);
      const [accepted] = await until(
        () => {
          const pings = sandbox.pings({ unitId: "van-7" });
          return pings.length > 0 ? pings : null;
        },
        { withinMs: 20_000, what: "the ping" },
      );
      expect(accepted?.ping).toMatchObject({
        unitId: "van-7",
        eventTime: time,
        latitude: 32.78,
        speed: 22.37,
      });
      gateway.kill("SIGTERM");
      expect(await gateway.end()).toBe("exit code 0");
      expect(gateway.stderr()).toBe("");
      expect(gateway.stdout()).not.toContain(TOKEN);
    } finally {
      await gateway.stop();
    }
  });

  test("with --allow-weak logs once what is weak", async () => {
    const ports = { http: await quietPort(), ops: await quietPort() };
    const env = { ...environment(ports), WAYPOST_OPS_TOKEN: TOKEN, WAYPOST_HTTP_HOST: "0.0.0.0" };
    const gateway = await startCli(["start", "--allow-weak"], { env });
    try {
      await until(async () => gateway.ended() ?? (await fetch(`http://127.0.0.1:${ports.ops}/healthz`)).ok, {
        withinMs: 60_000,
        what: "the gateway",
      });
      const warned = gateway
        .stdout()
        .split("\n")
        .flatMap((line) => (line.includes('"setting"') ? [JSON.parse(line).msg] : []));
      expect(warned).toEqual([
        expect.stringMatching(/^WAYPOST_SOURCE_SECRET is also ops\.token/),
        expect.stringMatching(/^WAYPOST_HTTP_HOST listens without TLS/),
      ]);
      expect(gateway.stdout()).not.toContain(TOKEN);
    } finally {
      await gateway.stop();
    }
  });

  test("names the variables that are missing or wrong", async () => {
    const { WAYPOST_TENANT: _, ...rest } = environment({ http: 0, ops: 0 });
    const { ended, stderr } = await runCli(["start"], { env: { ...rest, WAYPOST_RATE_PER_SECOND: "many" } });
    expect(ended).toBe("exit code 1");
    expect(stderr).toMatch(/WAYPOST_TENANT/);
    expect(stderr).toMatch(/WAYPOST_RATE_PER_SECOND/);
  });

  test("explains a port that is taken, and leaves the one who has it alone", async () => {
    const first = await startGatewayProcess({ redisUrl: redis.url, sandbox });
    try {
      for (const taken of [
        { http: first.webhookPort, ops: await quietPort() },
        { http: await quietPort(), ops: first.opsPort },
      ]) {
        const { ended, stderr } = await runCli(["start"], { env: environment(taken) });
        expect(ended).toBe("exit code 1");
        const port = taken.http === first.webhookPort ? taken.http : taken.ops;
        expect(stderr).toContain(String(port));
        expect(stderr).toMatch(/in use|taken/i);
        expect(stderr).not.toMatch(/ at .*\.(ts|js):/);
      }
      expect((await fetch(`http://127.0.0.1:${first.opsPort}/readyz`)).status).toBe(200);
    } finally {
      await first.stop();
    }
  });

  test("explains a Redis that is not there, and waits for it", async () => {
    const redisPort = await quietPort();
    const ports = { http: await quietPort(), ops: await quietPort() };
    const env = { ...environment(ports), WAYPOST_REDIS_URL: `redis://127.0.0.1:${redisPort}` };
    const gateway = await startCli(["start"], { env });
    try {
      await until(async () => (await fetch(`http://127.0.0.1:${ports.ops}/healthz`)).ok, {
        withinMs: 60_000,
        what: "the ops endpoint",
      });
      expect((await fetch(`http://127.0.0.1:${ports.ops}/readyz`)).status).toBe(503);
      await until(() => gateway.stdout().includes(`127.0.0.1:${redisPort} (connection refused)`), {
        what: "the log to say so",
      });
      const late = await startPrivateRedis({ port: redisPort });
      try {
        await until(async () => (await fetch(`http://127.0.0.1:${ports.ops}/readyz`)).ok, {
          what: "readiness",
        });
      } finally {
        gateway.kill("SIGTERM");
        const ended = await gateway.end();
        await late.stop();
        expect(ended).toBe("exit code 0");
      }
    } finally {
      await gateway.stop();
    }
  });
});
