/** Decides when a source's silence is longer than it should be: by its usual pauses, and by the hours in which it sends. */

/** A pause that this share of all pauses does not exceed is usual. */
const USUAL_SHARE = 0.95;
/** Fewer messages say nothing about pauses. */
const MIN_MESSAGES = 5;
/** A source is silent after this many times its usual pause. */
const TIMES_USUAL = 5;
/** Shorter pauses are not counted one by one (see pulse.lua). */
const SHORTEST_PAUSE_MS = 15_000;
const LONGEST_PAUSE = 13;
const HOUR_MS = 3_600_000;
const WEEK_HOURS = 168;

/** The pause that 19 of 20 do not exceed, milliseconds; null while too little is known. */
export function usualGapOf(facts: Readonly<Record<string, string>>, messages: number): number | null {
  if (messages < MIN_MESSAGES) return null;
  const pauses = Array.from({ length: LONGEST_PAUSE + 1 }, (_, n) => Number(facts[`gap:${n}`] ?? 0));
  const long = pauses.reduce((sum, n) => sum + n, 0);
  let within = Math.max(0, messages - 1 - long);
  const enough = USUAL_SHARE * (within + long);
  let gapMs = SHORTEST_PAUSE_MS;
  for (const n of pauses) {
    if (within >= enough) break;
    within += n;
    gapMs *= 2;
  }
  return gapMs;
}

/**
 * When the silence since the last good message becomes a problem, UTC milliseconds since 1970. Only hours count in which
 * the source usually sends, and none beside one in which it does not: fleets begin and end their day within an hour.
 */
export function silentFrom(
  goodAtMs: number,
  usualGapMs: number,
  hours: string | undefined,
  floorMs: number,
): number | null {
  let left = Math.max(floorMs, TIMES_USUAL * usualGapMs);
  let at = goodAtMs;
  // Two weeks ahead: a source that usually sends nothing at all is never too silent.
  for (let looked = 0; looked < 2 * WEEK_HOURS; looked++) {
    const hour = Math.floor(at / HOUR_MS);
    const end = (hour + 1) * HOUR_MS;
    if (isJudged(hours, hour)) {
      if (at + left <= end) return at + left;
      left -= end - at;
    }
    at = end;
  }
  return null;
}

function isJudged(hours: string | undefined, hour: number): boolean {
  return [hour - 1, hour, hour + 1].every((each) => !isQuiet(hours, each));
}

/** An hour of the week that has not come round yet is taken to be like the same hour of the day before. */
function isQuiet(hours: string | undefined, hour: number): boolean {
  if (hours === undefined) return false;
  const levelAt = (at: number) => hours[((at % WEEK_HOURS) + WEEK_HOURS) % WEEK_HOURS];
  const level = levelAt(hour);
  return level === "-" ? levelAt(hour - 24) === "0" : level === "0";
}
