/** Devices whose readings are rejected: named with reason, owner and remedy; wrong clocks are told from other causes. */

import { describe, expect, it } from "vitest";
import { diagnoseDevices } from "../../../src/ops/diagnose/devices.ts";
import { REJECTION_REASONS } from "../../../src/reading.ts";
import type { TroubledDevice } from "../../../src/status/queue.ts";

const NOW = 1_764_500_000_000;
const HOUR_MS = 3_600_000;

function troubled(device: string, changes: Partial<TroubledDevice> = {}): TroubledDevice {
  return {
    device,
    since: NOW - 180_000,
    lastAt: NOW - 1000,
    rejected: 3,
    messages: 3,
    good: 0,
    goodInARow: 0,
    goodAt: null,
    reason: "null_island",
    offsetMs: null,
    ...changes,
  };
}
const behind = (ms: number, spread = 0) => ({ least: ms, greatest: ms + spread });
const find = (...devices: TroubledDevice[]) => diagnoseDevices("vans", devices, NOW);

describe("a device whose readings are rejected", () => {
  it("is named with its reason, how many, since when, whose it is and what to do", () => {
    expect(find(troubled("van-7", { reason: "foreign_device", rejected: 5 }))).toEqual([
      {
        kind: "device_rejected",
        severity: "warning",
        where: "source vans",
        whose: "configuration",
        what: "All of 5 positions of device van-7 are rejected as foreign_device: the login they come with may not speak for it.",
        doNext: expect.stringContaining("speaksFor"),
        sinceMs: NOW - 180_000,
        subjects: ["van-7"],
      },
    ]);
  });

  it("is one finding with the others of its reason, and another with those of another", () => {
    const found = find(
      troubled("a"),
      troubled("b", { since: NOW - 190_000 }),
      troubled("c", { reason: "no_fix" }),
    );
    expect(found.map(({ kind, subjects }) => [kind, subjects])).toEqual([
      ["device_rejected", ["a", "b"]],
      ["device_rejected", ["c"]],
    ]);
    expect(found[0]).toMatchObject({ sinceMs: NOW - 190_000 });
    expect(found[0]?.what).toContain("All of 6 positions of 2 devices a, b");
  });

  it("is told when most are rejected, and not when it has a bad moment, is well again, or is silent", () => {
    expect(find(troubled("most", { rejected: 9, good: 4 }))[0]?.what).toContain("9 of 13 positions");
    expect(find(troubled("half", { rejected: 4, good: 4 }))).toEqual([]);
    expect(find(troubled("moment", { rejected: 2 }))).toEqual([]);
    expect(find(troubled("silent", { lastAt: NOW - 15 * 60_000 - 1 }))).toEqual([]);
    expect(find(troubled("talking", { since: NOW - 16 * 60_000, lastAt: NOW - 15 * 60_000 }))).toHaveLength(
      1,
    );
    expect(find()).toEqual([]);
  });

  it("is told after two minutes where it has no fix, and at once where something else is wrong", () => {
    const since = NOW - 120_000;
    for (const reason of ["no_fix", "inaccurate", "incomplete"]) {
      expect(find(troubled("tunnel", { reason, since, lastAt: NOW - 1 }))).toEqual([]);
      expect(find(troubled("garage", { reason, since, lastAt: NOW }))).toHaveLength(1);
    }
    expect(find(troubled("van", { reason: "bad_latitude", since: NOW - 1000 }))).toHaveLength(1);
  });

  it.each(REJECTION_REASONS)("has a remedy and an owner: %s", (reason) => {
    const [found] = find(troubled("van", { reason }));
    expect(found?.what).toMatch(new RegExp(`as ${reason}: `));
    expect(found?.doNext.length).toBeGreaterThan(10);
  });

  it("is told though its reason is of a newer gateway", () => {
    expect(find(troubled("van", { reason: "new_reason" }))[0]).toMatchObject({
      what: "All of 3 positions of device van are rejected as new_reason.",
      doNext: expect.stringContaining("docs/reasons.md"),
    });
  });
});

describe("a clock that is wrong by a constant", () => {
  it.each([
    [behind(5 * HOUR_MS, 20_000), "too_old", "van is 5 h behind"],
    [behind(-5 * HOUR_MS), "in_future", "van is 5 h ahead"],
    [behind(5.5 * HOUR_MS + 90_000), "too_old", "van is 5.5 h behind"],
  ])("of whole half hours is a time zone: %o", (offsetMs, reason, text) => {
    const [found] = find(troubled("van", { reason, offsetMs }));
    expect(found).toMatchObject({ kind: "clock_wrong", subjects: ["van"] });
    expect(found?.what).toContain(text);
    expect(found?.doNext).toContain("time zone");
  });

  it("takes three messages: a device may send at once what it had stored", () => {
    const offsetMs = behind(4.25 * HOUR_MS, 20_000);
    const [found] = find(troubled("van", { reason: "too_old", offsetMs }));
    expect(found).toMatchObject({ kind: "clock_wrong", whose: "device" });
    expect(found?.doNext).not.toContain("time zone");
    expect(find(troubled("van", { reason: "too_old", offsetMs, messages: 2 }))[0]?.kind).toBe(
      "device_rejected",
    );
  });

  it("is none where the offset moves, or the reason has nothing to do with time", () => {
    const moving = behind(5 * HOUR_MS, 30_001);
    expect(find(troubled("van", { reason: "too_old", offsetMs: moving }))[0]?.kind).toBe("device_rejected");
    const steady = behind(5 * HOUR_MS, 30_000);
    expect(find(troubled("van", { reason: "null_island", offsetMs: steady }))[0]?.kind).toBe(
      "device_rejected",
    );
  });
});
