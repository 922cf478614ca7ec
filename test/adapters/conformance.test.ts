/** What every adapter must hold to, run over all of them and all their fixtures; nothing here knows a vendor. */

import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { adapters, findAdapter } from "../../src/adapters/index.ts";
import * as presets from "../../src/adapters/json/presets.ts";
import * as fleets from "../../src/adapters/json-pull/fleets.ts";
import { jsonPull } from "../../src/adapters/json-pull/json-pull.ts";
import * as platforms from "../../src/adapters/json-pull/platforms.ts";
import type { Adapter, AuthMethod, Message } from "../../src/adapters/kit/adapter.ts";
import { type RawReading, validate } from "../../src/reading.ts";
import { type Breakage, breakagesOfForm, breakagesOfJson, breakagesOfLine } from "../support/breakage.ts";
import { decode, examine, examineDecoded } from "../support/decode.ts";
import {
  assemblerBefore,
  type Fixture,
  type FixtureAuth,
  fixtureFolders,
  fixturesOf,
  isForm,
  lowerCased,
  withBody,
} from "../support/fixtures.ts";

const SOURCES = new URL("../../src/adapters/", import.meta.url);
const fixtures = new Map(adapters.map((adapter) => [adapter, fixturesOf(adapter)]));
const fixturesFor = (adapter: Adapter) => fixtures.get(adapter) ?? [];

