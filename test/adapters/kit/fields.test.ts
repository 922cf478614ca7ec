/** The readers of vendors' values: what is read, what counts as unsaid, what as unreadable. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import * as fields from "../../../src/adapters/kit/fields.ts";

const { id, flag, isoTime, isoTimeAssumedUtc, epochSeconds, epochMillis, hexEpochSeconds } = fields;
const { number, degrees, mph, kph, mps, knots, cmPerSecond, compass, multipliedBy, speedIn, toMps, part } =
  fields;
const { metres, kilometres, miles, text, label, labelFlag } = fields;

const distances = { metres, kilometres, miles };
const speeds = { mph, kph, mps, knots, cmPerSecond };
const numeric = { number, degrees, ...speeds, ...distances, compass, e7: multipliedBy(1e7) };
const times = { isoTime, isoTimeAssumedUtc, epochSeconds, epochMillis, packedUtcTime: fields.packedUtcTime };
const readers = Object.entries({ ...numeric, ...times });

const UNSAID = [
  undefined,
  null,
  "",
  " ",
  "\t\n",
  "null",
  "NULL",
  "none",
  "unknown",
  "Unknown",
  "undefined",
  "n/a",
];
const UNREADABLE = [
  ...[true, false, [], [1], [""], {}, { value: 1 }, Symbol("x"), () => 1, 1n],
  ...[
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1e999",
    "0x10",
    "1_000",
    "1,5",
    "1.234,5",
    "٣",
    "１２",
    "½",
    "1 2",
    "--1",
  ],
  ...["1e", ".", "+", "-", "e5", "12abc", "true", "1".repeat(41), Number.NaN, Number.POSITIVE_INFINITY],
];

describe.each(readers)("%s", (_, reader) => {
  it.each(UNSAID)("reads %j as absent", (value) => {
    expect(reader.parse(value)).toBeNull();
  });

  it.each(UNREADABLE)("cannot read %s", (value) => {
    expect(reader.parse(value)).toBeNaN();
  });

  it("reads an absent key as absent", () => {
    expect(z.object({ it: reader }).parse({})).toEqual({ it: null });
  });

  it("never fails, and makes no zero of what is not one", () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        const result = reader.parse(value);
        expect(result === null || typeof result === "number").toBe(true);
        // Times are cut to the millisecond, and what is below one may well be cut to zero.
        const isNorth =
          reader === compass && typeof value === "string" && value.trim().toLowerCase().startsWith("n");
        if (result === 0 && !isNorth) expect(Math.abs(Number(value))).toBeLessThan(1);
        if (result === null)
          expect(value === null || value === undefined || typeof value === "string").toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

describe("number", () => {
  it.each([
    [0, 0],
    [-0.5, -0.5],
    ["0", 0],
    ["12", 12],
    [" 12 ", 12],
    ["+3", 3],
    ["-114.0718831", -114.0718831],
    ["007", 7],
    ["5.", 5],
    [".5", 0.5],
    ["1e3", 1000],
    ["1.5E-2", 0.015],
  ])("reads %j", (value, expected) => {
    expect(number.parse(value)).toBe(expected);
  });

  it("reads every number, as itself or as text", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(number.parse(value)).toBe(value);
        expect(number.parse(String(value))).toBe(Number(String(value)));
      }),
    );
  });
});

describe("speeds", () => {
  it.each([
    ["mph", mph, 100, 44.704],
    ["kph", kph, 100, 27.7777778],
    ["mps", mps, 100, 100],
    ["knots", knots, 100, 51.4444444],
    ["cmPerSecond", cmPerSecond, 100, 1],
    ["speedIn", speedIn("kph"), "36", 10],
  ])("reads %s as metres per second", (_, reader, value, expected) => {
    expect(reader.parse(value)).toBeCloseTo(expected, 6);
    expect(reader.parse(0)).toBe(0);
    expect(reader.parse(-1)).toBeLessThan(0);
  });

  it("cannot be read without a unit", () => {
    expect(toMps(10, undefined)).toBeNaN();
    expect(toMps(0, undefined)).toBe(0);
    expect(toMps(null, undefined)).toBeNull();
    expect(toMps(null, "mph")).toBeNull();
    expect(toMps(10, "mps")).toBe(10);
  });
});

describe("multipliedBy", () => {
  it.each([
    [multipliedBy(1e7), 361539816, 36.1539816],
    [multipliedBy(1e7), "-959927750", -95.992775],
    [multipliedBy(1e6), 44437711, 44.437711],
    [multipliedBy(0.1), 23, 230],
    [multipliedBy(100), 0, 0],
  ])("gives the value back to the last digit", (reader, value, expected) => {
    expect(reader.parse(value)).toBe(expected);
  });

  it("does not read degrees where integers are expected: they would end up beside 0, 0", () => {
    expect(multipliedBy(1e7).parse(36.1539816)).toBeNaN();
  });
});

describe("compass", () => {
  const WINDS = [
    "N",
    "NNE",
    "NE",
    "ENE",
    "E",
    "ESE",
    "SE",
    "SSE",
    "S",
    "SSW",
    "SW",
    "WSW",
    "W",
    "WNW",
    "NW",
    "NNW",
  ];

  it.each(WINDS.map((wind, index) => [wind, index * 22.5] as const))("reads %s", (wind, expected) => {
    expect(compass.parse(wind)).toBe(expected);
    expect(compass.parse(` ${wind.toLowerCase()} `)).toBe(expected);
  });

  it.each([
    ["North", 0],
    ["North East", 45],
    ["north-northeast", 22.5],
    ["South_West", 225],
    ["Westbound", 270],
    ["NB", Number.NaN],
    ["sideways", Number.NaN],
    ["280", 280],
    [12.5, 12.5],
    [0, 0],
  ])("reads %j", (value, expected) => {
    expect(compass.parse(value)).toBe(expected);
  });
});

describe("isoTime", () => {
  const NOON = Date.UTC(2026, 9, 14, 12, 0, 0);

  it.each([
    ["2026-10-14T12:00:00Z", NOON],
    ["2026-10-14T12:00:00z", NOON],
    ["2026-10-14t12:00:00Z", NOON],
    ["2026-10-14T12:00Z", NOON],
    [" 2026-10-14 12:00:00+00:00 ", NOON],
    ["2026-10-14T12:00:00+0000", NOON],
    ["2026-10-14T07:00:00-05:00", NOON],
    ["2026-10-14T17:45:00+0545", NOON],
    ["2026-10-15T02:00:00+14:00", NOON],
    ["2026-10-14T12:00:00.5Z", NOON + 500],
    ["2026-10-14T12:00:00.123456789Z", NOON + 123],
    ["2026-10-14T12:00:00.999999999Z", NOON + 999],
    ["2026-10-14T12:00:00,25+00:00", NOON + 250],
    ["2024-02-29T00:00:00Z", Date.UTC(2024, 1, 29)],
  ])("reads %s", (text, expected) => {
    expect(isoTime.parse(text)).toBe(expected);
    expect(isoTimeAssumedUtc.parse(text)).toBe(expected);
  });

  it.each([
    ...[
      "2026-10-14",
      "12:00:00Z",
      "2026-10-14T010:00:00.000Z",
      "2026-10-14T24:00:00Z",
      "2026-10-14T12:60:00Z",
    ],
    ...["2026-10-14T12:00:60Z", "2026-13-14T12:00:00Z", "2026-00-14T12:00:00Z", "2026-02-29T12:00:00Z"],
    ...[
      "2100-02-29T12:00:00Z",
      "2026-04-31T12:00:00Z",
      "2026-10-00T12:00:00Z",
      "2026-10-14T12:00:00.1234567890Z",
    ],
    ...[
      "2026-10-14T12:00:00+15:00",
      "2026-10-14T12:00:00+05:60",
      "2026-10-14T12:00:00+5",
      "2026-10-14T12:00:00 UTC",
    ],
    ...[
      "14/10/2026 12:00",
      "Wed Oct 14 2026 12:00:00 GMT",
      "1791990245",
      "٢٠٢٦-10-14T12:00:00Z",
      1791990245000,
    ],
  ])("cannot read %s", (text) => {
    expect(isoTime.parse(text)).toBeNaN();
    expect(isoTimeAssumedUtc.parse(text)).toBeNaN();
  });

  it.each(["2026-10-14T12:00:00", "2026-10-14 12:00:00.000"])(
    "reads %s only where UTC is documented",
    (text) => {
      expect(isoTime.parse(text)).toBeNaN();
      expect(isoTimeAssumedUtc.parse(text)).toBe(NOON);
    },
  );

  it("reads every instant back, written with any offset", () => {
    const instant = fc.date({
      min: new Date("1970-01-02"),
      max: new Date("2199-12-30"),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(
        instant,
        fc.integer({ min: -14 * 60, max: 14 * 60 }),
        fc.constantFrom(":", ""),
        (at, offset, colon) => {
          const local = new Date(at.getTime() + offset * 60_000).toISOString().slice(0, -1);
          const [hours, minutes] = [Math.trunc(Math.abs(offset) / 60), Math.abs(offset) % 60];
          const two = (value: number) => String(value).padStart(2, "0");
          const zone = `${offset < 0 ? "-" : "+"}${two(hours)}${colon}${two(minutes)}`;
          expect(isoTime.parse(local + zone)).toBe(at.getTime());
        },
      ),
    );
  });
});

describe("packedUtcTime", () => {
  const { packedUtcTime } = fields;

  it.each(["20261014150405", 20261014150405, " 20261014150405 "])("reads %j", (value) => {
    expect(packedUtcTime.parse(value)).toBe(Date.UTC(2026, 9, 14, 15, 4, 5));
  });

  it.each([
    ...["20261314150405", "20260230150405", "20261014240405", "20261014156005", "20261014150460"],
    ...["2026101415040", "202610141504055", "2026-10-14 15:04:05", "2026101415040Z", 0, 1791990245],
  ])("cannot read %j", (value) => {
    expect(packedUtcTime.parse(value)).toBeNaN();
  });
});

describe("epochs", () => {
  it.each([
    [1791990245, 1791990245000],
    ["1791990245", 1791990245000],
    [1791990245.457, 1791990245457],
    ["1791990245.457999", 1791990245457],
    [1791990245.999999, 1791990245999],
    [-1, -1000],
    [0, 0],
  ])("reads %s seconds", (value, expected) => {
    expect(epochSeconds.parse(value)).toBe(expected);
  });

  it("keeps every millisecond of a fractional second", () => {
    fc.assert(
      fc.property(fc.integer({ min: 946_684_800_000, max: 4_102_444_800_000 }), (millis) => {
        expect(epochSeconds.parse(millis / 1000)).toBe(millis);
        expect(epochSeconds.parse((millis / 1000).toFixed(3))).toBe(millis);
      }),
    );
  });

  it("reads milliseconds and cuts what lies below", () => {
    expect(epochMillis.parse(1791990245457.9)).toBe(1791990245457);
    expect(epochMillis.parse("1791990245457")).toBe(1791990245457);
  });

  it("reads seconds in hexadecimal", () => {
    expect(hexEpochSeconds.parse("69B529DD")).toBe(Date.UTC(2026, 2, 14, 9, 26, 53));
    expect(hexEpochSeconds.parse("69b529dd")).toBe(Date.UTC(2026, 2, 14, 9, 26, 53));
    for (const unsaid of UNSAID) expect(hexEpochSeconds.parse(unsaid)).toBeNull();
    for (const junk of ["0x69B529DD", "69B529DG", " 1 ", "-1", "69B529DD00", 1773480413, [], true, {}])
      expect(hexEpochSeconds.parse(junk)).toBeNaN();
  });
});

describe("id", () => {
  it.each([
    ["0042", "0042"],
    [" 867060033461332 ", "867060033461332"],
    [480231, "480231"],
    [0, "0"],
    [2 ** 53 - 1, "9007199254740991"],
    ["9007199254740993", "9007199254740993"],
  ])("keeps %j", (value, expected) => {
    expect(id.parse(value)).toBe(expected);
  });

  it.each([
    undefined,
    null,
    "",
    " ",
    "null",
    "undefined",
    true,
    [],
    ["7"],
    {},
    1.5,
    2 ** 53,
    1e300,
    Number.NaN,
  ])("does not take %j for one", (value) => {
    expect(id.parse(value)).toBeNull();
  });
});

describe("distances", () => {
  it.each([
    ["metres", 1],
    ["kilometres", 1000],
    ["miles", 1609.344],
  ] as const)("reads %s", (unit, inMetres) => {
    expect(distances[unit].parse(1)).toBe(inMetres);
    expect(distances[unit].parse("1.0")).toBe(inMetres);
  });
});

describe("text", () => {
  it("is what was written", () => {
    expect(text.parse(" Ana Ortiz ")).toBe("Ana Ortiz");
    expect(text.parse("0")).toBe("0");
  });

  it.each([...UNSAID, 0, 5, true, {}, ["a"], Number.NaN])("is not there: %j", (value) => {
    expect(text.parse(value)).toBeNull();
  });
});

describe("label", () => {
  it.each([
    [" Ana Ortiz ", "Ana Ortiz"],
    ["0", "0"],
    [0, "0"],
    [78_701, "78701"],
    [-5, "-5"],
  ])("is its text: %j", (value, expected) => {
    expect(label.parse(value)).toBe(expected);
  });

  it.each(UNSAID)("is absent: %j", (value) => {
    expect(label.parse(value)).toBeNull();
  });

  it.each([true, false, {}, ["a"], 1.5, 2 ** 53, Number.NaN, fields.UNREADABLE])(
    "is unreadable: %j",
    (value) => {
      expect(label.parse(value)).toBeNaN();
    },
  );
});

describe("labelFlag", () => {
  it.each([
    [true, true],
    ["off", false],
    [null, null],
    ["", null],
    ["yes", Number.NaN],
    [2, Number.NaN],
    [{}, Number.NaN],
  ])("reads %j as %j", (value, expected) => {
    expect(labelFlag.parse(value)).toEqual(expected);
  });
});

describe("flag", () => {
  it.each([true, 1, "true", "TRUE", " 1 ", "on", "ON"])("reads %j as true", (value) => {
    expect(flag.parse(value)).toBe(true);
  });
  it.each([false, 0, "false", "0", "off"])("reads %j as false", (value) => {
    expect(flag.parse(value)).toBe(false);
  });
  it.each([undefined, null, "", "yes", 2, -1, [], {}])("reads %j as neither", (value) => {
    expect(flag.parse(value)).toBeNull();
  });
});

describe("part", () => {
  const gps = part({ lat: degrees, at: isoTime, device: id, inner: part({ speed: mph }) });

  it("reads what is there", () => {
    const given = { lat: "1.5", at: "2026-10-14T12:00:00Z", device: 7, inner: { speed: 0 } };
    const read = { lat: 1.5, at: Date.UTC(2026, 9, 14, 12), device: "7", inner: { speed: 0 } };
    expect(gps.parse(given)).toEqual(read);
  });

  it.each([undefined, null, "", "unknown"])("leaves everything unsaid for %j", (value) => {
    expect(gps.parse(value)).toEqual({ lat: null, at: null, device: null, inner: { speed: null } });
  });

  it.each([[[]], [[1, 2]], ["36.1,-95.9"], [7], [true]])("leaves everything unreadable for %j", (value) => {
    expect(gps.parse(value)).toEqual({
      lat: Number.NaN,
      at: Number.NaN,
      device: null,
      inner: { speed: Number.NaN },
    });
  });
});
