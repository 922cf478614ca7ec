/** The ledger answers later what happened to a ping: entries hold it in few bytes, and are found by unit and time. */

import { inflateRawSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeEntry, encodeEntry, type LedgerBatch } from "../../../src/queue/ledger/entry.ts";
import { findPings } from "../../../src/queue/ledger/ledger.ts";
import type { Disposition } from "../../../src/queue/redis/disposition.ts";
import type { BufferRecord } from "../../../src/queue/redis/record.ts";
import { readingOf, startTestQueue, type TestQueue } from "../../support/queue.ts";
import { startStores } from "../../support/store.ts";

const BATCH: LedgerBatch = {
  batchId: "0b7e3f5c-6a9d-4f53-9f2c-0e6d3f1f7a10",
  destination: "acme",
  outcome: "delivered",
  status: 200,
  tookMs: 87,
  traceId: null,
};

const id = fc.oneof(
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 30 }),
  fc.constantFrom("a", "b", "línea\n2", "車両-7"),
);
const record: fc.Arbitrary<BufferRecord> = fc.record({
  unit: fc.record({ unitId: id, unitName: id, technician: fc.option(id) }),
  source: fc.constantFrom("vans", "trucks"),
  reading: fc.record({
    deviceId: id,
    fixTime: fc.integer({ min: 946_684_800_000, max: 7_258_118_400_000 }),
    receivedAt: fc.integer({ min: 946_684_800_000, max: 7_258_118_400_000 }),
    latitude: fc.double({ min: -90, max: 90, noNaN: true }),
    longitude: fc.double({ min: -180, max: 180, noNaN: true }),
    speedMps: fc.option(fc.double({ min: 0, max: 100, noNaN: true })),
    headingDeg: fc.option(fc.double({ min: 0, max: 360, maxExcluded: true, noNaN: true })),
  }),
});
const fate = fc.constantFrom<Disposition>("d", "x", "e", "b", "1", "2", "q");
const WORDS: Partial<Record<Disposition, string>> = { d: "delivered", x: "dead_lettered", e: "expired" };

const recordOf = (device: string, unitId = device): BufferRecord => ({
  unit: { unitId, unitName: unitId, technician: null },
  source: "vans",
  reading: readingOf(device, 1),
});

describe("an attempt that brought nothing to an end", () => {
  const records = ["a", "b", "c"].map((device) => recordOf(device));
  const packed = encodeEntry(BATCH, records, ["d", "b", "1"], {
    posted: [0, 1],
    deadLetters: [],
  });

  it("is told of what was posted, after what came to an end", () => {
    const { pings } = decodeEntry(7, packed ?? Buffer.of());
    expect(pings.map(({ device, fate, fixTime }) => [device, fate, fixTime])).toEqual([
      ["a", "delivered", records[0]?.reading.fixTime],
      ["b", "returned", records[1]?.reading.fixTime],
    ]);
  });

  it("cannot be read as delivered by a gateway that does not know of it", () => {
    const { fate, unit } = JSON.parse(inflateRawSync(packed ?? Buffer.of()).toString());
    expect([fate, unit]).toEqual(["d", [0]]);
  });

  it("is not written where nothing was posted", () => {
    expect(encodeEntry(BATCH, records, ["b", "b", "b"])).toBeNull();
    expect(encodeEntry(BATCH, records, ["b", "b", "b"], { posted: [2] })).not.toBeNull();
  });
});

describe("a ping that was refused", () => {
  it("is told with its own reason and message, the batch with its times and ServiceTitan's words", () => {
    const deadLetters = [{ at: 1, reason: "failed", message: "Unit is not known." }];
    const batch = { ...BATCH, formedAt: 5, sentAt: 6, words: "HTTP 200: of 2 pings 1 refused, 0 missing" };
    const packed = encodeEntry(batch, [recordOf("a"), recordOf("b")], ["d", "x"], { deadLetters });
    const { pings, at, ...told } = decodeEntry(7, packed ?? Buffer.of());
    expect(told).toEqual(batch);
    expect(pings.map(({ letter }) => letter)).toEqual([
      undefined,
      { reason: "failed", message: "Unit is not known." },
    ]);
  });
});

