/** The timeline names every fate of a device's readings and its reason, finds devices, and outlives the process. */

import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Message } from "../../../src/adapters/kit/adapter.ts";
import type { Source } from "../../../src/ingest/source.ts";
import { speaksForOf } from "../../../src/ingest/speaks-for.ts";
import type { Queue } from "../../../src/queue/queue.ts";
import { ingestOver, KEY, plainSource } from "../../support/plain-vendor.ts";
import { startTestQueue, type TestQueue } from "../../support/queue.ts";
import { scaled } from "../../support/speed.ts";
import { until } from "../../support/wait.ts";

vi.setConfig({ testTimeout: scaled(30_000), hookTimeout: scaled(60_000) });

const MAX_AGE_MS = 600_000;
const ROWS: Record<string, { unitId: string; unitName: string; technician: string | null }> = {
  "IMEI-350": { unitId: "unit-350", unitName: "Van Twelve", technician: "Tech-77" },
};

let rig: TestQueue;
let receive: ReturnType<typeof ingestOver>["ingest"]["receive"];
const vans: Source = {
  ...plainSource("vans"),
  maxAgeMs: MAX_AGE_MS,
  maxAccuracyM: 100,
  logins: new Map([["driver", speaksForOf("driver")]]),
};

beforeAll(async () => {
  rig = await startTestQueue({
    destination: { lanes: 1, maxAgeMs: MAX_AGE_MS },
    source: { unmapped: "forward", maxImpliedMps: 70 },
    moreSources: { holders: { unmapped: "hold" } },
    mapping: (_source, device) => {
      const unit = ROWS[device];
      return unit ? [{ destination: null, unit }] : [];
    },
  });
  receive = ingestOver(rig.queue.store).ingest.receive;
});
afterAll(() => rig.close());

const point = (id: string, secondsAgo: number, changes: object = {}) => ({
  id,
  t: Date.now() - secondsAgo * 1000,
  lat: 30.27,
  lon: -97.74,
  ...changes,
});

async function send(points: unknown, changes: Partial<Message> = {}, source = vans) {
  const body = Buffer.from(typeof points === "string" ? points : JSON.stringify(points));
  return receive(source, {
    body,
    receivedAt: Date.now(),
    method: "POST",
    headers: { "x-key": KEY },
    query: {},
    retained: false,
    ...changes,
  });
}

async function timelineOf(device: string, source = "vans", queue: Queue = rig.queue) {
  const found = await queue.deviceTimeline(source, device);
  if (!found) throw new Error(`no timeline of ${source}`);
  return found;
}

const eventOf = async (device: string, kind: string, source = "vans") =>
  until(async () => (await timelineOf(device, source)).events.find((each) => each.kind === kind), {
    what: `${kind} of ${device}`,
  });

describe("a message that names no device", () => {
  it("is told of its source: refused with why and where from, malformed, ignored, a handshake", async () => {
    await send(point("v", 1), { headers: { "x-key": "another" }, remoteAddress: "192.0.2.7" });
    await send(point("v", 1), { headers: { "x-key": "another" }, remoteAddress: "192.0.2.7" });
    await send("not JSON");
    await send({ hello: 1 });
    await send({ hello: 2 });
    await send({ challenge: "c" });
    const told = await until(
      async () => {
        const { sourceEvents } = await timelineOf("anything");
        return sourceEvents.some(({ kind, count }) => kind === "refused" && count === 2) && sourceEvents;
      },
      { what: "two refusals" },
    );
    const of = (kind: string) => told.filter((each) => each.kind === kind);
    expect(of("refused")).toMatchObject([
      { reason: "unauthenticated", detail: "wrong_key from 192.0.2.7", count: 2, since: expect.any(String) },
    ]);
    expect(of("malformed")).toMatchObject([
      { reason: "malformed", detail: expect.stringMatching(/JSON.* \(\d+-\d+\)$/), count: 1, since: null },
    ]);
    expect(of("ignored")).toMatchObject([{ reason: "a greeting", count: 2 }]);
    expect(of("handshake")).toMatchObject([{ count: 1 }]);
    const { unknown } = await timelineOf("anything");
    expect(unknown.join(" ")).toMatch(
      /Messages of source vans that were refused since .*: 2\. Such a message names no device/,
    );
    expect(unknown.join(" ")).toMatch(/Messages of source vans that could not be decoded since .*: 1\./);
  });
});

