/** The list of names: documented as it is, free of doubles, and what two names at once mean. */

import { describe, expect, it } from "vitest";
import { UNREADABLE } from "../../../src/adapters/kit/fields.ts";
import {
  namedIn,
  plainOf,
  SPEED_NAMES,
  SYNONYMS,
  UNIT_WORDS,
  unitInPath,
  unitOfWord,
} from "../../../src/adapters/kit/synonyms.ts";
import { pageAt, tablesOf } from "../../docs/pages.ts";

const { fixTime, ...others } = SYNONYMS;
const ROWS = {
  ...others,
  "time of the fix": fixTime,
  speed: SPEED_NAMES,
  "in km/h": UNIT_WORDS.kph,
  "in mph": UNIT_WORDS.mph,
  "in m/s": UNIT_WORDS.mps,
  "in knots": UNIT_WORDS.knots,
};

describe("the list", () => {
  it("stands in the guide, name by name", () => {
    const table = tablesOf(pageAt("src/adapters/README.md")).find(
      ({ head }) => head.join() === "field,names",
    );
    const documented = Object.fromEntries(
      (table?.rows ?? []).map(([field = "", names = ""]) => [
        field,
        (/`([^`]+)`/.exec(names)?.[1] ?? "").split(" ").map(plainOf),
      ]),
    );
    const plain = Object.entries(ROWS).map(([field, names]) => [field, names.map(plainOf)]);
    expect(documented).toEqual(Object.fromEntries(plain));
  });

  it("has each name once, in the form in which names are compared", () => {
    const speeds = SPEED_NAMES.flatMap((name) =>
      Object.values(UNIT_WORDS).flatMap((words) => words.map((word) => name + word)),
    );
    const all = [...Object.values(SYNONYMS).flat(), ...SPEED_NAMES, ...speeds].map(plainOf);
    expect(all.filter((name, index) => all.indexOf(name) !== index)).toEqual([]);
    for (const names of Object.values(SYNONYMS)) expect(names).toEqual(names.map(plainOf));
  });
});

describe("a name", () => {
  it.each(["latitude", "LATITUDE", "Latitude", "latitude_deg", "Latitude (deg)", "gps-latitude"])(
    "%s is found in any case and with any separators",
    (name) => {
      expect(namedIn({ [name]: 1.5 }).value("latitude")).toBe(1.5);
    },
  );

  it.each([
    "latitudes",
    "lati",
    "maxLatitude",
    "lastLat",
    "speedLimit",
    "speedOverGround",
    "acc",
    "timezone",
  ])("%s is none", (name) => {
    const named = namedIn({ [name]: 1.5 });
    for (const field of ["latitude", "accuracy", "time", "fixTime"] as const)
      expect(named.value(field)).toBeUndefined();
    expect(named.speed("mps")).toBeNull();
  });

  it("of a prototype is none", () => {
    expect(namedIn(JSON.parse('{"__proto__":{"lat":1},"constructor":2}')).value("latitude")).toBeUndefined();
  });

  it("is remembered without end only for names that exist", () => {
    for (let index = 0; index < 5000; index++) namedIn({ [`x${index}`]: 1 });
    expect(namedIn({ lAt: 1.5 }).value("latitude")).toBe(1.5);
  });
});

describe("two names", () => {
  it.each([
    ["latitude", { latitude: 1.5, lat: "1.5" }, 1.5],
    ["latitude", { lat: 1.5, latitude: 1.5000001 }, 1.5000001],
    ["latitude", { lat: null, latitude: "", Latitude: 1.5 }, 1.5],
    ["latitude", { lat: 1.5, latitude: 1.6 }, UNREADABLE],
    ["latitude", { lat: 1.5, latitude: "§" }, UNREADABLE],
    ["longitude", { longitude: 1.5, LON: "OFF" }, 1.5],
    ["heading", { heading: 90, direction: "E" }, 90],
    ["heading", { heading: 93, direction: "east" }, 93],
    ["heading", { heading: 359.6, course: 0 }, 359.6],
    ["heading", { heading: 90, course: 95 }, UNREADABLE],
    ["heading", { heading: "N", course: "E" }, UNREADABLE],
    ["time", { ts: 1791990245, time: "2026-10-14T15:04:05.9Z" }, "2026-10-14T15:04:05.9Z"],
    ["time", { ts: 1791990245, tst: 1791990248 }, UNREADABLE],
  ] as const)("of %s: %j", (field, object, expected) => {
    expect(namedIn(object).value(field)).toBe(expected);
  });

  it("of a time of which one is blank is the other, and blank alone is no time of now", () => {
    expect(namedIn({ ts: 5, time: "" }).value("time")).toBe(5);
    expect(namedIn({ time: " " }).value("time")).toBeNull();
    expect(namedIn({ time: null }).value("time")).toBeUndefined();
  });

  it("of a speed are compared in metres per second, rounded as they are", () => {
    const speed = (object: object, ...units: Parameters<ReturnType<typeof namedIn>["speed"]>) =>
      namedIn(object).speed(...units);
    expect(speed({ speed_kmh: 48, speedMph: 30 }, undefined)).toBeCloseTo(48 / 3.6, 9);
    expect(speed({ speed_kmh: 48, speedMph: 32 }, undefined)).toBeNaN();
    expect(speed({ speed: 5 }, undefined)).toBeNaN();
    expect(speed({ speed: 0 }, undefined)).toBe(0);
    expect(speed({ speed: 36 }, undefined, "kph")).toBeCloseTo(10, 9);
    expect(speed({ speed: 36, spd: 36 }, "kph")).toBeCloseTo(10, 9);
    expect(speed({ speed: 36, spd: 40 }, "kph")).toBeNaN();
    expect(speed({ speed: "fast" }, "kph")).toBeNaN();
    expect(speed({ speed: null, mph: null }, "kph")).toBeNull();
  });
});

describe("a unit", () => {
  it("is told from the last name of a path, and from words", () => {
    expect(["a.speed_kmh", "kph", "a.b.Speed(mph)", "speed", "a.mps.value"].map(unitInPath)).toEqual([
      ...["kph", "kph", "mph", undefined, undefined],
    ]);
    expect(["km/h", "KPH", "m/s", "Knots", "kn", "", 5].map(unitOfWord)).toEqual([
      ...["kph", "kph", "mps", "knots", "knots", undefined, undefined],
    ]);
  });
});
