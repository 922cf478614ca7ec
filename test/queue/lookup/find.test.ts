/** What can be asked of one unit and of one message in quarantine, and that the answers are true. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { messageOf, readingOf, startTestQueue, type TestQueue } from "../../support/queue.ts";

const HOUR_MS = 3_600_000;

let rig: TestQueue;
beforeAll(async () => {
  rig = await startTestQueue({
    source: { unmapped: "hold" },
    mapping: (_, device) =>
      device.startsWith("stray")
        ? []
        : [{ destination: null, unit: { unitId: `van ${device}`, unitName: device, technician: "42" } }],
  });
});
afterAll(() => rig.close());

const askFor = (unit: string, limit?: number) =>
  rig.queue.findPings({
    destination: "acme",
    unit,
    from: Date.now() - HOUR_MS,
    to: Date.now() + HOUR_MS,
    ...(limit === undefined ? {} : { limit }),
  });

/** Nothing of the destination is sent until `body` is through. */
async function whilePaused(body: () => Promise<void>): Promise<void> {
  const gate = `${rig.destination.keyPrefix}:gate:acme`;
  await rig.db.hset(gate, { state: "paused", reason: "unavailable", until: Date.now() + HOUR_MS });
  try {
    await body();
  } finally {
    await rig.db.hset(gate, "until", Date.now());
    await rig.empty();
  }
}

describe("a unit's pings", () => {
  it("are found with their times, their details and what their batch came to", async () => {
    const details = { street: "12 Elm St", city: "Waco", ignition: true, odometerM: 120_400.5 };
    const [first, second] = [readingOf("7", 20, { details }), readingOf("7", 10)];
    const since = Date.now();
    await rig.store([first]);
    await rig.empty();
    await rig.store([second]);
    await rig.empty();
    const found = await askFor("van 7");
    expect(found).toMatchObject([
      { unit: "van 7", device: "7", technician: "42", fixTime: first.fixTime, details, fate: "delivered" },
      { fixTime: second.fixTime, receivedAt: second.receivedAt, fate: "delivered" },
    ]);
    expect(found[1]).not.toHaveProperty("details");
    for (const { settledAt, batch } of found) {
      expect(settledAt).toBeGreaterThanOrEqual(since - 1000);
      expect(batch).toMatchObject({ destination: "acme", outcome: "delivered", status: 200 });
    }
    expect(await askFor("van 7", 1)).toMatchObject([{ fixTime: second.fixTime }]);
    expect(await askFor("van 8")).toEqual([]);
  });

  it("reach ServiceTitan with the address", async () => {
    await rig.store([readingOf("9", 5, { details: { street: "12 Elm St", postalCode: "76701" } })]);
    await rig.empty();
    const sent = rig.sandbox.pings().find(({ ping }) => ping.unitId === "van 9");
    expect(sent?.ping).toMatchObject({ street: "12 Elm St", city: "", region: "", postalCode: "76701" });
  });
});

describe("a unit's whereabouts", () => {
  it("say what waits of it, what is held, and what was accepted last", async () => {
    await rig.store([readingOf("1", 60)]);
    await rig.empty();
    const [accepted] = await askFor("van 1");
    expect(await rig.queue.locateUnit("acme", "van 1")).toEqual({
      waiting: 0,
      inFlight: 0,
      complete: true,
      acceptedFixTime: accepted?.fixTime,
      held: [],
    });
    const stray = readingOf("stray", 30);
    await whilePaused(async () => {
      await rig.store([readingOf("1", 3), readingOf("1", 2), readingOf("2", 1), stray]);
      expect(await rig.queue.locateUnit("acme", "van 1")).toMatchObject({ waiting: 2, inFlight: 0 });
      expect(await rig.queue.locateUnit("acme", "van 2")).toMatchObject({
        waiting: 1,
        acceptedFixTime: null,
      });
    });
    expect(await rig.queue.locateUnit("acme", "van 1")).toMatchObject({ waiting: 0, inFlight: 0 });
    expect(await rig.queue.locateUnit("acme", "stray")).toMatchObject({
      waiting: 0,
      held: [{ source: "vans", fixTime: stray.fixTime }],
    });
  });

  it("say so when more waits than was looked through", async () => {
    const many = Array.from({ length: 2500 }, (_, i) => readingOf("3", 500 - i / 10));
    await whilePaused(async () => {
      await rig.store(many);
      const found = await rig.queue.locateUnit("acme", "van 3");
      expect(found).toMatchObject({ complete: false });
      expect(found?.waiting).toBeGreaterThan(1000);
    });
  });

  it("are unknown at a destination that is not configured", async () => {
    expect(await rig.queue.locateUnit("nowhere", "van 1")).toBeNull();
  });
});

describe("a message in quarantine", () => {
  it("is found whole by its id, and only as the source that sent it", async () => {
    const body = Buffer.from([0x7b, 0xff, 0x00]);
    const { receivedAt } = messageOf([]);
    await rig.queue.store.add({
      kind: "malformed",
      source: "vans",
      receivedAt,
      reason: "malformed",
      problems: ["message: not UTF-8 text"],
      message: {
        body,
        receivedAt,
        method: "POST",
        headers: { "content-type": "x" },
        query: { v: "2" },
        retained: false,
      },
    });
    const { quarantine } = await rig.queue.queryStatus();
    const id = quarantine.recent[0]?.id ?? "";
    const found = await rig.queue.quarantined(id, "vans");
    expect(found).toMatchObject({ id, source: "vans", reason: "malformed", receivedAt });
    expect(found?.message).toMatchObject({ method: "POST", query: { v: "2" } });
    expect(Buffer.from(found?.message.body ?? [])).toEqual(body);
    expect(await rig.queue.quarantined(id, null)).toEqual(found);
    expect(await rig.queue.quarantined(id, "others")).toBeNull();
    expect(await rig.queue.quarantined("1-1", null)).toBeNull();
  });
});
