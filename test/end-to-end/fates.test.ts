/** One message of each fate through a real gateway: the timeline names it with its reason, by any key, after restarts too. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import type { Timeline } from "../../src/ops/api/schema/devices.ts";
import { BEARER, type GatewayProcess, startGatewayProcess, TOKEN } from "../support/gateway-process.ts";
import { scaled } from "../support/speed.ts";
import { until } from "../support/wait.ts";

vi.setConfig({ testTimeout: scaled(60_000), hookTimeout: scaled(120_000) });

const DAY_MS = 86_400_000;
const MAX_AGE_MS = 600_000;
const webhook = { vendor: "json", destination: "acme", auth: { method: "bearer", secret: TOKEN } };

let dir: string;
let mappingFile: string;
let redis: PrivateRedis;
let sandbox: SandboxApi;
let gateway: GatewayProcess;

const ROWS = "device,unit,name,technician,source\nIMEI-350,unit-350,Van Twelve,Tech-77,vans\n";

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "waypost-fates-"));
  mappingFile = join(dir, "fleet.csv");
  writeFileSync(mappingFile, ROWS);
  redis = await startPrivateRedis();
  sandbox = await startSandboxApi({ record: "all" });
  gateway = await startGatewayProcess({
    redisUrl: redis.url,
    sandbox,
    sources: {
      vans: { ...webhook, unmapped: "forward" },
      holders: { ...webhook, unmapped: "hold" },
    },
    sections: { mapping: { file: mappingFile } },
  });
});
afterAll(async () => {
  await gateway?.stop();
  await sandbox?.stop();
  await redis?.stop();
  if (dir) rmSync(dir, { recursive: true, force: true });
});

const api = `/api/v1`;
async function ask<T>(path: string, init: RequestInit = {}): Promise<T> {
  const answer = await fetch(`http://127.0.0.1:${gateway.opsPort}${api}${path}`, {
    ...init,
    headers: { "content-type": "application/json", ...BEARER },
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${text}`);
  const body: T = JSON.parse(text);
  return body;
}
const timeline = (q: string) => ask<Timeline>(`/timeline?q=${encodeURIComponent(q)}`);

async function post(source: string, body: unknown, secret: string = TOKEN): Promise<void> {
  const answer = await fetch(gateway.webhook(source), {
    method: "POST",
    headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  await answer.text();
}

const reading = (deviceId: string, ageMs = 1000, changes: object = {}) => ({
  deviceId,
  latitude: 32.78,
  longitude: -96.8,
  time: new Date(Date.now() - ageMs).toISOString(),
  ...changes,
});

async function event(q: string, kind: string) {
  return until(async () => (await timeline(q)).events.find((each) => each.kind === kind), {
    what: `${kind} of ${q}`,
  });
}

interface Fate {
  /** What is sent. */
  send(device: string): Promise<unknown>;
  /** What the timeline says of it. */
  kind: string;
  says: Record<string, unknown>;
}

const rejected = (reason: string, ageMs: number, changes: object = {}): [string, Fate] => [
  `rejected as ${reason}`,
  {
    send: (device) => post("vans", [reading(device, ageMs, changes), reading(`beside-${device}`)]),
    kind: "rejected",
    says: { reason, count: 1 },
  },
];

/** Fate → what the timeline says. */
const FATES: Record<string, Fate> = Object.fromEntries<Fate>([
  rejected("before_2000", Date.now() - Date.parse("1999-01-01")),
  rejected("in_future", -3_600_000),
  rejected("too_old", DAY_MS),
  rejected("bad_time", 0, { time: "yesterday" }),
  rejected("no_time", 0, { time: null }),
  rejected("no_fix", 1000, { latitude: null, longitude: null }),
  rejected("bad_latitude", 1000, { latitude: "north" }),
  rejected("bad_longitude", 1000, { longitude: "west" }),
  rejected("latitude_out_of_range", 1000, { latitude: 95 }),
  rejected("longitude_out_of_range", 1000, { longitude: 181 }),
  rejected("null_island", 1000, { latitude: 0, longitude: 0 }),
  [
    "delivered",
    {
      send: (device) => post("vans", reading(device)),
      kind: "delivered",
      says: { status: 200, destination: "acme", batchId: expect.any(String) },
    },
  ],
  [
    "duplicate",
    {
      async send(device) {
        const once = reading(device);
        await post("vans", once);
        await post("vans", [once, reading(`beside-${device}`)]);
      },
      kind: "duplicate",
      says: { count: 1 },
    },
  ],
  [
    "superseded",
    {
      async send(device) {
        await post("vans", reading(device));
        await event(device, "delivered");
        await post("vans", reading(device, 30_000));
      },
      kind: "superseded",
      says: { count: 1 },
    },
  ],
  [
    "failed by ServiceTitan",
    {
      send: (device) => post("vans", reading(device)),
      kind: "dead_lettered",
      says: {
        reason: "failed",
        words: "Unit is not known to this provider.",
        status: 200,
      },
    },
  ],
  [
    "held",
    {
      send: (device) => post("holders", reading(device)),
      kind: "held",
      says: { fixAt: expect.any(String) },
    },
  ],
]);

