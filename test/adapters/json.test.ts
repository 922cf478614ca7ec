/** The configurable adapter: its own format's problems, and what its options take and refuse. */

import { describe, expect, it } from "vitest";
import { type Message, read } from "../../src/adapters/adapter.ts";
import { json } from "../../src/adapters/json.ts";
import { examine } from "../../src/decode.ts";
import type { SpeedUnit } from "../../src/reading.ts";

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
    const result = read(json, message([{ deviceId: "a" }, "b"]), { credentials: { secrets: [] } });
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
    const result = read(json, message(Array.from({ length: 10_000 }, () => ({}))), {
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
    [{ speed: 36, speedUnit: null }, "kph", null],
    [{}, "kph", null],
  ] as const)("reads the speed of %j with the source's unit %s", (change, unit, expected) => {
    const [reading] = readings({ ...complete, ...change }, undefined, {}, unit);
    if (expected === null) expect(reading?.speedMps).toBeNull();
    else expect(reading?.speedMps).toBeCloseTo(expected, 9);
  });
});

describe("options", () => {
  const least = { deviceId: "id", latitude: "y", longitude: "x", time: "t" };

  it("takes a device's id from where it stands", () => {
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

  it("takes it from the top of a message with many readings", () => {
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
      read(json, message({ list: { a: 1 } }), { credentials: { secrets: [] }, options: optionsOf(options) });
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
    [{}, ["deviceId", "latitude", "longitude", "time"]],
    [{ ...least, latitude: undefined }, ["latitude"]],
    [{ ...least, coordinates: "c" }, ["coordinates"]],
    [{ ...least, time: undefined }, ["time"]],
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

  it("says what is wrong with an expression", () => {
    expect(problemsWith({ ...least, deviceId: "a.." })[0]).toMatch(
      /^deviceId: is not a JMESPath expression: ./,
    );
    expect(problemsWith({ ...least, heading: "a[" })[0]).toMatch(/^heading: is not a JMESPath expression: ./);
    expect(problemsWith({ ...least, deviceId: 7 })[0]).toMatch(/topicLevel/);
  });
});
