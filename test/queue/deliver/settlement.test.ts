/** What each outcome means for a batch's pings and for the gates: the table, and what holds for all of it. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type GateChange,
  notSent,
  type Settlement,
  settlementOf,
} from "../../../src/queue/deliver/settlement.ts";
import type { BatchPast } from "../../../src/queue/deliver/slot.ts";
import type { UnavailableReason } from "../../../src/servicetitan/exchange.ts";
import type { BlockedReason, Outcome } from "../../../src/servicetitan/outcome.ts";

const NEW: BatchPast = { asked: false, serverErrors: 0, root: null };
const ASKED: BatchPast = { ...NEW, asked: true };
const PIECE: BatchPast = { ...NEW, root: "7" };
const FAILED_TWICE: BatchPast = { ...NEW, serverErrors: 2 };

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

/** Outcome × past → dispositions of four pings, what they carry on, and the two gates. */
const TABLE: [what: string, outcome: Outcome, past: BatchPast, expected: Expected][] = [
  [
    "delivered",
    { kind: "delivered" },
    NEW,
    { text: "dddd", decision: "done", scopeGate: OPENED, gate: OPENED, accepted: true },
  ],
  ["some refused", failed("b"), NEW, { text: "dxdd", decision: "done", scopeGate: OPENED, accepted: true }],
  [
    "all refused one by one",
    failed("a", "b", "c", "d"),
    NEW,
    { text: "xxxx", accepted: false, scopeGate: OPENED },
  ],
  [
    "some missing",
    missing("b", "d"),
    NEW,
    { text: "d1d1", decision: "ask_again", accepted: true, pieces: ASKED },
  ],
  ["some missing again", missing("b", "d"), ASKED, { text: "dxdx", decision: "done", accepted: true }],
  [
    "unreadable",
    missing("a", "b", "c", "d"),
    NEW,
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
      gate: NONE,
    },
  ],
  [
    "429 with a hint",
    { kind: "throttled", afterMs: 2500 },
    NEW,
    { text: "bbbb", decision: "return", scopeGate: shut("throttled", 2500), gate: NONE },
  ],
  [
    "429 without",
    { kind: "throttled", afterMs: null },
    NEW,
    { text: "bbbb", scopeGate: shut("throttled", null) },
  ],
  [
    "429 with an absurd hint",
    { kind: "throttled", afterMs: 86_400_000 },
    NEW,
    { text: "bbbb", scopeGate: shut("throttled", 600_000) },
  ],
  [
    "429 for a batch that was asked about",
    { kind: "throttled", afterMs: 0 },
    ASKED,
    { text: "1111", decision: "hold", pieces: ASKED },
  ],
  ["503", unavailable("http_503"), NEW, { text: "bbbb", scopeGate: shut("http_503", null), gate: NONE }],
  [
    "timeout of a piece",
    unavailable("timeout"),
    PIECE,
    { text: "1111", pieces: PIECE, scopeGate: shut("timeout", null) },
  ],
  [
    "first 500",
    unavailable("http_500"),
    NEW,
    {
      text: "1111",
      decision: "hold",
      pieces: { ...NEW, serverErrors: 1 },
      scopeGate: shut("http_500", null),
    },
  ],
  [
    "third 500",
    unavailable("http_500"),
    FAILED_TWICE,
    { text: "1122", decision: "bisect", pieces: { ...NEW, root: "now" } },
  ],
  ["500 of a piece", unavailable("http_500"), PIECE, { text: "1122", decision: "bisect", pieces: PIECE }],
  [
    "413",
    { kind: "oversize" },
    NEW,
    {
      text: "1122",
      decision: "halve",
      scopeGate: OPENED,
      byteCap: 4000,
      pieces: { ...NEW, root: "now" },
    },
  ],
  [
    "400",
    { kind: "refused", reason: "bad" },
    NEW,
    {
      text: "1122",
      decision: "bisect",
      refusal: "bad",
      scopeGate: OPENED,
      gate: NONE,
      pieces: { ...NEW, root: "now" },
    },
  ],
  ["400 of a piece", { kind: "refused", reason: "bad" }, PIECE, { text: "1122", pieces: PIECE }],
  [
    "401",
    { kind: "blocked", reason: "unauthorized" },
    NEW,
    { text: "bbbb", decision: "return", scopeGate: NONE, gate: shut("unauthorized", 15_000) },
  ],
];

const IDS = ["a", "b", "c", "d"];

