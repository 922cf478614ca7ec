/** A source's problems before store, decided by its last minutes and its own usual. */

import { describe, expect, it } from "vitest";
import { diagnoseSource } from "../../../src/ops/diagnose/source.ts";
import type { BadRun, SourcePulse, SourceStatus, TroubledDevice } from "../../../src/status/queue.ts";
import { AT, before, PULSE, source } from "../sample.ts";

const NOW = Date.parse(AT);
const sending = (pulse: Partial<SourcePulse>, changes: Partial<SourceStatus> = {}) =>
  diagnoseSource(source({ ...changes, pulse: { ...PULSE, ...pulse } }), NOW);
const row = (run: number, share = 1, changes: Partial<BadRun> = {}): BadRun => ({
  run,
  since: before(90_000),
  lastAt: before(1000),
  share,
  ...changes,
});
const withoutFix = (device: string): TroubledDevice => ({
  ...{ device, since: NOW - 5000, lastAt: NOW, rejected: 3, messages: 3, good: 0, goodInARow: 0 },
  ...{ goodAt: null, reason: "no_fix", offsetMs: null },
});
/** As many messages before, all good. */
const GOOD_HOUR = { messages: 720, decoded: 720, readings: 720, stored: 720 };

describe("messages refused", () => {
  it("are nothing while the source sends good ones only", () => {
    expect(diagnoseSource(source(), NOW)).toEqual([]);
  });

  it("are an error three in a row after any number of good ones, since the first of them", () => {
    const last15Min = { messages: 143, refused: 3, "refused:unauthenticated": 3 };
    const found = sending({ refusals: row(3), last15Min });
    expect(found).toMatchObject([
      {
        kind: "authentication_failing",
        severity: "error",
        where: "source bouncie-vans",
        whose: "configuration",
        sinceMs: NOW - 90_000,
      },
    ]);
    expect(found[0]?.what).toMatch(/last 3 messages were all refused \(unauthenticated\)/);
    expect(found[0]?.doNext).toMatch(/secret/);
    expect(sending({ refusals: row(2), last15Min })).toEqual([]);
    expect(sending({ refusals: row(0, 0.1), last15Min })).toEqual([]);
  });

  it("are an error from the first where no good one ever came", () => {
    const never = { lastGoodAt: null, usualGapMs: null, silentFrom: null };
    const found = sending(
      { ...never, refusals: row(1) },
      { accounting: { ...source().accounting, messages: 1, refused: 1 } },
    );
    expect(found.map(({ what }) => what).join()).toMatch(/Every one of 1 messages was refused/);
  });

  it("are told to come after a handshake where nothing but that was good", () => {
    const [found] = sending({ refusals: row(4), challengedAt: before(60_000), lastGoodAt: before(60_000) });
    expect(found?.what).toMatch(/handshake.*only failed since/);
    const [other] = sending({ refusals: row(4), challengedAt: before(600_000), lastGoodAt: before(60_000) });
    expect(other?.what).not.toMatch(/handshake/);
  });

  it("are a warning where many are among good ones, until 45 s after the last", () => {
    const many = { messages: 40, refused: 20, "refused:unauthenticated": 20 };
    const some = (changes: Partial<BadRun>) =>
      sending({ refusals: row(0, 0.5, changes), last5Min: many, last15Min: many });
    expect(some({})).toMatchObject([{ kind: "authentication_partly_failing", severity: "warning" }]);
    expect(some({ lastAt: before(46_000) })).toEqual([]);
    expect(some({ share: 0.1 })).toEqual([]);
  });

  it("are the vendor's to mend where it is not about the secret", () => {
    const last15Min = { messages: 9, refused: 9, "refused:too_large": 9 };
    expect(sending({ refusals: row(9), last15Min })).toMatchObject([{ whose: "vendor" }]);
  });
});

describe("readings rejected", () => {
  const old = (n: number) => ({ readings: n, rejected: n, "rejected:too_old": n });

  it("are an error three in a row, with the reason and what to do about it", () => {
    const found = sending({ rejections: row(3), last5Min: old(3), last15Min: old(3), last60Min: GOOD_HOUR });
    expect(found).toMatchObject([{ kind: "readings_rejected", severity: "error", sinceMs: NOW - 90_000 }]);
    expect(found[0]?.what).toMatch(/last 3 positions was rejected \(too_old\)/);
    expect(found[0]?.doNext).toMatch(/maxAgeMs/);
  });

  it("are told after two minutes where a receiver has no fix: tunnels are shorter", () => {
    const lost = (since: string, troubled: TroubledDevice[] = []) =>
      sending(
        { rejections: row(9, 1, { since }), last15Min: { rejected: 9, "rejected:no_fix": 9 } },
        { troubled },
      );
    expect(lost(before(90_000))).toEqual([]);
    expect(lost(before(130_000))).toMatchObject([{ kind: "readings_rejected", whose: "device" }]);
    // Not all vehicles are in one tunnel.
    expect(lost(before(5000), ["a", "b", "c"].map(withoutFix))).toHaveLength(1);
  });

  it("are a row of many where the source often has some rejected", () => {
    // Six of ten of the hour before this row.
    const usual = (run: number) => ({ readings: 1000 + run, rejected: 600 + run });
    const rows = (run: number) =>
      sending({ rejections: row(run), last15Min: old(run), last60Min: usual(run) }).length;
    expect(rows(20)).toBe(0);
    expect(rows(30)).toBe(1);
  });

  it("are a warning where most are, more than usually, and end with the cure", () => {
    const most = { readings: 40, rejected: 30, "rejected:no_fix": 30 };
    const some = (last60Min: SourcePulse["last60Min"], changes: Partial<BadRun> = {}) =>
      sending({ rejections: row(0, 0.75, changes), last5Min: most, last15Min: most, last60Min });
    expect(some({ readings: 760, rejected: 30 })).toMatchObject([
      { kind: "readings_rejected", severity: "warning", whose: "device" },
    ]);
    expect(some({ readings: 760, rejected: 500 })).toEqual([]);
    // Of a source that began in these minutes nothing is usual.
    expect(some(most)).toHaveLength(1);
    expect(some(most)[0]?.what).not.toMatch(/hour before/);
    expect(some({ readings: 760, rejected: 30 }, { lastAt: before(50_000) })).toEqual([]);
    expect(some({ readings: 760, rejected: 30 }, { share: 0.4 })).toEqual([]);
  });

  it("do not become usual by lasting, where it is no matter of the sky", () => {
    const most = { readings: 40, rejected: 30, "rejected:too_old": 30 };
    const last60Min = { readings: 480, rejected: 360, "rejected:too_old": 360 };
    const found = sending({ rejections: row(0, 0.75), last5Min: most, last15Min: most, last60Min });
    expect(found[0]?.what).toMatch(/30 of 40 positions .* most as too_old; in the hour before it was 75 %/);
  });
});

describe("silence", () => {
  const silent = { lastGoodAt: before(400_000), silentFrom: before(100_000) };

  it("is a problem when it is due, since the last good message", () => {
    const found = sending(silent);
    expect(found).toMatchObject([{ kind: "source_silent", whose: "vendor", sinceMs: NOW - 400_000 }]);
    expect(found[0]?.what).toMatch(/nothing for 7 min.*every 15 s/);
    expect(sending({ ...silent, silentFrom: before(-1) })).toEqual([]);
    expect(sending({ ...silent, silentFrom: null })).toEqual([]);
  });

  it("is no silence where messages come and are refused", () => {
    expect(sending({ ...silent, refusals: row(5) })).toMatchObject([{ kind: "authentication_failing" }]);
  });
});
