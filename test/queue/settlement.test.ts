/** What each outcome means for a batch's pings and for the gates: the table, and what holds for all of it. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type GateChange,
  notSent,
  type Settlement,
  settlementOf,
} from "../../src/queue/deliver/settlement.ts";
import type { BatchPast } from "../../src/queue/deliver/slot.ts";
import type { UnavailableReason } from "../../src/servicetitan/exchange.ts";
import type { BlockedReason, Outcome } from "../../src/servicetitan/outcome.ts";

const CUT: BatchPast = { asked: false, serverErrors: 0, root: null };
const ASKED: BatchPast = { ...CUT, asked: true };
const PIECE: BatchPast = { ...CUT, root: "7" };
const FAILED_TWICE: BatchPast = { ...CUT, serverErrors: 2 };

const NONE: GateChange = { kind: "none" };
const OPENED: GateChange = { kind: "opened" };
const shut = (reason: string, waitMs: number | null): GateChange => ({ kind: "shut", reason, waitMs });

const unavailable = (reason: "http_503" | "http_500" | "timeout"): Outcome => ({
  kind: "unavailable",
  reason,
  afterMs: null,
});
const missing = (...ids: string[]): Outcome => ({ kind: "partial", failed: [], missing: ids });
const failed = (...ids: string[]): Outcome => ({
  kind: "partial",
  failed: ids.map((externalId) => ({ externalId, accepted: false, message: `no ${externalId}` })),
  missing: [],
});

type Expected = { text: string } & Partial<Settlement>;

/** Outcome × past → fates of four pings, what they carry on, and the two gates. */
const TABLE: [what: string, outcome: Outcome, past: BatchPast, expected: Expected][] = [
  [
    "delivered",
    { kind: "delivered" },
    CUT,
    { text: "dddd", decision: "done", scope: OPENED, destination: OPENED, accepted: true },
  ],
  ["some refused", failed("b"), CUT, { text: "dxdd", decision: "done", scope: OPENED, accepted: true }],
  [
    "all refused one by one",
    failed("a", "b", "c", "d"),
    CUT,
    { text: "xxxx", accepted: false, scope: OPENED },
  ],
  [
    "some missing",
    missing("b", "d"),
    CUT,
    { text: "d1d1", decision: "ask_again", accepted: true, pieces: ASKED },
  ],
  ["some missing again", missing("b", "d"), ASKED, { text: "dxdx", decision: "done", accepted: true }],
  [
    "unreadable",
    missing("a", "b", "c", "d"),
    CUT,
    { text: "1111", decision: "ask_again", accepted: false, pieces: ASKED },
  ],
  [
    "unreadable again",
    missing("a", "b", "c", "d"),
    ASKED,
    {
      text: "1111",
      decision: "ask_again",
      accepted: false,
      pieces: ASKED,
      said: "nothing",
      destination: NONE,
    },
  ],
  [
    "429 with a hint",
    { kind: "throttled", afterMs: 2500 },
    CUT,
    { text: "bbbb", decision: "return", scope: shut("throttled", 2500), destination: NONE },
  ],
  [
    "429 without",
    { kind: "throttled", afterMs: null },
    CUT,
    { text: "bbbb", scope: shut("throttled", null) },
  ],
  [
    "429 with an absurd hint",
    { kind: "throttled", afterMs: 86_400_000 },
    CUT,
    { text: "bbbb", scope: shut("throttled", 600_000) },
  ],
  [
    "429 for a batch that was asked about",
    { kind: "throttled", afterMs: 0 },
    ASKED,
    { text: "1111", decision: "hold", pieces: ASKED },
  ],
  ["503", unavailable("http_503"), CUT, { text: "bbbb", scope: shut("http_503", null), destination: NONE }],
  [
    "timeout of a piece",
    unavailable("timeout"),
    PIECE,
    { text: "1111", pieces: PIECE, scope: shut("timeout", null) },
  ],
  [
    "first 500",
    unavailable("http_500"),
    CUT,
    { text: "1111", decision: "hold", pieces: { ...CUT, serverErrors: 1 }, scope: shut("http_500", null) },
  ],
  [
    "third 500",
    unavailable("http_500"),
    FAILED_TWICE,
    { text: "1122", decision: "bisect", pieces: { ...CUT, root: "now" } },
  ],
  ["500 of a piece", unavailable("http_500"), PIECE, { text: "1122", decision: "bisect", pieces: PIECE }],
  [
    "413",
    { kind: "oversize" },
    CUT,
    {
      text: "1122",
      decision: "halve",
      scope: OPENED,
      byteCap: 4000,
      pieces: { ...CUT, root: "now" },
    },
  ],
  [
    "400",
    { kind: "refused", reason: "bad" },
    CUT,
    {
      text: "1122",
      decision: "bisect",
      refusal: "bad",
      scope: OPENED,
      destination: NONE,
      pieces: { ...CUT, root: "now" },
    },
  ],
  ["400 of a piece", { kind: "refused", reason: "bad" }, PIECE, { text: "1122", pieces: PIECE }],
  [
    "401",
    { kind: "blocked", reason: "unauthorized" },
    CUT,
    { text: "bbbb", decision: "return", scope: NONE, destination: shut("unauthorized", 15_000) },
  ],
];

const IDS = ["a", "b", "c", "d"];