const deviceOf = (fate: string) => `dev-${fate.replaceAll(/\W+/g, "-").toLowerCase()}`;

test("each fate is named, with its reason and ServiceTitan's words", async () => {
  sandbox.faults.set({ kind: "fail", match: { unitId: deviceOf("failed by ServiceTitan") } });
  await Promise.all(
    Object.entries(FATES).map(async ([fate, { send, kind, says }]) => {
      await send(deviceOf(fate));
      expect(await event(deviceOf(fate), kind), fate).toMatchObject(says);
    }),
  );
  sandbox.faults.clear();
});

test("returned by 503, and then delivered; and what is too old by then has expired", async () => {
  sandbox.faults.set({ kind: "status", status: 503 });
  await post("vans", [reading("returned"), reading("too-late", MAX_AGE_MS - 4000)]);
  expect(await event("returned", "attempt")).toMatchObject({ status: 503, reason: "unavailable" });
  expect(await event("too-late", "expired")).toMatchObject({ count: 1 });
  sandbox.faults.clear();
  expect(await event("returned", "delivered")).toMatchObject({ status: 200 });
});

test("redriven after ServiceTitan's no, and released by a mapping row", async () => {
  const failed = deviceOf("failed by ServiceTitan");
  await ask("/dead-letters/redrive", { method: "POST", body: JSON.stringify({ mode: "do", unit: failed }) });
  expect(await event(failed, "redriven")).toMatchObject({ detail: "was failed" });
  await event(failed, "delivered");
  const held = deviceOf("held");
  writeFileSync(mappingFile, `${ROWS}${held},unit-held,Van Held,,holders\n`);
  expect(await event(held, "delivered")).toMatchObject({ status: 200 });
});

describe("a message that names no device", () => {
  test("is told of the source, and the timeline says that it knows no more", async () => {
    await post("vans", reading("van-1"), "another secret than ours");
    await post("vans", "no JSON");
    const told = await until(
      async () => {
        const found = await timeline(deviceOf("delivered"));
        return (
          found.sourceEvents.filter(({ kind }) => kind === "malformed" || kind === "refused").length === 2 &&
          found
        );
      },
      { what: "the source's own events" },
    );
    expect(told.sourceEvents.find(({ kind }) => kind === "refused")).toMatchObject({
      reason: "unauthenticated",
      detail: expect.stringContaining("127.0.0.1"),
    });
    expect(told.unknown.join(" ")).toMatch(
      /Messages of source vans that were refused since .*: 1\. Such a message names no device/,
    );
  });
});

const KEYS = ["imei-350", "mei-35", "UNIT-350", "van twelve", "TECH-77"];

async function isFoundByEveryKey(): Promise<void> {
  const { events } = await timeline("IMEI-350");
  const fix = Date.parse(events.find(({ kind }) => kind === "delivered")?.fixAt ?? "");
  for (const q of [...KEYS, `vans:IMEI-350:${fix}`]) {
    const found = await timeline(q);
    expect(found.device, q).toMatchObject({ source: "vans", device: "IMEI-350" });
    expect(
      found.events.map(({ kind }) => kind),
      q,
    ).toEqual(["delivered", "batched", "stored"]);
  }
  const several = await timeline("rejected-as-bad");
  expect(several.device).toBeNull();
  expect(several.candidates.map(({ device }) => device)).toEqual(
    expect.arrayContaining(["bad_time", "bad_latitude"].map((reason) => deviceOf(`rejected as ${reason}`))),
  );
}

test("all of it by five kinds of key, in any case and by part, after a restart of both", async () => {
  await post("vans", reading("IMEI-350"));
  await event("IMEI-350", "delivered");
  await isFoundByEveryKey();
  await gateway.start();
  await isFoundByEveryKey();
  await redis.restart();
  await until(async () => (await gateway.accounting()).messages > 0, { what: "Redis to be found again" });
  await isFoundByEveryKey();
  for (const [fate, { kind, says }] of Object.entries(FATES)) {
    const named = (await timeline(deviceOf(fate))).events.filter((each) => each.kind === kind);
    if (fate !== "held") expect(named, fate).toContainEqual(expect.objectContaining(says));
  }
});
