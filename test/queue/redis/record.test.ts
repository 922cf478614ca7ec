/** What is written into a record comes out of it again, in JavaScript and in Lua. */

import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PrivateRedis, startPrivateRedis } from "../../../sandbox/redis.ts";
import { decodeRecord, recordEncoder } from "../../../src/queue/redis/record.ts";
import { runScript, scriptOf } from "../../../src/queue/redis/script.ts";
import type { Details, Reading } from "../../../src/reading.ts";
import { toPing, type Unit } from "../../../src/servicetitan/ping.ts";

const YEAR_2000_MS = 946_684_800_000;
const YEAR_2200_MS = 7_258_118_400_000;

/** What mapping files and vendors can say: any text, quotes, line feeds and several bytes a character included. */
const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 });
const awkward = fc.constantFrom(
  "línea\n2",
  "車両-7",
  "🚐 \u0000",
  '"],[',
  "a|b|c",
  "{tag}",
  "\u2028",
  "é".repeat(128),
);
const id = fc.oneof(text, awkward);
const source = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,39}$/);
const degrees = (limit: number) =>
  fc.oneof(
    fc.double({ min: -limit, max: limit, noNaN: true }),
    fc.constantFrom(limit, -limit, 1e-7, -1e-300, 5e-324),
  );

/** As validate leaves them: any may be missing, texts of up to 200 characters. */
const details = fc.option(
  fc.record(
    {
      street: fc.oneof(id, fc.constantFrom("\u2028".repeat(200), '"'.repeat(200), "🚐".repeat(100))),
      city: id,
      region: id,
      postalCode: id,
      ignition: fc.boolean(),
      odometerM: fc.double({ min: 0, max: 1e9, noNaN: true }),
      accuracyM: fc.double({ min: 0, max: 1e5, noNaN: true }),
      altitudeM: fc.double({ min: -1000, max: 20_000, noNaN: true }),
      batteryPct: fc.double({ min: 0, max: 100, noNaN: true }),
      driver: id,
      vendorEvent: id,
    },
    { requiredKeys: [] },
  ),
);

const cases = fc.record({
  source,
  unit: fc.record({ unitId: id, unitName: id, technician: fc.option(id) }),
  reading: fc
    .record({
      deviceId: id,
      fixTime: fc.integer({ min: YEAR_2000_MS, max: YEAR_2200_MS }),
      receivedAt: fc.integer({ min: YEAR_2000_MS, max: YEAR_2200_MS }),
      latitude: degrees(90),
      longitude: degrees(180),
      speedMps: fc.option(fc.double({ min: 0, max: 100, noNaN: true })),
      headingDeg: fc.option(fc.double({ min: 0, max: 360, maxExcluded: true, noNaN: true })),
      details,
    })
    .map(({ details: said, ...bare }): Reading => (said ? { ...bare, details: said } : bare)),
});

function encode({ source: name, unit, reading }: { source: string; unit: Unit; reading: Reading }): string {
  return recordEncoder(name, reading.deviceId, unit)(reading);
}

describe("a record", () => {
  it("is read back as it was written, whatever ids and numbers are in it", () => {
    fc.assert(
      fc.property(cases, (given) => {
        const { source: name, unit, reading } = decodeRecord(encode(given));
        expect(name).toBe(given.source);
        expect(unit).toEqual(given.unit);
        const { speedMps, details: read, ...rest } = reading;
        const { speedMps: saidMps, details: written, ...said } = given.reading;
        expect(Object.keys(read ?? {}).sort()).toEqual(Object.keys(written ?? {}).sort());
        for (const [name, value] of Object.entries(read ?? {})) {
          const before = written?.[name as keyof Details];
          if (typeof value === "number") expect(value).toBeCloseTo(Number(before), 0);
          else expect(value).toBe(before);
        }
        // -0 and 0 are one place and one heading.
        expect(plain(rest)).toEqual(plain(said));
        expect(speedMps === null).toBe(saidMps === null);
        expect(Math.abs((speedMps ?? 0) - (saidMps ?? 0))).toBeLessThanOrEqual(0.00005 + 1e-12);
      }),
      { numRuns: 500 },
    );
  });

  it("is short where the unit is the device: 110 bytes for a usual one", () => {
    const unit = { unitId: "358239051234567", unitName: "358239051234567", technician: null };
    const record = encode({
      source: "acme-vans",
      unit,
      reading: {
        deviceId: unit.unitId,
        fixTime: 1_770_000_000_000,
        receivedAt: 1_770_000_001_234,
        latitude: 32.7766642,
        longitude: -96.7969879,
        speedMps: 15.6464,
        headingDeg: 271.5,
      },
    });
    expect(Buffer.byteLength(record)).toBeLessThanOrEqual(110);
  });

  it("with details keeps what older gateways look at where they look for it", () => {
    const given = {
      source: "vans",
      unit: unitOf("7"),
      reading: { ...readingAt(YEAR_2000_MS), details: { city: "Waco" } },
    };
    expect(encode(given).split("vans")[1]).toBe('[1,2,null,null,"7","7",null,{"c":"Waco"}]');
    expect(decodeRecord(encode(given)).reading.details).toEqual({ city: "Waco" });
  });

  it("of a newer layout is not guessed at", () => {
    const record = encode({ source: "vans", unit: unitOf("7"), reading: readingAt(YEAR_2000_MS) });
    expect(() => decodeRecord(`2${record.slice(1)}`)).toThrow(/unknown version/);
  });

  it("names at least as many bytes as its ping takes", () => {
    fc.assert(
      fc.property(
        cases,
        fc.constantFrom("mph", "kph", "mps", "knots"),
        fc.boolean(),
        (given, speedUnit, isNew) => {
          const ping = toPing(given.reading, given.source, given.unit, { speedUnit, isNew });
          expect(Number(encode(given).slice(32, 37))).toBeGreaterThanOrEqual(Buffer.byteLength(ping));
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("Lua", () => {
  let server: PrivateRedis;
  let db: Redis;
  beforeAll(async () => {
    server = await startPrivateRedis();
    db = new Redis(server.url);
  });
  afterAll(async () => {
    db.disconnect();
    await server.stop();
  });

  const HEAD = scriptOf(`
--- @include "records"
local r = ARGV[1]
return { string.format('%.0f', fixTimeOf(r)), string.format('%.0f', receivedAtOf(r)), unitOf(r), sourceOf(r), pingBytesOf(r) }
`);

  it("reads from a record's head what JavaScript wrote there", async () => {
    await fc.assert(
      fc.asyncProperty(cases, async (given) => {
        const record = encode(given);
        const [fixTime, receivedAt, unit, name, bytes] = await runScript(db, HEAD, ["w:{s}"], [record]);
        expect({ fixTime, receivedAt, unit, name, bytes }).toEqual({
          fixTime: String(given.reading.fixTime),
          receivedAt: String(given.reading.receivedAt),
          unit: given.unit.unitId,
          name: given.source,
          bytes: Number(record.slice(32, 37)),
        });
      }),
      { numRuns: 200 },
    );
  });
});

function plain(fields: object): object {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, typeof value === "number" ? value + 0 : value]),
  );
}

function unitOf(unitId: string): Unit {
  return { unitId, unitName: unitId, technician: null };
}

function readingAt(fixTime: number): Reading {
  return {
    deviceId: "7",
    fixTime,
    receivedAt: fixTime,
    latitude: 1,
    longitude: 2,
    speedMps: null,
    headingDeg: null,
  };
}
