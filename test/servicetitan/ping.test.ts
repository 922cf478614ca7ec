import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MPS_PER, type Reading, SPEED_UNITS } from "../../src/reading.ts";
import {
  detailBytes,
  externalIdOf,
  type Ping,
  pingBytesAtMost,
  toPing,
  type Unit,
} from "../../src/servicetitan/ping.ts";

const RECEIVED_AT = Date.UTC(2026, 8, 21, 14, 13, 20, 5);
const unit: Unit = { unitId: "truck-17", unitName: "Truck 17", technician: "Ana" };
const reading: Reading = {
  deviceId: "356938035643809",
  fixTime: RECEIVED_AT - 1000,
  receivedAt: RECEIVED_AT,
  latitude: 30.2671531,
  longitude: -97.7430608,
  speedMps: 15.2,
  headingDeg: 44,
};

/** The 14 keys of the official schema. */
const KEYS = [
  "city",
  "eventTime",
  "externalId",
  "isNew",
  "latitude",
  "longitude",
  "message",
  "postalCode",
  "region",
  "speed",
  "statusMessage",
  "street",
  "unitId",
  "unitName",
];

function pingOf(
  changes: Partial<Reading> = {},
  speedUnit: (typeof SPEED_UNITS)[number] = "mph",
  of = unit,
): Ping {
  return JSON.parse(toPing({ ...reading, ...changes }, "acme-vans", of, { speedUnit, isNew: false }));
}

