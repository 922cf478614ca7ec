/** What one message may ask for is bounded before it is parsed, for every adapter and every list in its fixtures. */

import { describe, expect, it } from "vitest";
import { adapters } from "../../../src/adapters/index.ts";
import type { Adapter, Message } from "../../../src/adapters/kit/adapter.ts";
import { parseForm, parseJson, parseLines } from "../../../src/adapters/kit/bounds.ts";
import { decode, decodeInSteps } from "../../support/decode.ts";
import { type Fixture, fixturesOf, isForm } from "../../support/fixtures.ts";

const MOST = 5000;
const TOO_MANY = /^message: more than 5,000 (readings|names|parameters|lines); send fewer/i;

describe("JSON", () => {
  const problem = (text: string) => {
    const parsed = parseJson(text, MOST);
    return "problem" in parsed ? parsed.problem : null;
  };
  const listOf = (item: string, count: number) => `[${Array(count).fill(item).join()}]`;

  it("holds as many entries of one list or object as a message may have readings", () => {
    expect(problem(listOf("{}", MOST))).toBeNull();
    for (const item of ["{}", "[]", "1", '"a"', '"],[\\""']) {
      expect(problem(listOf(item, MOST + 1)), item).toMatch(TOO_MANY);
      expect(problem(`{"a":{"b":${listOf(item, MOST + 1)}}}`), item).toMatch(TOO_MANY);
    }
    const names = Array.from({ length: MOST + 1 }, (_, n) => `"${n}":0`);
    expect(problem(`{${names.slice(1).join()}}`)).toBeNull();
    expect(problem(`{${names.join()}}`)).toMatch(TOO_MANY);
  });

  it("holds ten times as many in all its lists together", () => {
    expect(problem(listOf(listOf("1", 10), MOST - 600))).toBeNull();
    expect(problem(listOf(listOf("1", 12), MOST - 600))).toMatch(TOO_MANY);
    expect(problem(listOf(listOf("1", MOST), 20))).toMatch(TOO_MANY);
  });

  it("is not counted within text", () => {
    expect(problem(JSON.stringify([",".repeat(100_000), '\\",[{'.repeat(50_000)]))).toBeNull();
  });

  it("is nested as deep as anybody needs", () => {
    expect(problem(`${"[".repeat(100)}${"]".repeat(100)}${" ".repeat(20_000)}`)).toBeNull();
    for (const open of ["[", '{"a":'])
      expect(problem(open.repeat(10_000))).toMatch(/nested deeper than 100 levels/);
  });

  it("that is none is for the parser to refuse", () => {
    for (const text of ["x", "}".repeat(20_000), `"${"\\".repeat(20_001)}`, "]".repeat(20_000)])
      expect(problem(text)).toMatch(/not JSON/);
  });
});

it("bounds the parameters of a form and the lines of a text", () => {
  expect(parseForm("a=1&".repeat(MOST), MOST)).toEqual({ value: { a: "1" } });
  expect(parseForm("a=1&".repeat(MOST + 1), MOST)).toMatchObject({
    problem: expect.stringMatching(TOO_MANY),
  });
  expect(parseLines("a\n".repeat(MOST), MOST)).toMatchObject({ value: expect.anything() });
  expect(parseLines("a\n".repeat(MOST + 2), MOST)).toMatchObject({
    problem: expect.stringMatching(TOO_MANY),
  });
});

/** The message with the items of its n-th list again and again, up to so many. */
function amplified({ body }: Fixture, nth: number, count: number): string | null {
  let seen = -1;
  let isChanged = false;
  const grow = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    if (!Array.isArray(value))
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, grow(each)]));
    seen += 1;
    if (seen !== nth || value.length === 0) return value.map(grow);
    isChanged = true;
    return Array.from({ length: count }, (_, at) => value[at % value.length]);
  };
  if (!/^\s*[{[]/.test(body) || isForm(body)) return null;
  const whole = parseJson(body, MOST);
  // One JSON value on each line is no JSON.
  if ("problem" in whole) return null;
  const grown = grow(whole.value);
  return isChanged ? JSON.stringify(grown) : null;
}

/** The same shape, and null in place of every text and number. */
function withoutValues(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutValues);
  if (typeof value !== "object" || value === null) return typeof value === "boolean" ? value : null;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, withoutValues(each)]));
}

function hostile(fixture: Fixture, body: string): Message {
  return { ...fixture.message, body: Buffer.from(body) };
}

const withLists = adapters.flatMap((adapter) =>
  fixturesOf(adapter)
    .filter(({ message }) => message.method !== "GET")
    .flatMap((fixture) =>
      [0, 1, 2, 3]
        .filter((nth) => amplified(fixture, nth, 1) !== null)
        .map((nth) => [`${fixture.name}, list ${nth}`, adapter, fixture, nth] as const),
    ),
);

describe("a list in a message", () => {
  it("was found for every adapter that has one", () => {
    expect(new Set(withLists.map(([, { vendor }]) => vendor)).size).toBeGreaterThan(10);
  });

  it.each(withLists)("of %s is not read beyond its bound", (_, adapter: Adapter, fixture, nth) => {
    const body = amplified(fixture, nth, 20_000) ?? "";
    let isParsed = false;
    const counting: Adapter = {
      ...adapter,
      payload: adapter.payload.transform((value) => {
        isParsed = true;
        return value;
      }),
    };
    const result = decode(counting, hostile(fixture, body), fixture.settings);
    expect(result).toMatchObject({ kind: "malformed", problems: [expect.stringMatching(TOO_MANY)] });
    expect(isParsed).toBe(false);
  });

  it.each(withLists)(
    "of %s is read up to it, in slices where each item is a position",
    (_, adapter, fixture, nth) => {
      const few = decode(adapter, hostile(fixture, amplified(fixture, nth, 64) ?? ""), fixture.settings);
      const steps = decodeInSteps(
        adapter,
        hostile(fixture, amplified(fixture, nth, 4096) ?? ""),
        fixture.settings,
      );
      let pauses = 0;
      let step = steps.next();
      for (; !step.done; step = steps.next()) pauses += 1;
      const result = step.value;
      if (result.kind === "malformed") expect(result.problems.length).toBeLessThanOrEqual(20);
      if (result.kind !== "decoded" || few.kind !== "decoded") return;
      // A list of positions is longer with more of them; one position's own list is read with it.
      const isOfPositions =
        result.rawReadings.length >= 2048 &&
        /^\w*\[|\.data\[|vehicles\[/.test(result.rawReadings[1]?.path ?? "");
      if (isOfPositions && nth === 0) expect(pauses).toBeGreaterThan(60);
    },
  );

  it.each(withLists)(
    "of %s has its problems looked for only as long as they are listed",
    (_, adapter, fixture, nth) => {
      const grown: unknown = JSON.parse(amplified(fixture, nth, 4096) ?? "");
      const parsed = adapter.payload.safeParse(withoutValues(grown));
      // Of each shape that a message may have.
      expect(parsed.error?.issues.length ?? 0).toBeLessThan(20 + 20);
    },
  );
});
