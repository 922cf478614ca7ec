/** Puts what a message's timelines tell beside its readings into the form that store.lua reads. */

import type { DeviceRejections, RefusalReason } from "../../ingest/store.ts";
import { namedArgs } from "../redis/script.ts";
import { TIMELINE_KIND } from "../redis/timeline-kinds.ts";

/** The device that stands for the source itself: messages that name none. */
export const SOURCE_ITSELF = "";

/** One event; `""` where there is no such number. */
export type Told = [
  device: string,
  kind: string,
  reason: string,
  count: number,
  fixTime: number | "",
  leastOffsetMs: number | "",
  greatestOffsetMs: number | "",
  detail: string,
];

export function toldText(told: readonly Told[]): string {
  return told.length === 0 ? "" : namedArgs(told);
}

const MAX_REASON_CHARS = 64;
const MAX_DETAIL_CHARS = 160;
/** What would break a line of the timeline, or its columns. */
const BREAKS = /[\p{Cc}\u2028\u2029]+/gu;

/** A text from outside in one short line. */
export function inOneLine(text: string, most = MAX_DETAIL_CHARS): string {
  return text.slice(0, most).replace(BREAKS, " ").trim();
}

export function rejectionTold({ device, reason, count, fixTime, offsetMs, path }: DeviceRejections): Told {
  const { least = "", greatest = "" } = offsetMs ?? {};
  return [
    device ?? SOURCE_ITSELF,
    TIMELINE_KIND.rejected,
    reason,
    count,
    fixTime ?? "",
    least,
    greatest,
    inOneLine(path),
  ];
}

export function ignoredTold(what: string): Told {
  return ofSource(TIMELINE_KIND.ignored, inOneLine(what, MAX_REASON_CHARS), 1, "");
}

export function handshakeTold(): Told {
  return ofSource(TIMELINE_KIND.handshake, "", 1, "");
}

export function refusalTold(reason: RefusalReason, why: string, from: string, count: number): Told {
  const because = why === reason ? "" : `${why} `;
  const whence = from === "" ? "" : `from ${from}`;
  return ofSource(TIMELINE_KIND.refused, reason, count, inOneLine(because + whence));
}

/** Its readings were stored in another scope; here it may be in trouble, which they end. */
export function goodTold(device: string): Told {
  return [device, "good", "", 1, "", "", "", ""];
}

function ofSource(kind: string, reason: string, count: number, detail: string): Told {
  return [SOURCE_ITSELF, kind, reason, count, "", "", "", detail];
}