describe("four pings", () => {
  it.each(TABLE)("%s", (_what, outcome, past, { text, ...expected }) => {
    const settlement = settlementOf(outcome, { externalIds: IDS, past, bytes: 8000 });
    expect(settlement).toMatchObject(expected);
    expect(settlement.fates.join("")).toBe(text);
  });

  it("that were refused one by one are dead-lettered with ServiceTitan's words", () => {
    const { deadLetters } = settlementOf(failed("b", "d"), { externalIds: IDS, past: CUT, bytes: 8000 });
    expect(deadLetters).toEqual([
      { at: 1, reason: "failed", message: "no b" },
      { at: 3, reason: "failed", message: "no d" },
    ]);
  });

  it("that were never sent go back, or stay together where they have a past", () => {
    expect(notSent({ externalIds: IDS, past: CUT }).fates.join("")).toBe("bbbb");
    expect(notSent({ externalIds: IDS, past: ASKED }).fates.join("")).toBe("1111");
    expect(notSent({ externalIds: IDS, past: PIECE }).pieces).toEqual(PIECE);
  });
});

describe("a single ping", () => {
  const one = { externalIds: ["a"], bytes: 8000 };
  it("that is refused is a suspect, not yet a dead letter", () => {
    const settlement = settlementOf({ kind: "refused", reason: "bad" }, { ...one, past: PIECE });
    expect(settlement).toMatchObject({ decision: "suspect", fates: ["q"], deadLetters: [], refusal: "bad" });
  });

  it("that is too large is a suspect as well, and no cap is learned from it", () => {
    const settlement = settlementOf({ kind: "oversize" }, { ...one, past: CUT });
    expect(settlement).toMatchObject({ fates: ["q"], deadLetters: [], byteCap: null });
    expect(settlement).toMatchObject({
      suspicion: "oversize",
      refusal: expect.stringContaining("8000 bytes"),
    });
  });

  it("that cannot be taken for a 500 is a suspect after three of them", () => {
    expect(settlementOf(unavailable("http_500"), { ...one, past: FAILED_TWICE }).fates).toEqual(["q"]);
  });
});

describe("whatever the outcome", () => {
  const ids = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 40 });
  const past = fc.record({
    asked: fc.boolean(),
    serverErrors: fc.nat(4),
    root: fc.option(fc.nat(1000).map(String)),
  });
  const outcomeOf = (externalIds: string[]): fc.Arbitrary<Outcome> => {
    const afterMs = fc.option(fc.nat(1_000_000));
    const status = fc.constantFrom<UnavailableReason>(
      "http_500",
      "http_502",
      "http_503",
      "timeout",
      "connection_reset",
      "token_unavailable",
    );
    return fc.oneof(
      fc.constant<Outcome>({ kind: "delivered" }),
      fc
        .array(fc.constantFrom("ok", "fail", "missing"), {
          minLength: externalIds.length,
          maxLength: externalIds.length,
        })
        .map(
          (said): Outcome => ({
            kind: "partial",
            failed: externalIds
              .filter((_, i) => said[i] === "fail")
              .map((externalId) => ({ externalId, accepted: false, message: "" })),
            missing: externalIds.filter((_, i) => said[i] === "missing"),
          }),
        ),
      afterMs.map((ms): Outcome => ({ kind: "throttled", afterMs: ms })),
      fc
        .tuple(status, afterMs)
        .map(([reason, ms]): Outcome => ({ kind: "unavailable", reason, afterMs: ms })),
      fc.constant<Outcome>({ kind: "oversize" }),
      fc.string().map((reason): Outcome => ({ kind: "refused", reason })),
      fc
        .constantFrom<BlockedReason>("unauthorized", "forbidden", "not_found", "redirect")
        .map((reason): Outcome => ({ kind: "blocked", reason })),
    );
  };
  const cases = ids.chain((externalIds) =>
    fc.record({
      externalIds: fc.constant(externalIds),
      past,
      bytes: fc.integer({ min: 300, max: 1_000_000 }),
      outcome: outcomeOf(externalIds),
    }),
  );

  it("every ping has one fate, every dead letter is a ping, and nothing disappears", () => {
    fc.assert(
      fc.property(cases, ({ outcome, ...facts }) => {
        const { fates, deadLetters, pieces, scope, destination, byteCap, accepted } = settlementOf(
          outcome,
          facts,
        );
        expect(fates).toHaveLength(facts.externalIds.length);
        const dead = fates.flatMap((fate, i) => (fate === "x" ? [i] : []));
        expect(deadLetters.map(({ at }) => at)).toEqual(dead);
        expect(accepted).toBe(fates.includes("d"));
        // Both pieces, or the first alone: an empty first piece would leave a hole in the order.
        if (fates.includes("2")) expect(fates).toContain("1");
        // In order: a unit's pings must not change places by being parted.
        if (fates.includes("2")) expect(fates.lastIndexOf("1")).toBeLessThan(fates.indexOf("2"));
        if (fates.includes("q")) expect(fates).toEqual(["q"]);
        // What is not over is kept with what is known of it.
        if (facts.past.asked && fates.includes("1")) expect(pieces.asked).toBe(true);
        if (fates.includes("b")) expect(facts.past).toEqual({ asked: false, serverErrors: 0, root: null });
        for (const gate of [scope, destination]) {
          if (gate.kind === "shut" && gate.waitMs !== null) expect(gate.waitMs).toBeLessThanOrEqual(600_000);
        }
        if (byteCap !== null) expect(byteCap).toBeLessThanOrEqual(Math.max(1024, facts.bytes / 2));
      }),
      { numRuns: 1000 },
    );
  });

  it("a batch that is refused for ever ends in single pings after as many partings as it has bits", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), (n) => {
        let [size, partings] = [n, 0];
        while (size > 1) {
          const { fates } = settlementOf(
            { kind: "refused", reason: "" },
            { externalIds: Array.from({ length: size }, (_, i) => String(i)), past: CUT, bytes: 1 },
          );
          size = fates.filter((fate) => fate === "1").length;
          partings++;
        }
        expect(partings).toBe(Math.ceil(Math.log2(n)));
      }),
    );
  });
});
