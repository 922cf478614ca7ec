/** Recorded real positions through the running gateway: every line is accounted for, and each ping equals its line. */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { because, howToGet } from "../support/because.ts";
import { runCli } from "../support/cli-process.ts";
import { type GatewayProcess, startGatewayProcess, TOKEN } from "../support/gateway-process.ts";
import { type Mosquitto, startMosquitto, whyNotMosquitto } from "../support/mosquitto.ts";
import { scaled } from "../support/speed.ts";

vi.setConfig({ testTimeout: scaled(240_000), hookTimeout: scaled(120_000) });

/** Recorded data are not part of the repository (their licences differ); they lie beside it where somebody put them. */
const DATA = new URL("../../../shared/data/", import.meta.url);
const noData = existsSync(DATA) ? null : howToGet("data");

let dir: string;
let redis: PrivateRedis;
let sandbox: SandboxApi;
let mosquitto: Mosquitto | null = null;
let gateway: GatewayProcess;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "waypost-replay-"));
  redis = await startPrivateRedis();
  sandbox = await startSandboxApi({ record: "all", ratePerSecond: 100_000 });
  if (whyNotMosquitto() === null) mosquitto = await startMosquitto();
  const vans = { vendor: "json", destination: "acme", auth: { method: "bearer", secret: TOKEN } };
  const hsl = { vendor: "hsl-hfp", destination: "acme", mqtt: { broker: "hsl" } };
  gateway = await startGatewayProcess({
    redisUrl: redis.url,
    sandbox,
    // Recorded years ago, and history is wanted.
    destination: { maxAgeMs: 0, backfill: "deliver", ratePerSecond: 1000, maxBatchAgeMs: 200 },
    sources: mosquitto ? { vans, hsl } : { vans },
    sections: mosquitto
      ? { mqtt: { brokers: { hsl: { url: mosquitto.url, clientId: "waypost-test" } } } }
      : {},
  });
});
afterAll(async () => {
  await gateway?.stop();
  await mosquitto?.stop();
  await sandbox?.stop();
  await redis?.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** What must become of a capture, worked out here from its lines and from nothing of ours. */
interface Expected {
  lines: number;
  ignored: number;
  rejected: Record<string, number>;
  duplicates: number;
  defects: Record<string, number>;
  /** By externalId. */
  pings: Map<string, ExpectedPing>;
}

interface ExpectedPing {
  unitId: string;
  eventTime: string;
  latitude: number;
  longitude: number;
  speedMps: number | null;
}

/** 360 km/h: faster is a sentinel, not a vehicle. */
const FASTEST_MPS = 100;
const MPS_PER_MPH = 0.44704;

/** Accounts for a position, the way the rules of the README say. */
function expectPosition(
  expected: Expected,
  source: string,
  fix: { device: string; time: string; lat: number | null; lon: number | null; speedMps: number | null },
): void {
  const { device, lat, lon } = fix;
  const time = Date.parse(fix.time);
  if (lat === null || lon === null || (lat === 0 && lon === 0)) {
    add(expected.rejected, lat === 0 ? "null_island" : "no_fix");
    return;
  }
  const [tooFast, negative] = [Number(fix.speedMps) > FASTEST_MPS, Number(fix.speedMps) < 0];
  if (tooFast) add(expected.defects, "speed_too_high");
  if (negative) add(expected.defects, "speed_negative");
  const id = `${source}:${device}:${time}`;
  if (expected.pings.has(id)) {
    expected.duplicates++;
    return;
  }
  expected.pings.set(id, {
    unitId: device,
    eventTime: new Date(time).toISOString(),
    latitude: lat,
    longitude: lon,
    speedMps: tooFast || negative ? null : fix.speedMps,
  });
}

function add(counts: Record<string, number>, word: string): void {
  counts[word] = (counts[word] ?? 0) + 1;
}

function nothing(): Expected {
  return { lines: 0, ignored: 0, rejected: {}, duplicates: 0, defects: {}, pings: new Map() };
}

function linesOf(file: URL): string[] {
  return gunzipSync(readFileSync(file)).toString("utf8").trim().split("\n");
}

/** Ends with whatever it ends with. */
function run(capture: string, source: string, ...options: string[]) {
  return runCli(["replay", capture, "--config", gateway.configFile, "--source", source, ...options], {
    withinMs: 180_000,
  });
}

async function replay(capture: string, source: string, ...options: string[]) {
  const { ended, stdout, stderr } = await run(capture, source, ...options);
  expect(ended, stderr).toBe("exit code 0");
  return { stdout, stderr };
}

/** What the gateway counted for a source, by reason. */
async function reasons(source: string) {
  const found = (await gateway.status()).sources.find(({ name }) => name === source);
  return { rejected: { ...found?.rejectedBy }, defects: { ...found?.defects }, identity: found?.identity };
}

function difference(after: Record<string, number>, before: Record<string, number>): Record<string, number> {
  const changed = Object.entries(after).map(([word, n]): [string, number] => [word, n - (before[word] ?? 0)]);
  return Object.fromEntries(changed.filter(([, n]) => n !== 0));
}

/** Replays a capture and compares the accounting and every ping with what was expected. */
async function proveCapture(
  file: URL,
  source: string,
  expected: Expected,
  ...options: string[]
): Promise<void> {
  const before = await reasons(source);
  const from = sandbox.summary().accepted;
  const { stdout } = await replay(file.pathname, source, "--json", ...options);
  const after = await reasons(source);
  const { accounting, ...sent } = JSON.parse(stdout);

  expect(sent).toMatchObject({ lines: expected.lines, sent: expected.lines, unreadable: 0, abandoned: 0 });
  const rejected = Object.values(expected.rejected).reduce((sum, n) => sum + n, 0);
  expect(accounting).toMatchObject({
    messages: sent.messages,
    ignored: expected.ignored,
    readings: expected.lines - expected.ignored,
    rejected,
    duplicates: expected.duplicates,
    stored: expected.pings.size,
    delivered: expected.pings.size,
    refused: 0,
    malformed: 0,
    deadLettered: 0,
    expired: 0,
    superseded: 0,
    dropped: 0,
    held: 0,
    waiting: 0,
    inFlight: 0,
  });
  expect(accounting.ignored + accounting.rejected + accounting.duplicates + accounting.delivered).toBe(
    expected.lines,
  );
  expect(difference(after.rejected, before.rejected)).toEqual(expected.rejected);
  expect(difference(after.defects, before.defects)).toEqual(expected.defects);
  expect(after.identity).toEqual({ messages: 0, readings: 0, stored: 0 });
  comparePings(sandbox.pings({ from }), expected);
  console.log(
    `${file.pathname.split("/").at(-1)}: ${expected.lines} lines = ${accounting.delivered} delivered + ${accounting.duplicates} duplicates + ${accounting.rejected} rejected ${JSON.stringify(expected.rejected)} + ${accounting.ignored} ignored; speeds made null: ${JSON.stringify(expected.defects)}`,
  );
}

function comparePings(accepted: ReturnType<SandboxApi["pings"]>, expected: Expected): void {
  expect(accepted).toHaveLength(expected.pings.size);
  const wrong = accepted.flatMap(({ ping }) => {
    const line = expected.pings.get(ping.externalId);
    const speed = line?.speedMps ?? null;
    const isRight =
      line !== undefined &&
      ping.unitId === line.unitId &&
      ping.eventTime === line.eventTime &&
      ping.latitude === line.latitude &&
      ping.longitude === line.longitude &&
      (speed === null || ping.speed === null
        ? ping.speed === speed
        : Math.abs(ping.speed - speed / MPS_PER_MPH) <= 0.005 + 1e-9);
    return isRight ? [] : [{ ping, line }];
  });
  expect(wrong).toEqual([]);
  expect(new Set(accepted.map(({ ping }) => ping.externalId)).size).toBe(accepted.length);
  // Said once more without the expectations, for they share the test's own ideas.
  expect(accepted.filter(({ ping }) => ping.latitude === 0 && ping.longitude === 0)).toEqual([]);
  const fastestMph = FASTEST_MPS / MPS_PER_MPH;
  expect(
    accepted.filter(({ ping: { speed } }) => speed !== null && (speed < 0 || speed > fastestMph)),
  ).toEqual([]);
}

describe.skipIf(noData !== null)(`recorded buses${because(noData)}`, () => {
  test.each([
    ["austin-bus/positions-2017-03-21.jsonl.gz", 45_386],
    ["austin-bus/positions-2017-04-18.jsonl.gz", 44_300],
  ])("%s by webhook", async (name, lines) => {
    const file = new URL(name, DATA);
    const expected = nothing();
    for (const line of linesOf(file)) {
      const { vehicle, t, lat, lon, speedMps } = JSON.parse(line);
      expected.lines++;
      expectPosition(expected, "vans", { device: vehicle, time: t, lat, lon, speedMps });
    }
    expect(expected.lines).toBe(lines);
    await proveCapture(file, "vans", expected);
  });
});

const noHsl = noData ?? whyNotMosquitto();
describe.skipIf(noHsl !== null)(`recorded MQTT messages${because(noHsl)}`, () => {
  test("the raw HSL capture through Mosquitto", async () => {
    const file = new URL("hsl-hfp-mqtt/raw/mqtt-capture.jsonl.gz", DATA);
    const expected = nothing();
    for (const line of linesOf(file)) {
      const { topic, payload } = JSON.parse(line);
      const [, , , , , event, , operator, vehicle] = topic.split("/");
      expected.lines++;
      if (event === "apc-partial") {
        expected.ignored++;
        continue;
      }
      const body = JSON.parse(payload)[String(event).toUpperCase()];
      expectPosition(expected, "hsl", {
        device: `${operator}/${vehicle}`,
        time: body.tst,
        lat: body.lat,
        lon: body.long,
        speedMps: body.spd,
      });
    }
    // What its description says.
    expect(expected).toMatchObject({ lines: 1998, ignored: 13, rejected: { no_fix: 940 } });
    await proveCapture(file, "hsl", expected);
  });
});

describe("the replay command", () => {
  test("shows its progress, keeps the recorded pace, and counts what it cannot read", async () => {
    const file = join(dir, "capture.jsonl");
    const began = Date.parse("2026-10-26T18:00:00Z");
    const lines = Array.from({ length: 60 }, (_, i) =>
      JSON.stringify({
        vehicle: `van-${i % 3}`,
        t: new Date(began + i * 1000).toISOString(),
        lat: i === 7 ? 0 : 32.78,
        lon: i === 7 ? 0 : -96.8,
        speedMps: 10,
        headingDeg: 90,
      }),
    );
    writeFileSync(file, [...lines.slice(0, 30), "not JSON", ...lines.slice(30)].join("\n"));
    const startedAt = performance.now();
    const { ended, stdout, stderr } = await run(file, "vans", "--speed", "x20");
    expect(performance.now() - startedAt).toBeGreaterThan(59_000 / 20);
    // Only a part could be sent.
    expect(ended).toBe("exit code 1");
    expect(stderr).toMatch(
      /^\d+ lines read, \d+ sent \(\d+\/s\), 0 messages resent, [01] unreadable, [01] rejected$/m,
    );
    expect(stderr).toMatch(/^line 31 cannot be read: it is no JSON: /m);
    expect(stderr).toMatch(/^1 of 61 lines could not be read; the first, line 31, is no JSON: .*\.$/m);
    for (const [term, n] of Object.entries({
      lines: 61,
      unreadable: 1,
      sent: 60,
      abandoned: 0,
      readings: 60,
      rejected: 1,
      stored: 59,
      delivered: 59,
      waiting: 0,
      inFlight: 0,
    })) {
      expect(stdout).toMatch(new RegExp(`^  ${term} +${n}$`, "m"));
    }
  });

  test.each([
    ["junk", "junk\n\u0000\u001b[2J\n", /^2 of 2 lines could not be read; the first, line 1, is no JSON: /m],
    ["nothing", "\n\n", /^The capture has no lines: nothing was sent\.$/m],
  ])("ends with 1 on a file of %s, and sends nothing", async (_, text, said) => {
    const file = join(dir, "junk.jsonl");
    writeFileSync(file, text);
    const { ended, stdout, stderr } = await run(file, "vans", "--json");
    expect(ended).toBe("exit code 1");
    expect(stderr).toMatch(said);
    expect(stderr).not.toContain("\u001b");
    expect(JSON.parse(stdout)).toMatchObject({ sent: 0, messages: 0, accounting: { messages: 0 } });
  });

  test.each([
    ["a source nobody configured", ["--source", "lorries"], /Source "lorries" is not configured/],
    ["a file that is not there", ["--source", "vans"], /ENOENT.*absent\.jsonl/],
  ])("explains %s", async (_, options, said) => {
    const { ended, stderr } = await runCli([
      ...["replay", join(dir, "absent.jsonl"), "--config", gateway.configFile],
      ...options,
    ]);
    expect(ended).toBe("exit code 1");
    expect(stderr).toMatch(said);
    expect(stderr).not.toMatch(/ at .*\.ts:/);
  });

  test("explains a gateway that is not running", async () => {
    gateway.kill("SIGKILL");
    const { ended, stderr } = await runCli([
      ...["replay", "any.jsonl", "--config", gateway.configFile, "--source", "vans"],
    ]);
    expect(ended).toBe("exit code 1");
    expect(stderr).toMatch(/does not answer at .*: is it running/);
  });
});
