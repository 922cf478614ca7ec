/** Options of the json adapter beside its paths: usual names, scale, units beside values, zones, and readings that are none. */

import { describe, expect, it } from "vitest";
import { json } from "../../../src/adapters/json/json.ts";
import type { Message } from "../../../src/adapters/kit/adapter.ts";
import type { SpeedUnit } from "../../../src/reading.ts";
import { examine } from "../../support/decode.ts";

const RECEIVED_AT = Date.UTC(2026, 9, 14, 16);

function message(body: unknown, parts: Partial<Message> = {}): Message {
  return {
    body: Buffer.from(JSON.stringify(body)),
    receivedAt: RECEIVED_AT,
    method: "POST",
    headers: {},
    query: {},
    retained: false,
    ...parts,
  };
}

function sent(body: unknown, options?: unknown, speedUnit?: SpeedUnit) {
  return examine(json, message(body), { speedUnit, options: json.options?.parse(options) });
}

const T = "2026-10-14T15:04:05.000Z";
const place = { latitude: 51.5, longitude: -0.12 };

describe("what is left out", () => {
  const options = { deviceId: "id" };

  it.each([
    ["usual names", { id: "a", lat: 51.5, lng: -0.12, ts: 1791990245, speed_kmh: 36, cog: 90, alt: 12 }],
    [
      "another case",
      { id: "a", LAT: 51.5, Lon: -0.12, TimeStamp: 1791990245000, SpeedMps: 10, Heading: "E" },
    ],
    [
      "an object",
      { id: "a", gps: { latitude: 51.5, longitude: -0.12, kph: 36, bearing: 90 }, tst: 1791990245 },
    ],
    [
      "GeoJSON",
      {
        id: "a",
        position: { type: "Point", coordinates: [-0.12, 51.5, 12] },
        time: "2026-10-14T17:04:05+02:00",
        velocityKmph: 36,
        direction: 90,
      },
    ],
  ])("is found by %s", (_, body) => {
    expect(sent(body, options).readings).toMatchObject([
      { deviceId: "a", fixTime: T, ...place, speedMps: 10, headingDeg: 90 },
    ]);
  });

  it("is not looked for where null is given, nor in parts", () => {
    const body = { id: "a", ...place, time: T, speed: 10, heading: 90, altitude: 12 };
    const all = sent(body, options, "mps");
    expect(all.readings).toMatchObject([{ speedMps: 10, headingDeg: 90, details: { altitudeM: 12 } }]);
    const none = sent(body, { ...options, speed: null, heading: null, details: null }, "mps");
    expect(none).toMatchObject({ readings: [{ speedMps: null, headingDeg: null }], defects: [] });
    expect(none.readings[0]).not.toHaveProperty("details");
    const fragment = { ...options, fragment: true, latitude: "y", timeFormat: "received" };
    expect(sent(body, fragment).rejections).toEqual([{ reason: "no_fix", path: "" }]);
  });

  it("gives way to what is given", () => {
    const body = { id: "a", ...place, y: 3, x: 4, time: T, t: 1791990246, speed: 99, v: 10 };
    const given = { latitude: "y", longitude: "x", time: "t", timeFormat: "epochSeconds", speed: "v" };
    expect(sent(body, { ...options, ...given }, "mps").readings).toMatchObject([
      { latitude: 3, longitude: 4, fixTime: "2026-10-14T15:04:06.000Z", speedMps: 10 },
    ]);
  });

  it("is unreadable where two names say different things, and read where they agree", () => {
    const of = (beside: object) => sent({ id: "a", ...place, time: T, ...beside }, options);
    expect(of({ lat: "51.5", lon: -0.12, ts: 1791990245 }).readings).toMatchObject([place]);
    expect(of({ lat: 51.6 }).rejections).toEqual([{ reason: "bad_latitude", path: "" }]);
    expect(of({ lng: -0.13 }).rejections).toEqual([{ reason: "bad_longitude", path: "" }]);
    expect(of({ tst: 1791990999 }).rejections).toEqual([{ reason: "bad_time", path: "" }]);
    expect(of({ heading: 90, course: 180 })).toMatchObject({
      readings: [{ headingDeg: null }],
      defects: ["heading_unreadable"],
    });
    expect(of({ speed_kmh: 36, speed_mph: 36 }).defects).toEqual(["speed_unreadable"]);
  });

  it("needs a unit for a bare speed, and none for one that names it", () => {
    const of = (beside: object, given: object = {}) =>
      sent({ id: "a", ...place, time: T, ...beside }, { ...options, ...given });
    expect(of({ speed: 36 }).defects).toEqual(["speed_unreadable"]);
    expect(of({ current: { kph: 36 } }, { speed: "current.kph" }).readings).toMatchObject([{ speedMps: 10 }]);
    const problems = (speed: string) =>
      json.settingProblems?.({ speedUnit: undefined, options: json.options?.parse({ ...options, speed }) });
    expect(problems("current.kph")).toEqual([]);
    expect(problems("current.speed")).toHaveLength(1);
  });

  it("is found in the object that `position` leads to, and then beside it", () => {
    const body = { id: "a", lat: 1, lon: 2, time: T, now: { at: { lat: 51.5, lon: -0.12 } } };
    expect(sent(body, { ...options, position: "now.at" }).readings).toMatchObject([{ ...place, fixTime: T }]);
    expect(sent({ id: "a", lat: 1, lon: 2, time: T }, { ...options, position: "now.at" }).rejections).toEqual(
      [{ reason: "no_fix", path: "" }],
    );
  });
});

