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

/** A message that is one JSON value; null for all others. */
function jsonOf({ body }: Fixture): object | null {
  if (!/^\s*[{[]/.test(body) || isForm(body)) return null;
  const whole = parseJson(body, MOST);
  // One JSON value on each line is no JSON.
  return "problem" in whole || typeof whole.value !== "object" ? null : whole.value;
}

/** The value with other items in its n-th list; null where it has none, or that one is empty. */
function withList(root: unknown, nth: number, itemsFor: (items: unknown[]) => unknown[]): unknown {
  let seen = -1;
  let isChanged = false;
  const change = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    if (!Array.isArray(value))
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, change(each)]));
    seen += 1;
    if (seen !== nth || value.length === 0) return value.map(change);
    isChanged = true;
    return itemsFor(value);
  };
  const changed = change(root);
  return isChanged ? changed : null;
}

/** Stands for the items while the text around them is written. */
const ITEMS = "\u0001items";

/** The message with the items of its n-th list again and again, up to so many: each is written once, and copied. */
function amplified(root: object, nth: number, count: number): string {
  let items: string[] = [];
  const around = withList(root, nth, (list) => {
    items = list.map((item) => JSON.stringify(item));
    return [ITEMS];
  });
  const times = Math.floor(count / items.length);
  const all = [
    ...(times > 0 ? Array(times).fill(items.join()) : []),
    ...items.slice(0, count % items.length),
  ];
  const [before = "", after = ""] = JSON.stringify(around).split(JSON.stringify(ITEMS));
  return `${before}${all.join()}${after}`;
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
    .flatMap((fixture) => {
      const root = jsonOf(fixture);
      if (root === null) return [];
      return [0, 1, 2, 3]
        .filter((nth) => withList(root, nth, (items) => items) !== null)
        .map((nth) => [`${fixture.name}, list ${nth}`, adapter, fixture, root, nth] as const);
    }),
);

describe("a list in a message", () => {
  it("was found for every adapter that has one", () => {
    expect(new Set(withLists.map(([, { vendor }]) => vendor)).size).toBeGreaterThan(10);
  });

  it.each(withLists)("of %s is not read beyond its bound", (_, adapter: Adapter, fixture, root, nth) => {
    const body = amplified(root, nth, 20_000);
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
    (_, adapter, fixture, root, nth) => {
      const few = decode(adapter, hostile(fixture, amplified(root, nth, 64)), fixture.settings);
      const steps = decodeInSteps(adapter, hostile(fixture, amplified(root, nth, 4096)), fixture.settings);
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
    (_, adapter, __, root, nth) => {
      const grown = withList(withoutValues(root), nth, (items) =>
        Array.from({ length: 4096 }, (_, at) => items[at % items.length]),
      );
      const parsed = adapter.payload.safeParse(grown);
      // Of each shape that a message may have.
      expect(parsed.error?.issues.length ?? 0).toBeLessThan(20 + 20);
    },
  );
});
