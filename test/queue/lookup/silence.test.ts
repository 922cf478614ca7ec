/** When silence is longer than usual: pauses, hours of the day and the weekend. */

import { describe, expect, it } from "vitest";
import { silentFrom, usualGapOf } from "../../../src/queue/lookup/silence.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** A Thursday, midnight UTC. */
const THURSDAY = Date.UTC(2026, 10, 26);
const WEEK = 168;
const hourOf = (ms: number) => Math.floor(ms / HOUR) % WEEK;

/** A week as pulse.lua writes it, by the hour since `THURSDAY`. */
function week(level: (hour: number, day: number) => "0" | "3" | "-"): string {
  const hours = Array<string>(WEEK).fill("-");
  for (let n = 0; n < WEEK; n++) hours[hourOf(THURSDAY + n * HOUR)] = level(n % 24, Math.floor(n / 24));
  return hours.join("");
}

/** From 7 to 18, on weekdays: Thursday is day 0, Saturday and Sunday are 2 and 3. */
const working = week((hour, day) => (hour >= 7 && hour < 18 && day !== 2 && day !== 3 ? "3" : "0"));

describe("the usual pause", () => {
  it("is unknown of fewer than five messages, and short where none was 15 s", () => {
    expect(usualGapOf({}, 4)).toBeNull();
    expect(usualGapOf({}, 100)).toBe(15_000);
  });

  it("is what 19 of 20 pauses do not exceed: a night among a thousand does not count", () => {
    expect(usualGapOf({ "gap:1": "50" }, 51)).toBe(60_000);
    expect(usualGapOf({ "gap:11": "1" }, 1000)).toBe(15_000);
    expect(usualGapOf({ "gap:6": "10" }, 11)).toBe(32 * MINUTE);
  });
});

describe("silence is due", () => {
  it("after five times the usual pause, and not before the floor", () => {
    expect(silentFrom(THURSDAY, 15_000, undefined, 5 * MINUTE)).toBe(THURSDAY + 5 * MINUTE);
    expect(silentFrom(THURSDAY, 4 * MINUTE, undefined, 5 * MINUTE)).toBe(THURSDAY + 20 * MINUTE);
    expect(
      silentFrom(
        THURSDAY,
        HOUR,
        week(() => "3"),
        5 * MINUTE,
      ),
    ).toBe(THURSDAY + 5 * HOUR);
  });

  it("at noon as ever, and in the evening not before the next morning has begun", () => {
    const noon = THURSDAY + 12 * HOUR;
    expect(silentFrom(noon, 15_000, working, 5 * MINUTE)).toBe(noon + 5 * MINUTE);
    const evening = THURSDAY + 17.9 * HOUR;
    // 7 to 8 is the first hour of the day, in which fleets begin.
    expect(silentFrom(evening, 15_000, working, 5 * MINUTE)).toBe(THURSDAY + 32 * HOUR + 5 * MINUTE);
  });

  it("after the weekend where the last message came on Friday evening", () => {
    const friday = THURSDAY + 24 * HOUR + 17 * HOUR;
    const monday = THURSDAY + 4 * 24 * HOUR;
    expect(silentFrom(friday, 15_000, working, 5 * MINUTE)).toBe(monday + 8 * HOUR + 5 * MINUTE);
  });

  it("by the day before, while a weekday is not known yet", () => {
    const firstDay = week((hour, day) => (day > 0 ? "-" : hour >= 7 && hour < 18 ? "3" : "0"));
    expect(silentFrom(THURSDAY + 17.5 * HOUR, 15_000, firstDay, 5 * MINUTE)).toBe(
      THURSDAY + 32 * HOUR + 5 * MINUTE,
    );
  });

  it("never of a source that usually sends nothing", () => {
    expect(
      silentFrom(
        THURSDAY,
        15_000,
        week(() => "0"),
        5 * MINUTE,
      ),
    ).toBeNull();
  });
});