describe("our own format", () => {
  it("takes the usual names", () => {
    const body = { deviceId: "a", lat: 51.5, lng: -0.12, ts: 1791990245, speedKmh: 36, course: 90 };
    expect(sent(body).readings).toMatchObject([
      { deviceId: "a", fixTime: T, ...place, speedMps: 10, headingDeg: 90 },
    ]);
    expect(sent({ ...body, latitude: 52 }).rejections).toEqual([{ reason: "bad_latitude", path: "" }]);
  });
});

describe("scale", () => {
  it("reads integers that carry a coordinate many times", () => {
    const options = { deviceId: "id", latitude: "y", longitude: "x", time: "t", scale: 1e-6 };
    const body = { id: "a", y: 48211100, x: "16362200", t: T };
    expect(sent(body, options).readings).toMatchObject([{ latitude: 48.2111, longitude: 16.3622 }]);
    expect(sent({ ...body, y: 48.2111 }, options).rejections).toEqual([{ reason: "bad_latitude", path: "" }]);
  });
});

describe("speedUnit", () => {
  const options = {
    ...{ deviceId: "id", speed: "v.value" },
    speedUnit: { at: "v.unit", words: { "km/h": "kph", furlongs: "mph" } },
  };
  const of = (v: unknown, given: object = options) => sent({ id: "a", ...place, time: T, v }, given);

  it("is read beside the speed, by words given or customary", () => {
    expect(of({ value: 36, unit: "km/h" }).readings).toMatchObject([{ speedMps: 10 }]);
    expect(of({ value: 100, unit: "furlongs" }).readings[0]?.speedMps).toBeCloseTo(44.704, 9);
    expect(of({ value: 10, unit: "m/s" }).readings).toMatchObject([{ speedMps: 10 }]);
  });

  it("of other words makes the speed unreadable", () => {
    for (const unit of ["parsecs", null, 7, ""])
      expect(of({ value: 36, unit }).defects).toEqual(["speed_unreadable"]);
    expect(of({ value: null, unit: null }).defects).toEqual([]);
  });

  it("needs no speedUnit of the source", () => {
    expect(json.settingProblems?.({ speedUnit: undefined, options: json.options?.parse(options) })).toEqual(
      [],
    );
  });
});

describe("timeZone", () => {
  const timeOf = (t: unknown, timeZone: unknown, beside: object = {}, timeFormat?: string) =>
    sent({ id: "a", ...place, t, ...beside }, { deviceId: "id", time: "t", timeZone, timeFormat }).readings[0]
      ?.fixTime;

  it("is that of a name, in winter and summer", () => {
    expect(timeOf("2026-10-14 10:04:05", "America/Chicago")).toBe(T);
    expect(timeOf("2026-01-14 09:04:05", "America/Chicago")).toBe("2026-01-14T15:04:05.000Z");
    expect(timeOf("2026-10-14 20:49:05", "Asia/Kathmandu")).toBe(T);
  });

  it("does not change a time that has one", () => {
    expect(timeOf("2026-10-14T15:04:05Z", "America/Chicago")).toBe(T);
    expect(timeOf(1791990245, "America/Chicago", {}, "any")).toBe(T);
    expect(timeOf("soon", "America/Chicago")).toBeUndefined();
  });

  it("of the hour that comes twice is the one closer to the receipt", () => {
    const at = (receivedAt: string) =>
      examine(
        json,
        { ...message({ id: "a", ...place, t: "2026-11-01 01:30:00" }), receivedAt: Date.parse(receivedAt) },
        {
          speedUnit: undefined,
          options: json.options?.parse({ deviceId: "id", time: "t", timeZone: "America/Chicago" }),
        },
      ).readings[0]?.fixTime;
    expect(at("2026-11-01T06:31:00Z")).toBe("2026-11-01T06:30:00.000Z");
    expect(at("2026-11-01T07:31:00Z")).toBe("2026-11-01T07:30:00.000Z");
  });

  it("is what the message says: a name, an offset, or its own clock", () => {
    const at = { at: "zone" };
    expect(timeOf("2026-10-14 10:04:05", at, { zone: "America/Chicago" })).toBe(T);
    expect(timeOf("2026-10-14 10:04:05", at, { zone: "-05:00" })).toBe(T);
    // Received at 16:00 UTC, when the user's clock showed eleven, with half a minute on the way.
    expect(timeOf("2026-10-14 10:04:05", at, { zone: "2026-10-14 10:59:31" })).toBe(T);
    for (const zone of ["nowhere", null, 7])
      expect(timeOf("2026-10-14 10:04:05", at, { zone })).toBeUndefined();
  });
});

describe("ignoreReading", () => {
  it("leaves out readings that are none, and no others", () => {
    const options = { readings: "vans", deviceId: "id", position: "at", time: "at.t", ignoreReading: "!at" };
    const vans = [
      { id: "a", at: { ...place, t: T } },
      { id: "b", at: null },
      { id: "c", at: { t: T } },
    ];
    expect(sent({ vans }, options)).toMatchObject({
      readings: [{ deviceId: "a" }],
      rejections: [{ reason: "no_fix", path: "vans[2]" }],
    });
    expect(sent({ vans: [{ id: "b" }] }, options)).toMatchObject({
      kind: "decoded",
      readings: [],
      rejections: [],
    });
  });
});
