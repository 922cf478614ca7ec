/** Reads a stored timeline: what happened to a device's readings beside delivery (see timeline.lua). */

import { TIMELINE_KIND, type TimelineKind } from "../redis/timeline-kinds.ts";

/** One line: one event, or several of one kind and reason in a row. Times are UTC milliseconds since 1970. */
export interface TimelineLine {
  kind: TimelineKind;
  reason: string;
  count: number;
  firstAt: number;
  lastAt: number;
  /** Of the last of them. */
  fixTime: number | null;
  /** Its receivedAt − fixTime. */
  offsetMs: number | null;
  detail: string;
}

const KINDS = new Map(
  Object.entries(TIMELINE_KIND).map(([kind, character]) => [character, kind as TimelineKind]),
);

/** The oldest first; lines that cannot be read, of a newer gateway, are left out. */
export function readTimeline(text: string): TimelineLine[] {
  return text
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [firstAt, lastAt, count, character = "", reason = "", fixTime, offset, detail = ""] =
        line.split("\t");
      const kind = KINDS.get(character as (typeof TIMELINE_KIND)[TimelineKind]);
      if (kind === undefined) return [];
      return [
        {
          kind,
          reason,
          count: Number(count),
          firstAt: Number(firstAt),
          lastAt: Number(lastAt),
          fixTime: numberOrNull(fixTime),
          offsetMs: numberOrNull(offset),
          detail,
        },
      ];
    });
}

function numberOrNull(text: string | undefined): number | null {
  return text ? Number(text) : null;
}
