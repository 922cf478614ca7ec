/** Writes a length of time, and a time of day, the way a person would. */

import { iso } from "../../time.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** One unit, the largest of which there are at least two: `90 s`, `14 min`, `5 h`, `3 days`. */
export function durationText(durationMs: number): string {
  const ms = Math.abs(durationMs);
  if (Math.round(ms / SECOND_MS) < 120) return `${Math.round(ms / SECOND_MS)} s`;
  if (Math.round(ms / MINUTE_MS) < 120) return `${Math.round(ms / MINUTE_MS)} min`;
  if (Math.round(ms / HOUR_MS) < 48) return `${Math.round(ms / HOUR_MS)} h`;
  return `${Math.round(ms / DAY_MS)} days`;
}

/** `15:44 UTC`, with the date where it is more than a day ago. */
export function timeText(ms: number, nowMs: number): string {
  const text = iso(ms);
  const time = `${text.slice(11, 16)} UTC`;
  return nowMs - ms < DAY_MS ? time : `${text.slice(0, 10)} ${time}`;
}