describe("a rejected reading", () => {
  const at = (secondsAgo: number, changes: object) => (id: string) => point(id, secondsAgo, changes);
  const day = 86_400;
  it.each<[string, (id: string) => object, Partial<Message>]>([
    ["before_2000", at(0, { t: 1000 }), {}],
    ["bad_time", at(0, { t: 9e15 }), {}],
    ["in_future", at(-3600, {}), {}],
    ["too_old", at(day, {}), {}],
    ["no_fix", at(1, { lat: null, lon: null }), {}],
    ["bad_latitude", at(1, { lat: null }), {}],
    ["bad_longitude", at(1, { lon: null }), {}],
    ["latitude_out_of_range", at(1, { lat: 91 }), {}],
    ["longitude_out_of_range", at(1, { lon: 181 }), {}],
    ["null_island", at(1, { lat: 0, lon: 0 }), {}],
    ["inaccurate", at(1, { acc: 1000 }), {}],
    ["foreign_device", at(1, {}), { login: "driver" }],
  ])("is told with its reason: %s", async (reason, make, changes) => {
    const device = `rejected-${reason}`;
    await send([make(device)], changes);
    const { events, seenAt } = await timelineOf(device);
    expect(events).toMatchObject([{ kind: "rejected", reason, detail: "[0]", count: 1, since: null }]);
    expect(seenAt).toBeNull();
  });

  it("of no device is told of the source", async () => {
    await send([point("", 1), point("x".repeat(129), 1)]);
    const { sourceEvents } = await timelineOf("anything");
    const rejected = sourceEvents.filter(({ kind }) => kind === "rejected");
    expect(rejected.map(({ reason }) => reason).sort()).toEqual(["bad_device", "no_device"]);
  });

  it("is told as a jump where the source's filter rejects it, with the offset to its receipt", async () => {
    await send(point("jumper", 10));
    await send(point("jumper", 5, { lat: 40 }));
    const event = await eventOf("jumper", "rejected");
    expect(event).toMatchObject({ reason: "implausible_jump" });
    expect(Math.abs((event.offsetMs ?? 0) - 5000)).toBeLessThan(3000);
  });

  it("is one line with the others of its reason, however many", async () => {
    for (let i = 0; i < 12; i++) await send(Array.from({ length: 20 }, (_, n) => point("stale", day + n)));
    const { events } = await timelineOf("stale");
    expect(events).toMatchObject([
      { kind: "rejected", reason: "too_old", count: 240, since: expect.any(String) },
    ]);
  });
});

describe("a reading that was stored", () => {
  it("is told from its receipt to ServiceTitan's answer", async () => {
    await send(point("IMEI-350", 3));
    const end = await eventOf("IMEI-350", "delivered");
    expect(end).toMatchObject({
      status: 200,
      destination: "acme",
      batchId: expect.any(String),
      reason: null,
    });
    const { events, leadsTo, seenAt } = await timelineOf("IMEI-350");
    expect(events.map(({ kind }) => kind)).toEqual(["delivered", "batched", "stored"]);
    expect(leadsTo).toMatchObject([{ unit: "unit-350", unitName: "Van Twelve", technician: "Tech-77" }]);
    expect(Date.parse(seenAt ?? "")).toBeGreaterThan(Date.now() - 60_000);
    const [delivered, batched, stored] = events.map((each) => Date.parse(each.at));
    expect(batched).toBeLessThanOrEqual(delivered ?? 0);
    expect(stored).toBeLessThanOrEqual((batched ?? 0) + 50);
    expect(end.detail).toMatch(/^sent 20/);
  });

  it("and comes again is a duplicate; at another place, a conflict", async () => {
    const once = point("twice", 3);
    await send(once);
    await send(once);
    await send({ ...once, lat: 30.28 });
    expect(await eventOf("twice", "duplicate")).toMatchObject({ count: 1 });
    expect(await eventOf("twice", "conflict")).toMatchObject({ count: 1 });
  });

  it("and is overtaken is superseded", async () => {
    await send(point("overtaken", 1));
    await eventOf("overtaken", "delivered");
    await send(point("overtaken", 30));
    expect(await eventOf("overtaken", "superseded")).toMatchObject({ count: 1, fixAt: expect.any(String) });
  });

  it("and is refused by ServiceTitan is dead-lettered in its words, and redriven", async () => {
    rig.sandbox.faults.set({ kind: "fail", match: { unitId: "failing" }, message: "Unit is not known." });
    await send(point("failing", 3));
    expect(await eventOf("failing", "dead_lettered")).toMatchObject({
      reason: "failed",
      words: "Unit is not known.",
      status: 200,
      tookMs: expect.any(Number),
    });
    rig.sandbox.faults.clear();
    for await (const { scope, letter } of rig.queue.redrive.deadLetters({ unit: "failing" })) {
      expect(await rig.queue.redrive.revive(scope, letter, "do")).toBe("waiting");
    }
    expect(await eventOf("failing", "redriven")).toMatchObject({ reason: "waiting", detail: "was failed" });
    await eventOf("failing", "delivered");
  });

  it("and comes back from an attempt shows what was answered, and is no delivered ping", async () => {
    rig.sandbox.faults.set({ kind: "status", status: 503, times: 1 });
    await send(point("returned", 3));
    expect(await eventOf("returned", "attempt")).toMatchObject({
      reason: "unavailable",
      status: 503,
      words: expect.stringContaining("503"),
    });
    await eventOf("returned", "delivered");
    const { events } = await timelineOf("returned");
    expect(events.filter(({ kind }) => kind === "stored")).toHaveLength(1);
    const range = { from: Date.now() - 60_000, to: Date.now() };
    const found = await rig.queue.findPings({ destination: "acme", unit: "returned", ...range });
    expect(found.map(({ fate }) => fate)).toEqual(["delivered"]);
  });

  it("and has no mapping row is held where that is the policy", async () => {
    const holders = { ...plainSource("holders"), maxAgeMs: MAX_AGE_MS };
    await send(point("rowless", 3), {}, holders);
    await send(point("rowless", 2), {}, holders);
    const { events } = await timelineOf("rowless", "holders");
    expect(events).toMatchObject([
      { kind: "held", reason: "now", fixAt: expect.any(String) },
      { kind: "held", reason: null, count: 2 },
    ]);
  });

  it("and waits while sending is shut is told so, and expires outside of a batch", async () => {
    const gate = `${rig.destination.keyPrefix}:gate`;
    await rig.db.hset(gate, {
      state: "paused",
      reason: "throttled",
      until: Date.now() + 60_000,
      since: Date.now(),
    });
    await send(point("waiter", MAX_AGE_MS / 1000 - 1.5));
    expect(await eventOf("waiter", "waiting")).toMatchObject({ count: 1, destination: "acme" });
    expect(await eventOf("waiter", "expired")).toMatchObject({ count: 1, batchId: null });
    await rig.db.del(gate);
  });
});