describe("an entry", () => {
  it("gives back every ping that came to an end, in order, to the precision it promises", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(record, fate), { maxLength: 30 }), (given) => {
        const packed = encodeEntry(
          BATCH,
          given.map(([each]) => each),
          given.map(([, each]) => each),
        );
        const over = given.filter(([, each]) => WORDS[each] !== undefined);
        if (over.length === 0) {
          expect(packed).toBeNull();
          return;
        }
        if (packed === null) throw new Error("nothing was written");
        const { pings, at, ...batch } = decodeEntry(7, packed);
        expect(at).toBe(7);
        expect(batch).toMatchObject(BATCH);
        expect(pings).toHaveLength(over.length);
        over.forEach(([{ unit, source, reading }, outcome], i) => {
          const ping = pings[i];
          if (!ping) throw new Error("a ping is missing");
          expect(ping).toMatchObject({
            unit: unit.unitId,
            technician: unit.technician,
            device: reading.deviceId,
            source,
            fixTime: reading.fixTime,
            receivedAt: reading.receivedAt,
            fate: WORDS[outcome],
          });
          expect(Math.abs(ping.latitude - reading.latitude)).toBeLessThan(1e-7);
          expect(Math.abs(ping.longitude - reading.longitude)).toBeLessThan(1e-7);
          expect(ping.speedMps === null).toBe(reading.speedMps === null);
          expect(Math.abs((ping.speedMps ?? 0) - (reading.speedMps ?? 0))).toBeLessThan(0.0051);
          if (ping.headingDeg === null || reading.headingDeg === null)
            expect(ping.headingDeg).toBe(reading.headingDeg);
          else {
            expect(ping.headingDeg).toBeLessThan(360);
            const turn = Math.abs(ping.headingDeg - reading.headingDeg);
            expect(Math.min(turn, 360 - turn)).toBeLessThan(0.0501);
          }
        });
      }),
      { numRuns: 300 },
    );
  });
});

async function withLine<T>(
  options: Parameters<typeof startTestQueue>[0],
  body: (rig: TestQueue) => Promise<T>,
): Promise<T> {
  const rig = await startTestQueue(options);
  try {
    return await body(rig);
  } finally {
    await rig.close();
  }
}

describe("a ping's bytes in Redis", () => {
  it(
    "are at most 60, stream and index included, for a fleet of 300 vehicles",
    () =>
      withLine({ destination: { lanes: 1, maxAgeMs: Number.POSITIVE_INFINITY } }, async (rig) => {
        const vehicles = 300;
        const minutes = 20;
        let seed = 1;
        const random = () => {
          seed = (seed * 48_271) % 2_147_483_647;
          return seed / 2_147_483_647;
        };
        const places = Array.from({ length: vehicles }, () => ({
          latitude: 32.6 + random() / 2,
          longitude: -97 + random() / 2,
        }));
        const start = Date.now() - minutes * 60_000;
        for (let minute = 0; minute < minutes; minute++) {
          const readings = places.map((place, i) => {
            place.latitude += (random() - 0.5) / 100;
            place.longitude += (random() - 0.5) / 100;
            return readingOf(`35823905${1_000_000 + i}`, 0, {
              ...place,
              fixTime: start + minute * 60_000 + Math.floor(random() * 60_000),
              speedMps: Math.round(random() * 3000) / 100,
              headingDeg: Math.floor(random() * 360),
            });
          });
          await rig.store(readings);
          await rig.empty();
        }
        const { delivered } = await rig.account();
        expect(delivered).toBe(vehicles * minutes);
        const { keyPrefix: scope } = rig.destination;
        const stream = Number(await rig.db.memory("USAGE", `${scope}:ledger`, "SAMPLES", 0));
        const indexKeys = await rig.db.keys(`${scope}:li:*`);
        const index = await Promise.all(indexKeys.map((key) => rig.db.memory("USAGE", key, "SAMPLES", 0)));
        const indexBytes = index.reduce<number>((sum, bytes) => sum + Number(bytes), 0);
        const counted = (await rig.queue.queryStatus()).ledger.bytes;
        console.log(
          `ledger: ${(stream / delivered).toFixed(1)} bytes per ping in the stream, ${(indexBytes / delivered).toFixed(1)} in ${indexKeys.length} index keys; counted as ${(counted / delivered).toFixed(1)}`,
        );
        expect((stream + indexBytes) / delivered).toBeLessThanOrEqual(60);
        // The budget is kept by what is counted: it must not be far below what is used.
        expect(counted).toBeGreaterThan((stream + indexBytes) * 0.8);
      }),
    60_000,
  );
});

