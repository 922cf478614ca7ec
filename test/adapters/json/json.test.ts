/** The configurable adapter: its own format's problems, and what its options take and refuse. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { findAdapter } from "../../../src/adapters/index.ts";
import { json } from "../../../src/adapters/json/json.ts";
import { homeAssistant, homeMade, thingsboard, victron } from "../../../src/adapters/json/presets.ts";
import type { Message } from "../../../src/adapters/kit/adapter.ts";
import { createAssembler } from "../../../src/ingest/assembler.ts";
import { DETAIL_TEXTS, type SpeedUnit } from "../../../src/reading.ts";
import { decode, examine } from "../../support/decode.ts";

function message(body: unknown, parts: Partial<Message> = {}): Message {
  const bytes = Buffer.from(JSON.stringify(body));
  return {
    body: bytes,
    receivedAt: Date.UTC(2026, 9, 14, 16),
    method: "POST",
    headers: {},
    query: {},
    retained: false,
    ...parts,
  };
}
const optionsOf = (options: unknown) => json.options?.parse(options);
const problemsWith = (options: unknown) =>
  json.options
    ?.safeParse(options)
    .error?.issues.map(({ path, message }) => `${path.join(".")}: ${message}`) ?? [];
function readings(body: unknown, options: unknown, parts: Partial<Message> = {}, speedUnit?: SpeedUnit) {
  return examine(json, message(body, parts), { speedUnit, options: optionsOf(options) }).readings;
}

const complete = { deviceId: "a", latitude: 1, longitude: 2, time: "2026-10-14T15:04:05Z" };

describe("our own format", () => {
  it("lists every problem where nothing in the message has the fields", () => {
    const result = decode(json, message([{ deviceId: "a" }, "b"]), { credentials: { secrets: [] } });
    expect(result).toEqual({
      kind: "malformed",
      problems: [
        "[0].latitude: is missing",
        "[0].longitude: is missing",
        "[0].time: is missing",
        "[1]: must be an object",
      ],
    });
  });

  it("bounds the list", () => {
    const result = decode(json, message(Array.from({ length: 5000 }, () => ({}))), {
      credentials: { secrets: [] },
    });
    expect(result.kind === "malformed" && result.problems.length).toBe(20);
  });

  it("does not let one vehicle without a fix cost the others", () => {
    const { kind, rejections } = examine(json, message([complete, { deviceId: "b" }]), {
      speedUnit: undefined,
      options: undefined,
    });
    expect({ kind, rejections }).toEqual({
      kind: "decoded",
      rejections: [{ reason: "no_fix", path: "[1]" }],
    });
  });

  it.each([
    [{ speed: 36 }, undefined, 36],
    [{ speed: 36 }, "kph", 10],
    [{ speed: 100, speedUnit: "mph" }, "kph", 44.704],
    [{ speed: 36, speedUnit: "km/h" }, "kph", null],
    [{ speed: 36, speedUnit: null }, "kph", 10],
    [{ speed: 36, speedUnit: null }, undefined, 36],
    [{ speed: 36, speedUnit: "" }, "kph", null],
    [{}, "kph", null],
  ] as const)("reads the speed of %j with the source's unit %s", (change, unit, expected) => {
    const [reading] = readings({ ...complete, ...change }, undefined, {}, unit);
    if (expected === null) expect(reading?.speedMps).toBeNull();
    else expect(reading?.speedMps).toBeCloseTo(expected, 9);
  });
});

describe("GET", () => {
  it("carries our own format in its query, with any method but a signature", () => {
    expect(json.methods).toEqual(["POST", "GET"]);
    const sent = message(null, {
      ...{ method: "GET", body: new Uint8Array(0) },
      query: { ...complete, latitude: "1", longitude: "2", token: "s" },
    });
    const credentials = { secrets: ["s"], header: "X-Signature" };
    const by = Object.fromEntries(json.auth.map(({ name, verify }) => [name, verify(sent, credentials)]));
    expect([by["url-token"], by["hmac-sha256"]]).toEqual([null, "unsigned_query"]);
    expect(examine(json, sent, { speedUnit: undefined, options: undefined }).readings).toMatchObject([
      { deviceId: "a", latitude: 1, longitude: 2 },
    ]);
  });
});

describe("options", () => {
  const least = { deviceId: "id", latitude: "y", longitude: "x", time: "t" };

  it("reads a device's id from the configured place", () => {
    const body = { y: 1, x: 2, t: "2026-10-14T15:04:05Z", id: 7, head: { id: "h" } };
    const on = (deviceId: unknown, parts: Partial<Message> = {}) =>
      readings(body, { ...least, deviceId }, parts)[0]?.deviceId;
    expect(on("id")).toBe("7");
    expect(on({ topicLevel: 2 }, { topic: "trackers/van-3/gps" })).toBe("van-3");
    expect(on({ header: "X-Device" }, { headers: { "x-device": "van-4" } })).toBe("van-4");
    expect(on({ query: "dev" }, { query: { dev: "van-5" } })).toBe("van-5");
    expect(on({ message: "head.id" })).toBe("h");
    expect(on({ topicLevel: 9 }, { topic: "trackers" })).toBeUndefined();
  });

  it("reads it from the top of a message with many readings", () => {
    const body = {
      unit: "u1",
      fixes: [
        { y: 1, x: 2, t: 1791990245 },
        { y: 1.1, x: 2, t: 1791990246 },
      ],
    };
    const options = {
      ...least,
      readings: "fixes",
      deviceId: { message: "unit" },
      timeFormat: "epochSeconds",
    };
    expect(readings(body, options).map(({ deviceId }) => deviceId)).toEqual(["u1", "u1"]);
  });

  it.each([
    ["iso", "2026-10-14T15:04:05Z"],
    ["isoUtc", "2026-10-14 15:04:05"],
    ["epochSeconds", 1791990245],
    ["epochMillis", "1791990245000"],
  ])("reads time as %s", (timeFormat, t) => {
    expect(readings({ id: "a", y: 1, x: 2, t }, { ...least, timeFormat })[0]?.fixTime).toBe(
      "2026-10-14T15:04:05.000Z",
    );
  });

  it("reads coordinates longitude first, and does not guess at other shapes", () => {
    const options = { deviceId: "id", coordinates: "at", timeFormat: "received" };
    const { readings: good } = examine(json, message({ id: "a", at: [-105, 39.7, 1600] }), {
      speedUnit: undefined,
      options: optionsOf(options),
    });
    expect(good[0]).toMatchObject({ latitude: 39.7, longitude: -105 });
    for (const [at, reason] of [
      ["-105,39.7", "bad_latitude"],
      [[-105], "bad_latitude"],
      [null, "no_fix"],
    ] as const) {
      const { rejections } = examine(json, message({ id: "a", at }), {
        speedUnit: undefined,
        options: optionsOf(options),
      });
      expect(rejections).toEqual([{ reason, path: "" }]);
    }
  });

  it("calls a field unreadable where an expression fails on the message", () => {
    const options = { ...least, latitude: "split(at, ',')[0]", longitude: "split(at, ',')[1]" };
    const at = (value: unknown) =>
      examine(json, message({ id: "a", at: value, t: "2026-10-14T15:04:05Z" }), {
        speedUnit: undefined,
        options: optionsOf(options),
      });
    expect(at("39.7,-105").readings).toMatchObject([{ latitude: 39.7, longitude: -105 }]);
    expect(at(39.7).rejections).toEqual([{ reason: "bad_latitude", path: "" }]);
  });

  it("ignores only messages for which the expression is true", () => {
    const options = optionsOf({ ...least, ignoreWhen: "kind == 'hello'" });
    const kindOf = (body: unknown) => examine(json, message(body), { speedUnit: undefined, options }).kind;
    expect(kindOf({ kind: "hello", id: "a" })).toBe("ignored");
    expect(kindOf({ kind: "hullo", id: "a" })).toBe("decoded");
    expect(kindOf({ kind: null, id: "a" })).toBe("decoded");
  });

  it("believes no place where the condition for a lost fix holds, or fails", () => {
    const body = (sats: unknown) => ({ id: "a", y: 1, x: 2, t: "2026-10-14T15:04:05Z", sats });
    const by = (noFixWhen: string, sats: unknown) => readings(body(sats), { ...least, noFixWhen }).length;
    expect([9, 0, null].map((sats) => by("!(sats > `0`)", sats))).toEqual([1, 0, 0]);
    expect(by("to_number(sats) < `3`", 9)).toBe(1);
    expect(by("abs(sats) < `3`", "many")).toBe(0);
  });

  it("sets a message aside whole when the paths lead nowhere", () => {
    const result = (options: unknown) =>
      decode(json, message({ list: { a: 1 } }), {
        credentials: { secrets: [] },
        options: optionsOf(options),
      });
    expect(result(least)).toEqual({
      kind: "malformed",
      problems: ["message: nothing at the paths of deviceId, latitude and longitude"],
    });
    expect(result({ ...least, readings: "list" })).toEqual({
      kind: "malformed",
      problems: ["list: must be a list"],
    });
  });

  it("needs a unit for a configured speed", () => {
    const options = optionsOf({ ...least, speed: "v" });
    expect(json.settingProblems?.({ speedUnit: undefined, options })).toHaveLength(1);
    expect(json.settingProblems?.({ speedUnit: "kph", options })).toEqual([]);
    expect(json.settingProblems?.({ speedUnit: undefined, options: optionsOf(least) })).toEqual([]);
    expect(json.settingProblems?.({ speedUnit: undefined, options: undefined })).toEqual([]);
  });

  it("may be left out", () => {
    expect(optionsOf(undefined)).toBeUndefined();
  });

  it.each([
    [{}, ["deviceId"]],
    [{ ...least, latitude: null }, ["latitude"]],
    [{ ...least, longitude: null }, ["longitude"]],
    [{ ...least, coordinates: "c" }, ["coordinates"]],
    [{ ...least, time: null }, ["time"]],
    [{ deviceId: "id", latitude: "y", fragment: true }, ["time"]],
    [{ ...least, scale: 0 }, ["scale"]],
    [{ ...least, timeZone: "Mars/Olympus" }, ["timeZone"]],
    [{ ...least, timeZone: "UTC", timeFormat: "epochMillis" }, ["timeZone"]],
    [{ ...least, speedUnit: { words: { k: "kph" } } }, ["speedUnit.at"]],
    [{ ...least, speedUnit: { at: "u", words: { k: "kilometres" } } }, ["speedUnit.words.k"]],
    [{ ...least, timeFormat: "received" }, ["time"]],
    [{ ...least, timeFormat: "unix" }, ["timeFormat"]],
    [{ ...least, heading: "a b" }, ["heading"]],
    [{ ...least, readings: "a[" }, ["readings"]],
    [{ ...least, deviceId: "a.." }, ["deviceId"]],
    [{ ...least, deviceId: { topicLevel: 0 } }, ["deviceId"]],
    [{ ...least, deviceId: { header: "a", query: "b" } }, ["deviceId"]],
    [{ ...least, deviceId: { message: "a[" } }, ["deviceId"]],
    [{ ...least, deviceId: 7 }, ["deviceId"]],
    [{ ...least, lattitude: "y" }, [""]],
  ])("refuses %j", (options, paths) => {
    expect(problemsWith(options).map((problem) => problem.split(": ")[0])).toEqual(paths);
  });

  it("reports what is wrong with an expression", () => {
    expect(problemsWith({ ...least, deviceId: "a.." })[0]).toMatch(
      /^deviceId: is not a JMESPath expression: ./,
    );
    expect(problemsWith({ ...least, heading: "a[" })[0]).toMatch(/^heading: is not a JMESPath expression: ./);
    expect(problemsWith({ ...least, deviceId: 7 })[0]).toMatch(/topicLevel/);
  });
});

describe("details", () => {
  const least = { deviceId: "id", latitude: "y", longitude: "x", time: "t" };

  it("are read as what they are, and left out where they are not", () => {
    const details = { accuracyM: "acc", ignition: "on", city: "at.city", driver: "who" };
    const body = {
      id: "a",
      y: 1,
      x: 2,
      t: "2026-10-14T15:04:05Z",
      acc: "4.5",
      on: 1,
      at: { city: "Lodz" },
      who: 7,
    };
    const [reading] = readings(body, { ...least, details });
    expect(reading?.details).toEqual({ accuracyM: 4.5, ignition: true, city: "Lodz", driver: "7" });
  });

  it.each(DETAIL_TEXTS)("%s as a number is its digits, and as anything else a counted defect", (name) => {
    const place = { id: "a", y: 1, x: 2, t: "2026-10-14T15:04:05Z" };
    const details = { [name]: "said" };
    const of = (said: unknown) => {
      const { readings, defects } = examine(json, message({ ...place, said }), {
        speedUnit: undefined,
        options: optionsOf({ ...least, details }),
      });
      return { details: readings[0]?.details, defects };
    };
    expect(of(78_701)).toEqual({ details: { [name]: "78701" }, defects: [] });
    for (const said of [true, false, { a: 1 }, ["b"], 1.5]) {
      expect(of(said)).toEqual({ details: undefined, defects: ["detail_unreadable"] });
    }
    for (const said of [null, "", "unknown"]) expect(of(said)).toEqual({ details: undefined, defects: [] });
  });

  it("have names", () => {
    expect(problemsWith({ ...least, details: { speedM: "s" } }).join()).toMatch(/^details/);
    expect(problemsWith({ ...least, details: { accuracyM: "a[" } }).join()).toMatch(
      /details\.accuracyM: is not/,
    );
  });
});

describe("variants", () => {
  const least = { deviceId: "id", latitude: "y", longitude: "x", time: "t" };
  const at = { id: "a", y: 1, x: 2, t: "2026-10-14T15:04:05Z" };
  const kindOf = (body: unknown, options: unknown, topic?: string) =>
    examine(json, message(body, topic === undefined ? {} : { topic }), {
      speedUnit: undefined,
      options: optionsOf(options),
    }).kind;

  it("are chosen by topic: the first whose filter fits", () => {
    const options = {
      ...least,
      variants: [
        { topic: "cars/+/gps", deviceId: { topicLevel: 2 } },
        { topic: ["cars/#", "vans/+"], deviceId: { topicLevel: 1 } },
      ],
    };
    const on = (topic: string) => readings(at, options, { topic })[0]?.deviceId;
    expect([on("cars/7/gps"), on("cars/7/gps/raw"), on("cars"), on("vans/9")]).toEqual([
      "7",
      "cars",
      "cars",
      "vans",
    ]);
    for (const topic of ["vans", "vans/9/gps", "car/7/gps", ""]) {
      expect(kindOf(at, options, topic), topic).toBe("ignored");
    }
    expect(kindOf(at, options), "by HTTP").toBe("ignored");
  });

  it("are chosen by what the message holds", () => {
    const options = { ...least, variants: [{ when: "at", time: "at" }, { when: "t" }] };
    expect(readings({ ...at, at: "2026-10-14T15:04:06Z" }, options)[0]?.fixTime).toBe(
      "2026-10-14T15:04:06.000Z",
    );
    expect(readings(at, options)[0]?.fixTime).toBe("2026-10-14T15:04:05.000Z");
    for (const t of [null, "", false, [], {}]) expect(kindOf({ ...at, t }, options)).toBe("ignored");
    // Zero is something.
    expect(kindOf({ ...at, t: 0 }, options)).toBe("decoded");
  });

  it("remove options beside them by null, and need what every set of options needs", () => {
    const received = { time: null, timeFormat: "received" };
    expect(problemsWith({ ...least, variants: [received] })).toEqual([]);
    expect(problemsWith({ ...least, variants: [{ latitude: null }, { time: null }] })).toEqual([
      "variants.0.latitude: is missing (or give coordinates, a longitude-first pair)",
      "variants.1.time: is missing (timeFormat: received if messages carry none)",
    ]);
    expect(problemsWith({ ...least, variants: [{ lattitude: "y" }] })[0]).toMatch(
      /^variants\.0: .*lattitude/,
    );
    expect(problemsWith({ ...least, variants: [{ when: "a[" }] })[0]).toMatch(/^variants\.0\.when: is not/);
    for (const wrong of [[], {}, "x", [7], [{ topic: [] }], [{ topic: 3 }]])
      expect(problemsWith({ ...least, variants: wrong }).join(), JSON.stringify(wrong)).toMatch(/^variants/);
  });

  it("need a unit where any of them reads a speed", () => {
    const options = optionsOf({ ...least, variants: [{ when: "a" }, { speed: "v" }] });
    expect(json.settingProblems?.({ speedUnit: undefined, options })).toHaveLength(1);
  });
});

describe("places of the device", () => {
  const least = { latitude: "y", longitude: "x", timeFormat: "received" };

  it("may be several levels of the topic, all of which must be there", () => {
    const on = (topic: string) =>
      examine(json, message({ y: 1, x: 2 }, { topic }), {
        speedUnit: undefined,
        options: optionsOf({ ...least, deviceId: { topicLevels: [1, 3] } }),
      });
    expect(on("a/b/c").readings[0]?.deviceId).toBe("a/c");
    for (const topic of ["a/b", "a/b/", "/b/c"]) {
      expect(on(topic).rejections, topic).toEqual([{ reason: "no_device", path: "" }]);
    }
  });

  it("may be the keys of an object of lists", () => {
    const options = optionsOf({ ...least, readings: "units", deviceId: { key: true } });
    const result = (units: unknown) => examine(json, message({ units }), { speedUnit: undefined, options });
    const { readings, rejections } = result({ "0": [{ y: 1, x: 2 }], b: [{ y: 3, x: 4 }, null], c: [] });
    expect(readings.map(({ deviceId, latitude }) => [deviceId, latitude])).toEqual([
      ["0", 1],
      ["b", 3],
    ]);
    expect(rejections).toEqual([{ reason: "no_fix", path: "b[1]" }]);
    for (const units of [null, [], {}, { a: 7 }, { a: "x", b: [] }])
      expect(result(units).kind).toBe("malformed");
  });

  it("may be the keys of an object of objects", () => {
    const options = optionsOf({ ...least, readings: "units", deviceId: { key: true } });
    const units = { "17": { y: 1, x: 2 }, b: null, c: [{ y: 3, x: 4 }] };
    const { readings, rejections } = examine(json, message({ units }), { speedUnit: undefined, options });
    expect(readings.map(({ deviceId, latitude }) => [deviceId, latitude])).toEqual([
      ["17", 1],
      ["c", 3],
    ]);
    expect(rejections).toEqual([{ reason: "no_fix", path: "b" }]);
  });
});

describe("parts", () => {
  it("carry only the fields their options name", () => {
    const assembler = createAssembler();
    const options = optionsOf({
      ...{ deviceId: { topicLevel: 2 }, timeFormat: "received", fragment: true },
      variants: [
        { topic: "cars/+/lat", latitude: "@" },
        { topic: "cars/+/lon", longitude: "@" },
        { topic: "cars/+/fix", noFixWhen: "@ != `1`" },
      ],
    });
    const tell = (topic: string, body: unknown) =>
      examine(json, message(body, { topic }), { speedUnit: undefined, options }, assembler);
    expect(tell("cars/7/lat", 51.5)).toMatchObject({ kind: "decoded", readings: [], rejections: [] });
    expect(tell("cars/8/lon", 3).readings).toEqual([]);
    expect(tell("cars/7/lon", "7.25").readings).toMatchObject([
      { deviceId: "7", latitude: 51.5, longitude: 7.25 },
    ]);
    tell("cars/7/fix", 0);
    tell("cars/7/lat", 51.6);
    expect(tell("cars/7/lon", 7.26).rejections).toEqual([{ reason: "no_fix", path: "" }]);
    expect(tell("cars/7/lat", null).rejections).toEqual([{ reason: "no_fix", path: "" }]);
  });
});

describe("speed and heading in parts", () => {
  const options = optionsOf({
    ...{ deviceId: { topicLevel: 2 }, timeFormat: "received", fragment: true },
    variants: [
      { topic: "cars/+/place", latitude: "y", longitude: "x" },
      { topic: "cars/+/motion", speed: "v", heading: "h" },
    ],
  });
  function driving() {
    const assembler = createAssembler();
    return (topic: string, body: unknown) =>
      examine(json, message(body, { topic }), { speedUnit: "mps", options }, assembler).readings[0];
  }

  it("hold for the places after them, each by itself", () => {
    const tell = driving();
    tell("cars/7/motion", { v: 5 });
    tell("cars/7/motion", { h: 90 });
    expect(tell("cars/7/place", { y: 1, x: 2 })).toMatchObject({ speedMps: 5, headingDeg: 90 });
  });

  it("are unknown after the sender has sent null", () => {
    const tell = driving();
    tell("cars/7/motion", { v: 5, h: 90 });
    tell("cars/7/motion", { v: null });
    expect(tell("cars/7/place", { y: 1, x: 2 })).toMatchObject({ speedMps: null, headingDeg: 90 });
  });
});

describe("formats under their own names", () => {
  const moved = (adapter: typeof homeAssistant, options: unknown, body: unknown, topic: string) =>
    examine(adapter, message(body, { topic }), {
      speedUnit: undefined,
      options: adapter.options?.parse(options),
    });

  it("prefer a source's own options", () => {
    const place = { latitude: 1, longitude: 2, gps_accuracy: 9 };
    expect(moved(homeAssistant, undefined, place, "phones/kim").kind).toBe("ignored");
    const own = { topic: "phones/+", details: null };
    expect(moved(homeAssistant, own, place, "phones/kim").readings).toMatchObject([{ deviceId: "kim" }]);
    expect(moved(homeAssistant, own, place, "phones/kim").readings[0]).not.toHaveProperty("details");
    expect(
      moved(thingsboard, { latitude: "lat", longitude: "lng" }, { lat: 1, lng: 2 }, "v1/devices/me/telemetry")
        .readings,
    ).toMatchObject([{ latitude: 1, longitude: 2 }]);
  });

  it("accept a source's options for its own firmware", () => {
    const own = {
      topic: "garage/trackers/+",
      deviceId: { topicLevel: 3 },
      noFixWhen: "!(sats > `0`)",
    };
    const fixes = [9, 0, null].map((sats) => {
      const body = { lat: 1, lng: 2, sats };
      return moved(homeMade, own, body, "garage/trackers/van-7").readings.map(({ deviceId }) => deviceId);
    });
    expect(fixes).toEqual([["van-7"], [], []]);
  });

  it("report outside which topics they read nothing", () => {
    const read = (adapter: typeof homeAssistant, options?: unknown) =>
      adapter.topicsRead?.(adapter.options?.parse(options));
    expect(read(homeAssistant)).toEqual(["location/+"]);
    expect(read(homeAssistant, { topic: ["phones/+", "vans/#"] })).toEqual(["phones/+", "vans/#"]);
    expect(read(homeAssistant, { topic: null })).toBeNull();
    expect(read(victron)).toHaveLength(5);
    expect([read(json), read(json, { deviceId: "i", coordinates: "c", timeFormat: "received" })]).toEqual([
      null,
      null,
    ]);
  });

  it("refuse what is no option", () => {
    for (const wrong of ["x", 7, [], { topics: "a" }, { latitude: "a[" }]) {
      expect(victron.options?.safeParse(wrong).success, JSON.stringify(wrong)).toBe(false);
    }
  });

  it("accept words as the name of a zone, and nothing else", () => {
    const said = (words: string) =>
      examine(
        homeAssistant,
        { ...message(null, { topic: "location/kim" }), body: Buffer.from(words) },
        { speedUnit: undefined, options: homeAssistant.options?.parse(undefined) },
      ).kind;
    for (const zone of ["home", "not_home", "Work Office", "Zürich", "None", '"home"'])
      expect(said(zone)).toBe("ignored");
    for (const damage of ["", "null", "true", "{", '{"latitude":', "12", "-", "§"])
      expect(said(damage), damage).toBe("malformed");
  });

  it("are what the documentation shows", () => {
    const readme = readFileSync(new URL("../../../src/adapters/README.md", import.meta.url), "utf8");
    const blocks = [...readme.matchAll(/```yaml\n([^`]*(?:`\d`[^`]*)*)```/g)].map(([, yaml = ""]) =>
      parse(yaml),
    );
    expect(blocks.length).toBeGreaterThan(1);
    for (const { vendor = "json", options } of blocks) {
      expect(findAdapter(vendor)?.options?.safeParse(options).error).toBeUndefined();
    }
  });
});