describe("four pings", () => {
  it.each(TABLE)("%s", (_what, outcome, past, { text, ...expected }) => {
    const settlement = settlementOf(outcome, { externalIds: IDS, past, bytes: 8000 });
    expect(settlement).toMatchObject(expected);
    expect(settlement.dispositions.join("")).toBe(text);
  });

  it("that were refused one by one are dead-lettered with ServiceTitan's words", () => {
    const { deadLetters } = settlementOf(failed("b", "d"), { externalIds: IDS, past: NEW, bytes: 8000 });
    expect(deadLetters).toEqual([
      { at: 1, reason: "failed", message: "no b" },
      { at: 3, reason: "failed", message: "no d" },
    ]);
  });

  it("that were never sent go back, or stay together where they have a past", () => {
    expect(notSent({ externalIds: IDS, past: NEW }).dispositions.join("")).toBe("bbbb");
    expect(notSent({ externalIds: IDS, past: ASKED }).dispositions.join("")).toBe("1111");
    expect(notSent({ externalIds: IDS, past: PIECE }).pieces).toEqual(PIECE);
  });
});

describe("a single ping", () => {
  const one = { externalIds: ["a"], bytes: 8000 };
  it("that is refused is isolated, not yet dead-lettered", () => {
    const settlement = settlementOf({ kind: "refused", reason: "bad" }, { ...one, past: PIECE });
    expect(settlement).toMatchObject({
      decision: "isolate",
      dispositions: ["q"],
      deadLetters: [],
      refusal: "bad",
    });
  });

  it("that is too large is isolated as well, and no cap is learned from it", () => {
    const settlement = settlementOf({ kind: "oversize" }, { ...one, past: NEW });
    expect(settlement).toMatchObject({ dispositions: ["q"], deadLetters: [], byteCap: null });
    expect(settlement).toMatchObject({
      refusedAs: "oversize",
      refusal: expect.stringContaining("8000 bytes"),
    });
  });

  it("that gets a 500 three times is isolated", () => {
    expect(settlementOf(unavailable("http_500"), { ...one, past: FAILED_TWICE }).dispositions).toEqual(["q"]);
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

  it("every ping has one disposition, every dead letter is a ping, and nothing disappears", () => {
    fc.assert(
      fc.property(cases, ({ outcome, ...facts }) => {
        const {
          dispositions,
          deadLetters,
          pieces,
          scopeGate,
          gate: own,
          byteCap,
          accepted,
        } = settlementOf(outcome, facts);
        expect(dispositions).toHaveLength(facts.externalIds.length);
        const dead = dispositions.flatMap((disposition, i) => (disposition === "x" ? [i] : []));
        expect(deadLetters.map(({ at }) => at)).toEqual(dead);
        expect(accepted).toBe(dispositions.includes("d"));
        // Both pieces, or the first alone: an empty first piece would leave a hole in the order.
        if (dispositions.includes("2")) expect(dispositions).toContain("1");
        // In order: a unit's pings must not change places by being split.
        if (dispositions.includes("2"))
          expect(dispositions.lastIndexOf("1")).toBeLessThan(dispositions.indexOf("2"));
        if (dispositions.includes("q")) expect(dispositions).toEqual(["q"]);
        // What has not ended stays with what is known of it.
        if (facts.past.asked && dispositions.includes("1")) expect(pieces.asked).toBe(true);
        if (dispositions.includes("b"))
          expect(facts.past).toEqual({ asked: false, serverErrors: 0, root: null });
        for (const gate of [scopeGate, own]) {
          if (gate.kind === "shut" && gate.waitMs !== null) expect(gate.waitMs).toBeLessThanOrEqual(600_000);
        }
        if (byteCap !== null) expect(byteCap).toBeLessThanOrEqual(Math.max(1024, facts.bytes / 2));
      }),
      { numRuns: 1000 },
    );
  });

  it("a batch that is refused for ever ends in single pings after as many splits as it has bits", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), (n) => {
        let [size, splits] = [n, 0];
        while (size > 1) {
          const { dispositions } = settlementOf(
            { kind: "refused", reason: "" },
            { externalIds: Array.from({ length: size }, (_, i) => String(i)), past: NEW, bytes: 1 },
          );
          size = dispositions.filter((disposition) => disposition === "1").length;
          splits++;
        }
        expect(splits).toBe(Math.ceil(Math.log2(n)));
      }),
    );
  });
});
