/** A capture over a real Redis: from the request through the tap to a file that `decode --captured` reads. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { json } from "../../src/adapters/json/json.ts";
import { createTap, type Tap } from "../../src/capture/tap.ts";
import { decodeMessages } from "../../src/commands/decode-messages.ts";
import type { IngestResult } from "../../src/ingest/result.ts";
import type { Source } from "../../src/ingest/source.ts";
import { createCaptures } from "../../src/ops/captures.ts";
import { createCaptureStore } from "../../src/queue/ledger/captures.ts";
import { until } from "../support/wait.ts";

const folder = mkdtempSync(join(tmpdir(), "waypost-capture-"));
const failures: unknown[] = [];
let server: PrivateRedis;
let db: Redis;
let tap: Tap;
beforeAll(async () => {
  server = await startPrivateRedis();
  db = new Redis(server.url);
  tap = createTap({ store: createCaptureStore(db, "w"), failed: (error) => failures.push(error) });
});
afterAll(async () => {
  tap.stop();
  db.disconnect();
  await server.stop();
  rmSync(folder, { recursive: true });
});

const source: Source = {
  name: "vans",
  adapter: json,
  authMethod: null,
  credentials: { secrets: ["a secret of ours"] },
  maxAgeMs: 600_000,
};
const STORED: IngestResult = {
  kind: "stored",
  readings: 1,
  stored: 0,
  duplicates: 0,
  rejections: [{ reason: "too_old", path: "" }],
};

function note(name: string, deviceId: string): void {
  const body = JSON.stringify({
    deviceId,
    latitude: 32.78123,
    longitude: -96.80456,
    time: "2026-10-26T15:00:00Z",
  });
  const message = {
    body: Buffer.from(body),
    receivedAt: Date.now(),
    retained: false,
    method: "POST",
    headers: {},
    query: {},
  };
  tap.note({ ...source, name }, message, STORED);
}

it("takes as many messages of its source as were asked for, scrubbed, and ends", async () => {
  const captures = createCaptures(createCaptureStore(db, "w"));
  const { id } = await captures.start({ source: "vans", count: 3, minutes: 1 });
  const taken = () => captures.messages("vans", id);
  // The tap looks for what is open once a second.
  await until(
    async () => {
      note("vans", "van-4711");
      note("trucks", "truck-4712");
      return (await taken()).length === 3;
    },
    { what: "three messages" },
  );
  await until(async () => (await db.hlen("w:captures")) === 0, { what: "the capture to end" });
  expect(await captures.messages("trucks", id)).toEqual([]);
  expect(await db.pttl(`w:captured:${id}`)).toBeGreaterThan(0);

  const messages = await taken();
  const text = messages.map((each) => JSON.stringify(each)).join("\n");
  for (const own of ["van-4711", "4712", "32.781", "96.804", "secret"]) expect(text).not.toContain(own);
  const file = join(folder, "capture.jsonl");
  writeFileSync(file, `{"waypost":"capture"}\n${text}\n`);
  const notes: string[] = [];
  const request = { vendor: null, capturedFile: file, note: (line: string) => notes.push(line) };
  const { kind, readings } = await decodeMessages(request, new Uint8Array());
  expect([kind, readings.length]).toEqual(["decoded", 3]);
  expect(new Set(readings.map(({ deviceId, latitude }) => `${deviceId} ${latitude}`)).size).toBe(1);
  expect(readings[0]?.deviceId).toMatch(/^[a-z]{3}-\d{4}$/);
  expect(notes[0]).toBe("captured message 1: decoded (too_old)");
  expect(failures).toEqual([]);
});

it("is refused as a file where it is none", async () => {
  const file = join(folder, "other.jsonl");
  writeFileSync(file, '{"vendor":"json"}\n');
  const request = { vendor: null, capturedFile: file, note: () => {} };
  await expect(decodeMessages(request, new Uint8Array())).rejects.toThrow(/no file of `waypost capture`/);
});