describe("toPing", () => {
  test("has the parts of an address, and no other detail of the vendor", () => {
    const address = { street: '12 "Elm" St', city: "Łódź", postalCode: "76701" };
    const more = { ignition: true, odometerM: 5, driver: "Ana", vendorEvent: "trip", accuracyM: 3 };
    expect(pingOf({ details: { ...address, ...more } })).toEqual({ ...pingOf(), ...address });
    expect(pingOf({ details: more })).toEqual(pingOf());
  });

  test("uses the vendor's name of a device that no mapping names", () => {
    const details = { deviceName: 'Van 12 "HVAC"' };
    const unnamed = { unitId: "b1F", unitName: "b1F", technician: null };
    expect(pingOf({ details }, "mph", unnamed).unitName).toBe('Van 12 "HVAC"');
    expect(pingOf({ details }).unitName).toBe("Truck 17");
    expect(pingOf({}, "mph", unnamed).unitName).toBe("b1F");
    const encoded = toPing({ ...reading, details }, "acme-vans", unnamed, { speedUnit: "mph", isNew: false });
    expect(Buffer.byteLength(encoded)).toBeLessThanOrEqual(
      pingBytesAtMost("acme-vans", reading.deviceId, unnamed) + detailBytes(details),
    );
  });

  test("has everything under ServiceTitan's names", () => {
    expect(pingOf()).toEqual({
      unitId: "truck-17",
      unitName: "Truck 17",
      eventTime: "2026-09-21T14:13:19.005Z",
      latitude: 30.2671531,
      longitude: -97.7430608,
      speed: 34,
      street: "",
      city: "",
      region: "",
      postalCode: "",
      message: "",
      externalId: `acme-vans:356938035643809:${RECEIVED_AT - 1000}`,
      isNew: false,
      statusMessage: "Moving 34 mph NE",
    });
  });

  test("a fix from the future gets the time of its receipt, and keeps its identity", () => {
    const ping = pingOf({ fixTime: RECEIVED_AT + 60_000 });
    expect(ping.eventTime).toBe("2026-09-21T14:13:20.005Z");
    expect(ping.externalId).toBe(`acme-vans:356938035643809:${RECEIVED_AT + 60_000}`);
  });

  test.each([true, false])("carries whether the unit is new: %s", (isNew) => {
    expect(JSON.parse(toPing(reading, "s", unit, { speedUnit: "mph", isNew }))).toMatchObject({ isNew });
  });

  test.each([
    ["mph", 15.2, 44, 34, "Moving 34 mph NE"],
    ["kph", 15.2, 44, 54.72, "Moving 55 km/h NE"],
    ["mps", 15.2, 44, 15.2, "Moving 15 m/s NE"],
    ["knots", 15.2, 44, 29.55, "Moving 30 kn NE"],
    ["mph", 0, 44, 0, "Stopped"],
    ["mph", 0.49, 44, 1.1, "Stopped"],
    ["mph", 0.5, null, 1.12, "Moving 1 mph"],
    ["mps", 0.5, null, 0.5, "Moving 1 m/s"],
    ["mph", 15.2, null, 34, "Moving 34 mph"],
    ["mph", null, 44, null, "Heading NE"],
    ["mph", null, null, null, "Position reported"],
  ] as const)("in %s, %s m/s towards %s reads", (speedUnit, speedMps, headingDeg, speed, statusMessage) => {
    expect(pingOf({ speedMps, headingDeg }, speedUnit)).toMatchObject({ speed, statusMessage });
  });

  test.each([
    [0, "N"],
    [22.4, "N"],
    [22.5, "NE"],
    [90, "E"],
    [135, "SE"],
    [180, "S"],
    [225, "SW"],
    [270, "W"],
    [315, "NW"],
    [337.4, "NW"],
    [337.5, "N"],
    [359.9, "N"],
  ])("%s degrees is %s", (headingDeg, point) => {
    expect(pingOf({ speedMps: null, headingDeg }).statusMessage).toBe(`Heading ${point}`);
  });

  test("whatever the reading and the unit hold, it is JSON with all 14 keys, and true to the reading", () => {
    const decimals = (limit: number) =>
      fc.integer({ min: -limit * 1e7, max: limit * 1e7 }).map((steps) => steps / 1e7);
    const readings = fc.record({
      deviceId: fc.string({ minLength: 1, unit: "binary" }),
      fixTime: fc.integer({ min: 946_684_800_000, max: 4_102_444_800_000 }),
      receivedAt: fc.integer({ min: 946_684_800_000, max: 4_102_444_800_000 }),
      latitude: decimals(90),
      longitude: decimals(180),
      speedMps: fc.option(fc.double({ min: 0, max: 100, noNaN: true })),
      headingDeg: fc.option(fc.double({ min: 0, max: 360, maxExcluded: true, noNaN: true })),
    });
    const text = fc.string({ unit: "binary" });
    fc.assert(
      fc.property(
        readings,
        text,
        text,
        fc.constantFrom(...SPEED_UNITS),
        (given, unitId, unitName, speedUnit) => {
          const of = { unitId, unitName, technician: null };
          const encoded = toPing(given, "acme-vans", of, { speedUnit, isNew: false });
          expect(Buffer.byteLength(encoded)).toBeLessThanOrEqual(
            pingBytesAtMost("acme-vans", given.deviceId, of),
          );
          const ping = pingOf(given, speedUnit, of);
          expect(Object.keys(ping).sort()).toEqual(KEYS);
          expect(ping.unitId).toBe(unitId);
          expect(ping.unitName).toBe(unitName);
          // JSON knows no -0; it is the same place.
          expect(ping.latitude).toBe(given.latitude + 0);
          expect(ping.longitude).toBe(given.longitude + 0);
          expect(Date.parse(ping.eventTime)).toBe(Math.min(given.fixTime, given.receivedAt));
          if (given.speedMps === null) expect(ping.speed).toBeNull();
          else expect(ping.speed).toBeCloseTo(given.speedMps / MPS_PER[speedUnit], 2);
          expect(ping.statusMessage).toMatch(
            /^(Moving [1-9]\d* (mph|km\/h|m\/s|kn)( [NS]?[EW]?)?|Stopped|Heading [NS]?[EW]?|Position reported)$/,
          );
          expect(ping.externalId).toBe(externalIdOf("acme-vans", given.deviceId, given.fixTime));
        },
      ),
      { numRuns: 500 },
    );
  });

  test("a longer tail of decimals is cut to the seventh by rounding", () => {
    const ping = pingOf({ latitude: 30.26715319999999, longitude: -97.74306080000002 });
    expect([ping.latitude, ping.longitude]).toEqual([30.2671532, -97.7430608]);
  });
});

test("the upper bound of a ping's bytes is at most a tenth above those of a long ping", () => {
  const long = { latitude: -30.1234567, longitude: -100.1234567, speedMps: 99.87 };
  const bytes = Buffer.byteLength(
    toPing({ ...reading, ...long }, "acme-vans", unit, { speedUnit: "kph", isNew: false }),
  );
  expect(pingBytesAtMost("acme-vans", reading.deviceId, unit)).toBeLessThan(1.1 * bytes);
});

describe("externalIdOf", () => {
  test("differs for any two fixes, colons in the device's id or not", () => {
    const part = fc.tuple(
      fc.stringMatching(/^[a-z][a-z0-9-]{0,3}$/),
      fc.stringMatching(/^[:0-9a]{1,4}$/),
      fc.nat(99),
    );
    fc.assert(
      fc.property(part, part, (one, other) => {
        const same = one.every((value, i) => value === other[i]);
        expect(externalIdOf(...one) === externalIdOf(...other)).toBe(same);
      }),
      { numRuns: 2000 },
    );
  });
});