describe("after a restart", () => {
  it("the same is told, and a device is found by five kinds of key, in another case and by part", async () => {
    const again = rig.another();
    await until(async () => (await again.readiness()).length === 0, { what: "another queue" });
    expect((await timelineOf("IMEI-350", "vans", again)).events).toEqual(
      (await timelineOf("IMEI-350")).events,
    );
    const fixAt = (await timelineOf("IMEI-350", "vans", again)).events[0]?.fixAt ?? "";
    const wanted = { source: "vans", device: "IMEI-350", unit: "unit-350", destination: "acme" };
    for (const text of [
      "imei-350",
      "mei-3",
      "UNIT-350",
      "van twelve",
      "TWELVE",
      "tech-77",
      `vans:imei-350:${Date.parse(fixAt)}`,
      "s:IMEI-350:17",
    ]) {
      expect((await again.findDevice(text)).candidates, text).toContainEqual(expect.objectContaining(wanted));
    }
    expect((await again.findDevice("no such device")).candidates).toEqual([]);
    expect((await again.findDevice(" ")).candidates).toEqual([]);
    // A device that was only ever rejected is found, too.
    expect((await again.findDevice("STALE")).candidates).toMatchObject([{ device: "stale", unit: "stale" }]);
  });

  it("what leads elsewhere than somebody may see is not found and not told", async () => {
    const sight = (destination: string, source: string) => ({
      destinations: new Set([destination]),
      sources: new Set([source]),
    });
    expect((await rig.queue.findDevice("imei", sight("acme", "holders"))).candidates).toEqual([]);
    expect((await rig.queue.findDevice("imei", sight("other", "vans"))).candidates).toEqual([]);
    expect((await rig.queue.findDevice("imei", sight("acme", "vans"))).candidates).toHaveLength(1);
    expect(
      await rig.queue.deviceTimeline("vans", "IMEI-350", { within: sight("acme", "holders") }),
    ).toBeNull();
    const other = await rig.queue.deviceTimeline("vans", "IMEI-350", { within: sight("other", "vans") });
    expect(other).toMatchObject({ leadsTo: [], events: [] });
  });

  it("what is erased is gone", async () => {
    await send(point("forgotten", 86_400));
    expect((await timelineOf("forgotten")).events).toHaveLength(1);
    const troubledNow = async () =>
      (await rig.queue.queryStatus()).sources.flatMap(({ troubled }) => troubled.map(({ device }) => device));
    expect(await troubledNow()).toContain("forgotten");
    expect(await rig.queue.eraseDevice("vans", "forgotten")).toBe(2);
    expect((await timelineOf("forgotten")).events).toEqual([]);
    expect(await troubledNow()).not.toContain("forgotten");
  });
});