describe("the list", () => {
  it("names every adapter once, and nothing but files that hold one", () => {
    const files = readdirSync(SOURCES, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts"))
      .filter((file) => /= defineAdapter\(/.test(readFileSync(new URL(file, SOURCES), "utf8")))
      .map((file) => basename(file, ".ts"));
    const named = [presets, fleets, platforms, { jsonPull }]
      .flatMap((vendors) => Object.values(vendors))
      .map(({ vendor }) => vendor);
    expect(adapters.map(({ vendor }) => vendor).sort()).toEqual([...files, ...named].sort());
  });

  it("finds an adapter by its vendor", () => {
    for (const adapter of adapters) expect(findAdapter(adapter.vendor)).toBe(adapter);
    expect(findAdapter("nobody")).toBeUndefined();
  });

  it("has a folder of fixtures for each vendor, and none for others", () => {
    expect(fixtureFolders().sort()).toEqual(adapters.map(({ vendor }) => vendor).sort());
  });

  it("runs where local time is not UTC, so that a time read as local shows", () => {
    expect(new Date("2026-10-26T12:00:00Z").getTimezoneOffset()).not.toBe(0);
  });
});

describe.each(adapters.map((adapter) => [adapter.vendor, adapter] as const))("%s", (_, adapter) => {
  const own = fixturesFor(adapter);
  const examined = (fixture: Fixture, message = fixture.message) =>
    examine(adapter, message, fixture.settings, assemblerBefore(adapter, fixture));
  const readingsOf = (fixture: Fixture) => examined(fixture).readings;

  it("names where it applies and how it is authenticated", () => {
    expect(adapter.transports.length).toBeGreaterThan(0);
    if (adapter.transports.includes("webhook")) expect(adapter.auth.length).toBeGreaterThan(0);
    expect(new Set(adapter.auth.map(({ name }) => name)).size).toBe(adapter.auth.length);
    expect(adapter.ignore === undefined).toBe(adapter.ignores === undefined);
  });

  it("has fixtures with a position, without one, and with one that goes wrong", () => {
    const results = own.map((fixture) => examined(fixture));
    expect(
      results.some(({ readings }) => readings.length > 0),
      "Add a message with a position.",
    ).toBe(true);
    expect(
      results.some(({ readings }) => readings.length === 0),
      "Add a message without a position: another event, a heartbeat, a handshake.",
    ).toBe(true);
    expect(
      results.some(
        ({ rejections, defects, kind }) => [...rejections, ...defects].length > 0 || kind === "malformed",
      ),
      "Add an awkward message, such as <case>-awkward.json: in the vendor's shape, with one value in each item that must be rejected or turned null.",
    ).toBe(true);
  });

  it("has a fixture with a position for each way in", () => {
    for (const transport of adapter.transports) {
      const sent = own.filter(({ message }) => (message.topic === undefined) === (transport !== "mqtt"));
      expect(sent.some((fixture) => readingsOf(fixture).length > 0)).toBe(true);
    }
  });

  it("accepts the HTTP methods of its fixtures", () => {
    const methods: readonly string[] = adapter.methods ?? ["POST"];
    // What is asked for comes by none.
    const sent = adapter.transports.includes("webhook") ? own : [];
    for (const { name, message } of sent) {
      if (message.method !== undefined) expect(methods, name).toContain(message.method);
    }
  });

  it.each(own.map((fixture) => [fixture.name, fixture] as const))(
    "reads %s as its golden says",
    (_, fixture) => {
      const { what, problems, ...result } = examined(fixture);
      const seen = { ...result, ...(what === null ? {} : { what }), ...answerTo(adapter, fixture) };
      expect(
        seen,
        `${fixture.name}: a golden is written by hand, from the vendor's documentation; correct whichever is wrong.`,
      ).toEqual(fixture.golden);
      expect(problems.length > 0).toBe(result.kind === "malformed");
    },
  );

  it("reads the same message twice the same, and leaves it as it was", () => {
    for (const { message, settings, body, name } of own) {
      const first = decode(adapter, message, settings);
      expect(decode(adapter, message, settings), name).toEqual(first);
      expect(Buffer.from(message.body).toString(), name).toBe(
        Buffer.from(withBody(message, body).body).toString(),
      );
    }
  });

  it("gets no reading out of another vendor's messages", () => {
    const read: string[] = [];
    for (const other of adapters) {
      if (other === adapter) continue;
      for (const { message, name } of fixturesFor(other)) {
        const settings = { speedUnit: undefined, options: adapter.options?.parse(undefined) };
        if (examine(adapter, message, settings).readings.length > 0) read.push(name);
      }
    }
    expect(read).toEqual([]);
  });

  it("agrees with physics: devices are where their speed and heading must have brought them", () => {
    const readings = own.flatMap(readingsOf).sort((a, b) => a.fixTime.localeCompare(b.fixTime));
    let compared = 0;
    for (const [index, from] of readings.entries()) {
      const to = readings.slice(index + 1).find(({ deviceId }) => deviceId === from.deviceId);
      const seconds = to ? (Date.parse(to.fixTime) - Date.parse(from.fixTime)) / 1000 : 0;
      // Between fixes a minute apart a vehicle may have gone anywhere.
      if (!to || seconds <= 0 || seconds > 60 || from.speedMps === null || to.speedMps === null) continue;
      const { metres, bearingDeg } = between(from, to);
      const expected = ((from.speedMps + to.speedMps) / 2) * seconds;
      // The two units closest to each other, mph and knots, differ by 15 %.
      expect(Math.abs(metres - expected) / expected, `${from.deviceId} ${from.fixTime}`).toBeLessThan(0.05);
      expect(Math.abs(bearingDeg - (from.headingDeg ?? bearingDeg)), from.fixTime).toBeLessThan(5);
      compared++;
    }
    if (adapter.speedUnit === "none") expect(readings.every(({ speedMps }) => speedMps === null)).toBe(true);
    else
      expect(
        compared,
        "Add two positions of one device with speeds, less than a minute apart: from them it is seen that the unit is right.",
      ).toBeGreaterThan(0);
  });

  it.each(own.map((fixture) => [fixture.name, fixture] as const))(
    "loses no candidate in silence when one node of %s is broken",
    (_, fixture) => {
      const intact = look(adapter, fixture, fixture.body);
      for (const breakage of breakagesOf(fixture)) {
        const problem = judge(adapter, fixture, intact, breakage, look(adapter, fixture, breakage.body));
        if (problem === null) continue;
        expect.fail(`${fixture.name}: ${breakage.what}: ${problem}\n${remedyFor(problem, breakage)}`);
      }
    },
  );

  it("does not accept a truncated message as a whole one", () => {
    for (const fixture of own) {
      // A form or a bare number does not show where it ends; HTTP and MQTT know by its length.
      if (isForm(fixture.body) || /^-?[0-9.]+$/.test(fixture.body)) continue;
      const intact = look(adapter, fixture, fixture.body);
      // From 1: a message of no bytes at all may have a meaning of its own.
      for (let length = 1; length < fixture.body.trimEnd().length; length++) {
        const { result, readings } = look(adapter, fixture, fixture.body.slice(0, length));
        // What the topic alone says holds for any part of the body.
        if (result.kind === "handshake" || (result.kind === "ignored" && intact.result.kind !== "ignored"))
          expect.fail(`${fixture.name} cut at ${length} is ${result.kind}`);
        for (const reading of readings) expect(intact.readings).toContainEqual(reading);
      }
    }
  });

  it("reports where outside the body a device's id may come from", () => {
    const names = [
      "x-limit-u",
      "x-limit-d",
      "u",
      "d",
      "id",
      "deviceid",
      "aid",
      "device",
      "x-device",
      "serial",
    ];
    const beside = Object.fromEntries(names.map((name) => [name, "somebody-else"]));
    for (const { message, settings, name } of own) {
      if (message.topic !== undefined || adapter.idOutsideBody?.(settings.options)) continue;
      const plain = examine(adapter, message, settings).readings;
      const query = message.method === "GET" ? message.query : { ...beside, ...message.query };
      const other = { ...message, query, headers: { ...beside, ...message.headers } };
      const ids = (readings: typeof plain) => readings.map(({ deviceId }) => deviceId);
      expect(ids(examine(adapter, other, settings).readings), name).toEqual(ids(plain));
    }
  });

  it("never throws on junk", () => {
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      fc.json().map((json) => `[${json}]`),
      fc.constantFrom(...own.map(({ body }) => body)),
    );
    const bytes = fc.oneof(
      fc.uint8Array(),
      text.map((value) => new Uint8Array(Buffer.from(value))),
    );
    const pick = fc.constantFrom(...own);
    fc.assert(
      fc.property(
        bytes,
        fc.option(fc.string(), { nil: undefined }),
        fc.dictionary(fc.string(), fc.string()),
        pick,
        (body, topic, texts, { settings }) => {
          const message: Message = {
            body,
            receivedAt: Date.UTC(2026, 9, 26),
            headers: texts,
            query: texts,
            retained: false,
            ...(topic === undefined ? { method: "POST" } : { topic }),
          };
          const result = decode(adapter, message, settings);
          if (result.kind === "malformed") expect(result.problems.length).toBeGreaterThan(0);
          // A question about ourselves may be fenced instead of proven: it is answered, and has no other effect.
          if (result.kind === "handshake") return;
          for (const authMethod of adapter.auth)
            expect(typeof authMethod.verify(message, { secrets: ["s"] })).toBe("string");
        },
      ),
      { numRuns: 300 },
    );
  });

  it("never throws on deep or hostile JSON", () => {
    const bodies = [
      "[".repeat(50_000),
      `${"[".repeat(50_000)}${"]".repeat(50_000)}`,
      '{"__proto__":{"a":1}}',
      `{"a":${'{"a":'.repeat(5000)}1${"}".repeat(5001)}`,
    ];
    for (const body of bodies) {
      for (const { message, settings } of own) {
        const hostile = { ...message, query: {}, body: Buffer.from(body) };
        expect(examine(adapter, hostile, settings).readings).toEqual([]);
      }
    }
    expect(Object.hasOwn(Object.prototype, "a")).toBe(false);
  });

  const authenticated = own.flatMap((fixture) =>
    fixture.auth.map((given) => [given.method, fixture, given] as const),
  );

  it("shows each of its proofs in a fixture", () => {
    expect(new Set(authenticated.map(([name]) => name))).toEqual(
      new Set(adapter.auth.map(({ name }) => name)),
    );
  });

  it.each(authenticated)("accepts %s over the exact bytes and nothing less", (name, fixture, given) => {
    const authMethod = adapter.auth.find((candidate) => candidate.name === name);
    expect(authMethod).toBeDefined();
    if (authMethod) expectAuth(authMethod, fixture.message, given);
  });
});

/** What the vendor is answered, and what is fetched for it, where the message is a handshake. */
function answerTo(adapter: Adapter, { message, settings }: Fixture): object {
  const result = decode(adapter, message, settings);
  if (result.kind !== "handshake") return {};
  const { reply, confirm } = result.handshake;
  return confirm === undefined ? { reply } : { reply, confirm: confirm.url };
}

/** What whoever writes an adapter can do about it. */
function remedyFor(problem: string, { kind, key }: Breakage): string {
  const documented = "<case>.request.json";
  if (problem.endsWith("now is a reading") && kind !== "removed" && kind !== "made null")
    return `Give the item of the awkward fixture a second thing that is wrong, such as no latitude: the suite mends "${key}" by chance, and one thing wrong is then none.`;
  if (kind === "removed")
    return `Where the vendor documents that "${key}" may be left out without harm, put it into leavingOutMeansDefault of ${documented}. Otherwise read it with a reader of fields.ts, so that its absence costs one reading or one field.`;
  if (kind === "made null")
    return `Where the vendor documents null for "${key}", put it into nullMeansDefault of ${documented}. Otherwise read it with a reader of fields.ts, so that null costs one reading or one field.`;
  return `Read "${key}" with a reader of fields.ts or within part({…}), so that damage costs one reading or one field; let \`ignore\` name the events you handle (otherThan), never what is left.`;
}

function breakagesOf({ body, settings: _ }: Fixture): Breakage[] {
  if (isJsonLines(body)) return breakagesOfJsonLines(body);
  if (/^\s*[{[]/.test(body)) return breakagesOfJson(body);
  if (isForm(body)) return breakagesOfForm(body.trim());
  return body.trim() === "" ? [] : breakagesOfLine(body.trim());
}

/** Several lines, each of which is JSON by itself. */
function isJsonLines(body: string): boolean {
  const lines = linesOf(body);
  return lines.length > 1 && lines.every((line) => /^\{.*\}$/.test(line));
}

function linesOf(body: string): string[] {
  return body.split("\n").filter((line) => line.trim() !== "");
}

function breakagesOfJsonLines(body: string): Breakage[] {
  const lines = linesOf(body);
  return lines.flatMap((line, index) =>
    breakagesOfJson(line).map((breakage) => ({
      ...breakage,
      path: breakage.path === "" ? `[${index}]` : `[${index}].${breakage.path}`,
      body: lines.with(index, breakage.body).join("\n"),
    })),
  );
}

interface Look {
  result: ReturnType<typeof decode>;
  rawReadings: RawReading[];
  readings: ReturnType<typeof examine>["readings"];
  /** Reading or rejection, by the candidate's path. */
  byPath: Map<string, ReturnType<typeof examine>["readings"][number] | string>;
}

function look(adapter: Adapter, fixture: Fixture, body: string): Look {
  const broken = { ...fixture.message, body: Buffer.from(body) };
  const result = decode(adapter, broken, fixture.settings);
  const { receivedAt, retained } = broken;
  const rawReadings =
    result.kind === "decoded"
      ? assemblerBefore(adapter, fixture).assemble(adapter.vendor, result.rawReadings, broken)
      : [];
  const assembler = { assemble: () => rawReadings };
  const { readings } = examineDecoded(adapter, broken, result, { assembler });
  const byPath: Look["byPath"] = new Map();
  let accepted = 0;
  for (const rawReading of rawReadings) {
    const verdict = validate(rawReading, { receivedAt, retained, maxAgeMs: Infinity, maxAheadMs: Infinity });
    const is = verdict.kind === "rejected" ? verdict.rejection.reason : readings[accepted++];
    if (is !== undefined) byPath.set(rawReading.path, is);
  }
  return { result, rawReadings, readings, byPath };
}

/**
 * Null if nothing was lost or made up. What must hold when one node is broken:
 * the message is malformed, which sets it aside whole; or every candidate of the intact message is still there, as
 * the same reading, as one with a field turned null, or as a rejection. It is `ignored` only where the broken node
 * tells events apart and now holds another event's name. An item taken out of a list, or a list emptied, cannot be
 * told from a vendor who had less to say, so there the candidates of that item or list may be gone, and no others. A list
 * within the message that is no list any more has one rejection stand for what was in it.
 */
function judge(adapter: Adapter, fixture: Fixture, intact: Look, broken: Breakage, now: Look): string | null {
  if (now.result.kind === "malformed") return null;
  if (intact.rawReadings.length === 0) return null;
  if (now.result.kind !== "decoded") {
    const isRenamed = broken.kind === "other name" && adapter.ignore?.discriminators?.includes(broken.key);
    return isRenamed ? null : `was ${now.result.kind}`;
  }
  const isLeftOut =
    (broken.kind === "removed" && fixture.leavingOutMeansDefault.includes(broken.key)) ||
    (broken.kind === "made null" && fixture.nullMeansDefault.includes(broken.key));
  for (const { latitude, longitude, fixTime, speedMps } of now.rawReadings) {
    const zeros = { latitude, longitude, fixTime, speedMps };
    for (const [field, value] of Object.entries(zeros)) {
      if (
        value === 0 &&
        !isLeftOut &&
        !intact.rawReadings.some((rawReading) =>
          Object.entries(rawReading).some(([key, was]) => key === field && was === 0),
        )
      )
        return `${field} became 0`;
    }
  }
  if (isLeftOut && now.rawReadings.length === 0) return null;
  const mayBeGone = isLeftOut || broken.kind === "removed item" || broken.kind === "emptied list";
  const isStoodFor =
    broken.path !== "" &&
    [...now.byPath].some(([path, is]) => typeof is === "string" && isWithin(path, broken.path));
  const gone =
    mayBeGone || isStoodFor ? intact.rawReadings.filter(({ path }) => isWithin(path, broken.path)).length : 0;
  if (now.rawReadings.length < intact.rawReadings.length - gone) return "fewer raw readings";
  if (mayBeGone && gone > 0) {
    const known = intact.readings.map((reading) => JSON.stringify(reading));
    return now.readings.every((reading) => known.includes(JSON.stringify(reading)))
      ? null
      : "another reading";
  }
  for (const [path, was] of intact.byPath) {
    const is = now.byPath.get(path);
    if (is === undefined && isStoodFor && isWithin(path, broken.path)) continue;
    if (is === undefined) return `${path || "message"} is gone`;
    if (typeof is === "string") continue;
    if (typeof was === "string" && isLeftOut) continue;
    if (typeof was === "string") return `${path || "message"} was rejected (${was}) and now is a reading`;
    const changed = Object.entries(is).find(([key, value]) => {
      if (value === null || value === Object.entries(was).find(([name]) => name === key)?.[1]) return false;
      // Any text can be an id; what must not happen is that something else is turned into text.
      if (key === "details") return numbersIn(is).some((one) => !numbersIn(was).includes(one));
      if (key === "deviceId")
        return /^(true|null|undefined|NaN|Infinity|\[object Object\]|)$/.test(String(value));
      return !isLeftOut;
    });
    if (changed) return `${path || "message"}: ${changed[0]} became ${changed[1]}`;
  }
  return null;
}

/** Of the details: words may become other words, but no number another number. */
function numbersIn(reading: unknown): number[] {
  const { details = {} } = reading as { details?: object };
  return Object.values(details).filter((value) => typeof value === "number");
}

function isWithin(path: string, outer: string): boolean {
  return outer === "" || path === outer || path.startsWith(`${outer}.`) || path.startsWith(`${outer}[`);
}

function expectAuth(authMethod: AuthMethod, message: Message, given: FixtureAuth): void {
  const { credentials } = given;
  const authenticated: Message = {
    ...message,
    headers: { ...message.headers, ...lowerCased(given.headers ?? {}) },
    query: { ...message.query, ...given.query },
    ...(given.remoteAddress === undefined ? {} : { remoteAddress: given.remoteAddress }),
    ...(given.body === undefined ? {} : { body: Buffer.from(given.body) }),
  };
  expect(authMethod.verify(authenticated, credentials)).toBeNull();
  // Missing altogether.
  expect(authMethod.verify(message, credentials)).toMatch(/^[a-z_]+$/);
  if (authMethod.verifyHead) {
    // It would refuse what `prove` accepts, or read what `prove` refuses.
    const { body: _, ...head } = authenticated;
    expect(authMethod.verifyHead(head, credentials)).toBeNull();
    expect(
      authMethod.verifyHead({ ...head, headers: {}, query: {}, remoteAddress: "" }, credentials),
    ).not.toBeNull();
  }
  expect(authMethod.verifyHead === undefined, "waits for the body only where its proof needs it").toBe(
    authMethod.name.startsWith("hmac-") || given.body !== undefined,
  );
  // What the configuration must give is needed.
  for (const need of authMethod.needs) {
    const { [need]: _, ...rest } = credentials;
    expect(authMethod.verify(authenticated, { secrets: [], ...rest }), `without ${need}`).not.toBeNull();
  }
  if (authMethod.needs.includes("secrets")) {
    // While rotating either is accepted; an empty, shorter or other one is not.
    const [secret = ""] = credentials.secrets;
    expect(authMethod.verify(authenticated, { ...credentials, secrets: ["another", secret] })).toBeNull();
    expect(authMethod.verify(authenticated, { ...credentials, secrets: [secret, "another"] })).toBeNull();
    for (const wrong of [[], [""], ["another"], [`${secret}x`], [secret.slice(1)], [secret.toUpperCase()]]) {
      expect(
        authMethod.verify(authenticated, { ...credentials, secrets: wrong }),
        `with ${wrong}`,
      ).not.toBeNull();
    }
  }
  if (!authMethod.name.startsWith("hmac-")) return;
  const unseen: number[] = [];
  for (let index = 0; index < message.body.length; index++) {
    const body = Uint8Array.from(message.body);
    body[index] = (body[index] ?? 0) ^ 1;
    if (authMethod.verify({ ...authenticated, body }, credentials) === null) unseen.push(index);
  }
  expect(unseen, "bytes that may be altered").toEqual([]);
  expect(authMethod.verify({ ...authenticated, body: message.body.subarray(1) }, credentials)).not.toBeNull();
  expect(
    authMethod.verify(
      { ...authenticated, body: Buffer.concat([message.body, Buffer.from("\n")]) },
      credentials,
    ),
  ).not.toBeNull();
}

const EARTH_RADIUS_M = 6_371_009;
const radians = (deg: number) => (deg * Math.PI) / 180;

type Place = { latitude: number; longitude: number };

function between(from: Place, to: Place): { metres: number; bearingDeg: number } {
  const [phi1, phi2] = [radians(from.latitude), radians(to.latitude)];
  const lambda = radians(to.longitude - from.longitude);
  const half = Math.sin((phi2 - phi1) / 2) ** 2 + Math.cos(phi1) * Math.cos(phi2) * Math.sin(lambda / 2) ** 2;
  const metres = 2 * EARTH_RADIUS_M * Math.asin(Math.sqrt(half));
  const bearing = Math.atan2(
    Math.sin(lambda) * Math.cos(phi2),
    Math.cos(phi1) * Math.sin(phi2) - Math.sin(phi1) * Math.cos(phi2) * Math.cos(lambda),
  );
  return { metres, bearingDeg: ((bearing * 180) / Math.PI + 360) % 360 };
}
