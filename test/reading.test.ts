/** What makes a reading out of a raw reading, and what does not. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  AT_RECEIPT,
  FIELD_DEFECTS,
  MAX_AHEAD_MS,
  type RawReading,
  REJECTION_REASONS,
  type ValidationContext,
  validate,
} from "../src/reading.ts";

const NOON = Date.UTC(2026, 9, 14, 12);
const good: RawReading = {
  deviceId: "van-7",
  fixTime: NOON,
  latitude: 39.7392,
  longitude: -104.9903,
  speedMps: 12.5,
  headingDeg: 271,
  path: "data[0]",
};
const context: ValidationContext = {
  receivedAt: NOON + 1500,
  maxAgeMs: 600_000,
  maxAheadMs: MAX_AHEAD_MS,
  retained: false,
};

function validated(change: Partial<RawReading>, settings: Partial<ValidationContext> = {}) {
  return validate({ ...good, ...change }, { ...context, ...settings });
}
function readingOf(change: Partial<RawReading>, settings: Partial<ValidationContext> = {}) {
  const validation = validated(change, settings);
  if (validation.kind !== "reading") throw new Error(`rejected: ${validation.rejection.reason}`);
  return validation;
}
function reasonOf(change: Partial<RawReading>, settings: Partial<ValidationContext> = {}) {
  const validation = validated(change, settings);
  return validation.kind === "rejected" ? validation.rejection.reason : "none";
}

describe("a receiver whose count of weeks began again", () => {
  const WEEK = 7 * 86_400_000;
  const rolled = (weeks: number, lateMs = 0) => ({ fixTime: NOON - weeks * WEEK - lateMs });

  it.each([1024, 2048])("has its time corrected by %d weeks, and counted", (weeks) => {
    const { reading, defects } = readingOf(rolled(weeks));
    expect(reading.fixTime).toBe(NOON);
    expect(defects).toEqual(["time_rolled_over"]);
  });

  it.each([1024, 2048])("is believed only where it is current, %d weeks on", (weeks) => {
    const late = context.maxAgeMs - 1500;
    expect(readingOf(rolled(weeks, late)).reading.fixTime).toBe(NOON - late);
    expect(readingOf(rolled(weeks, -MAX_AHEAD_MS - 1500)).defects).toEqual(["time_rolled_over"]);
    const old = weeks === 1024 ? "too_old" : "before_2000";
    expect(reasonOf(rolled(weeks, late + 1))).toBe(old);
    expect(reasonOf(rolled(weeks, -MAX_AHEAD_MS - 1501))).toBe(old);
  });

  it.each([1, 512, 1023, 1025, 2047, 2049, 3072, -1024])("is not seen in %d weeks", (weeks) => {
    expect(["too_old", "before_2000", "in_future"]).toContain(reasonOf(rolled(weeks)));
  });

  it("is not seen in a time that is right as it is", () => {
    for (const maxAgeMs of [Number.POSITIVE_INFINITY, 1025 * WEEK]) {
      expect(readingOf(rolled(1024), { maxAgeMs })).toMatchObject({
        reading: { fixTime: NOON - 1024 * WEEK },
        defects: [],
      });
    }
  });

  it("is seen within a day where no age is too old, in times that no clock of today has", () => {
    const settings = { maxAgeMs: Infinity, maxAheadMs: Infinity };
    expect(readingOf(rolled(2048, 3_600_000), settings).reading.fixTime).toBe(NOON - 3_600_000);
    expect(reasonOf(rolled(2048, 2 * 86_400_000), settings)).toBe("before_2000");
    expect(reasonOf(rolled(2048, -3_600_000), settings)).toBe("before_2000");
    const shown = { ...settings, rolloverAfterMs: 86_400_000 };
    expect(readingOf(rolled(1024, 3_600_000), shown).reading.fixTime).toBe(NOON - 3_600_000);
    expect(readingOf(rolled(1024, 2 * 86_400_000), shown).defects).toEqual([]);
  });
});

describe("validate", () => {
  it("turns a good raw reading into a reading with the same values", () => {
    expect(validated({})).toEqual({
      kind: "reading",
      reading: {
        deviceId: "van-7",
        fixTime: NOON,
        receivedAt: NOON + 1500,
        latitude: 39.7392,
        longitude: -104.9903,
        speedMps: 12.5,
        headingDeg: 271,
      },
      defects: [],
    });
  });

  it("says where the rejected raw reading stood", () => {
    expect(validated({ latitude: 91 })).toEqual({
      kind: "rejected",
      rejection: { reason: "latitude_out_of_range", path: "data[0]" },
    });
  });

  it.each([
    ["no_device", { deviceId: null }],
    ["no_device", { deviceId: "" }],
    ["bad_device", { deviceId: "x".repeat(129) }],
    ["bad_device", { deviceId: "van\u00007" }],
    ["bad_device", { deviceId: "van\n7" }],
    ["bad_device", { deviceId: "\ud83d" }],
    // Zero width, soft hyphen, byte order mark, right-to-left override and isolate, tag.
    ...["\u200b", "\u200d", "\u00ad", "\ufeff", "\u202e", "\u2066", "\u{e0041}"].map(
      (hidden): ["bad_device", Partial<RawReading>] => ["bad_device", { deviceId: `van${hidden}7` }],
    ),
    ["no_time", { fixTime: null }],
    ["bad_time", { fixTime: Number.NaN }],
    ["bad_time", { fixTime: Number.POSITIVE_INFINITY }],
    ["bad_time", { fixTime: Date.UTC(10_000, 0, 1) }],
    ["before_2000", { fixTime: 0 }],
    ["before_2000", { fixTime: Number.NEGATIVE_INFINITY }],
    ["before_2000", { fixTime: Date.UTC(1999, 11, 31, 23, 59, 59, 999) }],
    ["in_future", { fixTime: NOON + 1500 + MAX_AHEAD_MS + 1 }],
    ["too_old", { fixTime: NOON + 1500 - 600_001 }],
    ["no_fix", { noFix: true }],
    ["no_fix", { latitude: null, longitude: null }],
    ["bad_latitude", { latitude: null }],
    ["bad_latitude", { latitude: Number.NaN }],
    ["bad_latitude", { latitude: Number.NaN, longitude: Number.NaN }],
    ["bad_longitude", { longitude: null }],
    ["bad_longitude", { longitude: Number.NaN }],
    ["latitude_out_of_range", { latitude: 90.0000001 }],
    ["latitude_out_of_range", { latitude: Number.NEGATIVE_INFINITY }],
    ["longitude_out_of_range", { longitude: 180.0000001 }],
    ["longitude_out_of_range", { longitude: -180.0000001 }],
    ["null_island", { latitude: 0, longitude: 0 }],
    ["null_island", { latitude: -0, longitude: 0 }],
  ] as const)("rejects as %s: %o", (reason, change) => {
    expect(reasonOf(change)).toBe(reason);
  });

  it.each([
    { latitude: 90 },
    { latitude: -90 },
    { longitude: 180 },
    { longitude: -180 },
    { latitude: 0 },
    { longitude: 0 },
    { fixTime: NOON + 1500 + MAX_AHEAD_MS },
    { fixTime: NOON + 1500 - 600_000 },
    { deviceId: "x".repeat(128) },
    { deviceId: "Käyttäjä/📱" },
    { noFix: false },
  ])("accepts at the bound: %o", (change) => {
    expect(reasonOf(change)).toBe("none");
  });

  it("lets any age in where the limits are off, but nothing before 2000", () => {
    const off = { maxAgeMs: Number.POSITIVE_INFINITY, maxAheadMs: Number.POSITIVE_INFINITY };
    expect(reasonOf({ fixTime: Date.UTC(2000, 0, 1) }, off)).toBe("none");
    expect(reasonOf({ fixTime: Date.UTC(9999, 11, 31) }, off)).toBe("none");
    expect(reasonOf({ fixTime: 1 }, off)).toBe("before_2000");
  });

  it("takes the time of receipt for a message without time, unless the broker had kept it", () => {
    expect(readingOf({ fixTime: AT_RECEIPT }).reading.fixTime).toBe(context.receivedAt);
    expect(reasonOf({ fixTime: AT_RECEIPT }, { retained: true })).toBe("retained_without_time");
    expect(reasonOf({}, { retained: true })).toBe("none");
  });

  it("cuts the time to the millisecond", () => {
    expect(readingOf({ fixTime: NOON + 0.999 }).reading.fixTime).toBe(NOON);
  });

  it.each([
    [null, null, []],
    [0, 0, []],
    [100, 100, []],
    [100.01, null, ["speed_too_high"]],
    [-0.01, null, ["speed_negative"]],
    [Number.NaN, null, ["speed_unreadable"]],
    [Number.POSITIVE_INFINITY, null, ["speed_too_high"]],
  ])("a speed of %s becomes %s", (speedMps, expected, defects) => {
    const validation = readingOf({ speedMps });
    expect(validation.reading.speedMps).toBe(expected);
    expect(validation.defects).toEqual(defects);
  });

  it.each([
    [null, null, []],
    [0, 0, []],
    [359.99, 359.99, []],
    [360, 0, []],
    [360.01, null, ["heading_out_of_range"]],
    [-1, null, ["heading_out_of_range"]],
    [511, null, ["heading_out_of_range"]],
    [Number.NaN, null, ["heading_unreadable"]],
  ])("a heading of %s becomes %s", (headingDeg, expected, defects) => {
    const validation = readingOf({ headingDeg });
    expect(validation.reading.headingDeg).toBe(expected);
    expect(validation.defects).toEqual(defects);
  });

  it("carries what the vendor says beside the position, tidied", () => {
    const { reading, defects } = readingOf({
      details: {
        street: " 12 Elm St\n Unit\u00003 ",
        city: "Łódź",
        region: null,
        postalCode: undefined,
        driver: "  ",
        vendorEvent: `${"x".repeat(199)}📱 and more`,
        ignition: false,
        odometerM: 0,
        accuracyM: 4.5,
        altitudeM: -430,
        batteryPct: 100,
      },
    });
    expect(reading.details).toStrictEqual({
      street: "12 Elm St Unit 3",
      city: "Łódź",
      // Not half a telephone.
      vendorEvent: "x".repeat(199),
      ignition: false,
      odometerM: 0,
      accuracyM: 4.5,
      altitudeM: -430,
      batteryPct: 100,
    });
    expect(defects).toEqual([]);
  });

  it.each([
    { odometerM: -0.1 },
    { odometerM: Number.POSITIVE_INFINITY },
    { accuracyM: -1 },
    { altitudeM: -1000.1 },
    { altitudeM: 20_000.1 },
    { batteryPct: 100.1 },
    { batteryPct: -1 },
    { batteryPct: Number.NaN },
    { postalCode: Number.NaN },
    { ignition: Number.NaN },
  ])("drops and counts the detail %o, and keeps the position", (details) => {
    const { reading, defects } = readingOf({ details });
    expect(reading).not.toHaveProperty("details");
    expect(defects).toEqual(["detail_unreadable"]);
  });

  it("makes nothing of details that say nothing", () => {
    for (const details of [{}, { city: "" }, { city: null, odometerM: null, ignition: undefined }]) {
      const { reading, defects } = readingOf({ details });
      expect(reading).not.toHaveProperty("details");
      expect(defects).toEqual([]);
    }
  });

  it("turns down what is less accurate than the source's limit, and only that", () => {
    const limit = { maxAccuracyM: 50 };
    expect(reasonOf({ details: { accuracyM: 50.1 } }, limit)).toBe("inaccurate");
    expect(reasonOf({ details: { accuracyM: Number.POSITIVE_INFINITY } }, limit)).toBe("inaccurate");
    for (const accuracyM of [50, 0, null, undefined, Number.NaN, -1]) {
      expect(reasonOf({ details: { accuracyM } }, limit)).toBe("none");
    }
    expect(reasonOf({}, limit)).toBe("none");
    expect(reasonOf({ details: { accuracyM: 5000 } })).toBe("none");
  });

  it("keeps its promises for any raw reading at all", () => {
    const value = fc.oneof(fc.double(), fc.constantFrom(null, 0, -0, 90, 180, 360, NOON));
    const rawReading = fc.record({
      deviceId: fc.option(fc.string({ unit: "binary" })),
      fixTime: fc.oneof(value, fc.constant(AT_RECEIPT), fc.integer({ min: NOON - 1e6, max: NOON + 1e6 })),
      latitude: fc.oneof(value, fc.double({ min: -91, max: 91 })),
      longitude: fc.oneof(value, fc.double({ min: -181, max: 181 })),
      speedMps: value,
      headingDeg: value,
      noFix: fc.boolean(),
      path: fc.string(),
      details: fc.record({
        street: fc.option(fc.string({ unit: "binary", maxLength: 300 })),
        ignition: fc.option(fc.boolean()),
        odometerM: value,
        accuracyM: value,
        altitudeM: value,
        batteryPct: value,
      }),
    });
    fc.assert(
      fc.property(rawReading, fc.boolean(), (given, retained) => {
        const validation = validate(given, { ...context, retained });
        if (validation.kind === "rejected") {
          expect(REJECTION_REASONS).toContain(validation.rejection.reason);
          return;
        }
        const { deviceId, fixTime, latitude, longitude, speedMps, headingDeg, details } = validation.reading;
        const { street = "a", ...numbers } = details ?? {};
        expect(street).toMatch(/^\S.{0,199}$/u);
        expect(Buffer.from(street ?? "").toString()).toBe(street);
        for (const number of Object.values(numbers)) expect(Number.isNaN(Number(number))).toBe(false);
        expect(deviceId).toBe(given.deviceId);
        expect(Number.isSafeInteger(fixTime)).toBe(true);
        expect(Math.abs(latitude)).toBeLessThanOrEqual(90);
        expect(Math.abs(longitude)).toBeLessThanOrEqual(180);
        expect(latitude === 0 && longitude === 0).toBe(false);
        if (speedMps !== null) expect(speedMps >= 0 && speedMps <= 100).toBe(true);
        if (headingDeg !== null) expect(headingDeg >= 0 && headingDeg < 360).toBe(true);
        for (const defect of validation.defects) expect(FIELD_DEFECTS).toContain(defect);
      }),
      { numRuns: 2000 },
    );
  });
});