describe("where is my ping", () => {
  it("is answered by unit and fix time, with what became of it", () =>
    withLine({ destination: { lanes: 1, backfill: "deliver" } }, async (rig) => {
      rig.sandbox.faults.set({ kind: "fail", match: { unitId: "b" }, message: "no" });
      const [a1, a2, a3, b] = [
        readingOf("a", 90),
        readingOf("a", 60),
        readingOf("a", 30),
        readingOf("b", 60),
      ];
      await rig.store([a1, b]);
      await rig.empty();
      await rig.store([a2, a3]);
      await rig.empty();
      const ask = (unit: string, from: number, to: number) =>
        rig.queue.findPings({ destination: "acme", unit, from, to });
      const found = await ask("a", a1.fixTime, a2.fixTime);
      expect(found.map(({ fixTime, fate: what }) => [fixTime, what])).toEqual([
        [a1.fixTime, "delivered"],
        [a2.fixTime, "delivered"],
      ]);
      expect(found[0]).toMatchObject({ unit: "a", device: "a", source: "vans", latitude: a1.latitude });
      expect(await ask("a", a3.fixTime + 1, Date.now() + 60_000)).toEqual([]);
      expect((await ask("b", 0 + a1.fixTime, Date.now())).map(({ fate: what }) => what)).toEqual([
        "dead_lettered",
      ]);
      expect(await ask("nobody", a1.fixTime, Date.now())).toEqual([]);
      expect(
        await rig.queue.findPings({ destination: "nowhere", unit: "a", from: 0, to: Date.now() }),
      ).toEqual([]);
    }));

  it("finds a ping whose device's clock is ahead, also across the hour", async () => {
    const stores = await startStores();
    try {
      const { db, keyPrefix: scope } = stores.open();
      const HOUR_MS = 3_600_000;
      const hour = Math.floor(Date.now() / HOUR_MS) - 1;
      const [settledAt, fixTime] = [hour * HOUR_MS - 30_000, hour * HOUR_MS + 10_000];
      const unit = { unitId: "a", unitName: "a", technician: null };
      const reading = readingOf("a", 0, { fixTime, receivedAt: settledAt });
      const packed = encodeEntry(BATCH, [{ unit, source: "vans", reading }], ["d"]);
      if (!packed) throw new Error("nothing was written");
      await db.xadd(`${scope}:ledger`, `${settledAt}-5`, "e", packed);
      const pointer = Buffer.alloc(6);
      pointer.writeUInt32BE(HOUR_MS - 30_000, 0);
      pointer.writeUInt16BE(5, 4);
      await db.hset(`${scope}:li:acme:${hour - 1}`, "a", pointer);
      const query = {
        scope,
        destination: "acme",
        unit: "a",
        from: fixTime,
        to: fixTime,
        maxDelayMs: 600_000,
      };
      expect(await findPings(db, query)).toMatchObject([
        { fixTime, receivedAt: settledAt, fate: "delivered" },
      ]);
    } finally {
      await stores.close();
    }
  });
});
