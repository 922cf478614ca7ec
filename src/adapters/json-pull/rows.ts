/** The rows of an answer on their way into a message: each with its device, and only those that say something new. */

import type { Problems } from "../kit/each.ts";
import { isRecord } from "../kit/fields.ts";
import type { PullContext } from "../kit/pull.ts";
import { changedRows, type Sent } from "../kit/unchanged.ts";
import { textOf } from "./lookup.ts";
import type { Round, Session } from "./round.ts";
import type { PullSettings } from "./settings.ts";
import type { Id } from "./template.ts";

/** One reading of an answer, as it is written into the message. */
export interface Row {
  /** Where it stands: in the answer, or in the message made of it. */
  path: string;
  value: unknown;
  /** Where the readings are an object by device. */
  key?: string;
  /** The device by the look-up, or the id that was asked for. */
  device?: string;
}

/** How the readings of an answer are found and told apart; the source's options know it. */
export interface RowReading {
  rowsOf(answer: unknown): Row[] | Problems;
  /** What of the answer beside its rows is needed to read them; undefined: nothing. */
  factsOf(answer: unknown): unknown;
  /** The value in a row whose device the look-up knows; undefined: rows name their device themselves. */
  lookedUp?: (row: Row) => unknown;
  /** The device of a row is the id that was asked for. */
  isAsked: boolean;
  stateOf(row: Row, facts: unknown, now: number): RowState;
}

/** What a row says, for change detection. */
export type RowState =
  | { kind: "state"; device: string; time: string; state: string; fixTime: number | null }
  /** The row is none, such as a device that never had a fix. */
  | { kind: "nothing" }
  /** It cannot be told, so it is sent each time: an operator has to see it. */
  | { kind: "unknown" };

export type Context = PullContext<Session, RowReading>;

interface Named {
  rows: Row[];
  /** A row names a device that the look-up does not know. */
  isMissingOne: boolean;
  /** It was left out for that, so that it has to be asked for again. */
  holdsBack: boolean;
}

/** Each row with its device, where that comes from the look-up or from what was asked. */
export function namedRows(
  rows: readonly Row[],
  { options: reading, session }: Context,
  { startedAtMs }: Round,
  [asked]: readonly Id[],
): Named {
  if (reading.isAsked)
    return {
      rows: rows.map((row) => ({ ...row, ...(asked !== undefined && { device: String(asked) }) })),
      isMissingOne: false,
      holdsBack: false,
    };
  const { lookedUp } = reading;
  if (!lookedUp) return { rows: [...rows], isMissingOne: false, holdsBack: false };
  const known = session?.known ?? null;
  const isFresh = known !== null && startedAtMs - known.at < FRESH_MS;
  let isMissingOne = false;
  let holdsBack = false;
  const named = rows.flatMap((row): Row[] => {
    const id = textOf(lookedUp(row));
    const device = id === null ? undefined : known?.devices.get(id);
    if (device !== undefined) return [{ ...row, device }];
    isMissingOne ||= id !== null;
    // The look-up is asked again first; a device that it does not know even then is let through, and rejected by name.
    const isLetThrough = id === null || isFresh;
    holdsBack ||= !isLetThrough;
    return isLetThrough ? [row] : [];
  });
  return { rows: named, isMissingOne, holdsBack };
}
/** Of a look-up, at the beginning of a round however long that takes: a device that is missing in it is not there. */
const FRESH_MS = 120_000;

/** A snapshot is compared by device; where time goes on, a fix that comes twice in the overlap is known by its time. */
export function changesOf(
  rows: readonly Row[],
  facts: unknown,
  { window, feed }: PullSettings,
  { options: reading, session, now, since }: Context,
) {
  const sent: Sent = session?.sent ?? new Map();
  const isSnapshot = !window && !feed;
  const meant = rows
    .map((row) => ({ row, is: reading.stateOf(row, facts, now) }))
    .filter(({ is }) => is.kind !== "nothing");
  const changed = changedRows(
    meant,
    ({ is }) => {
      if (is.kind !== "state") return null;
      const { device, time, state, fixTime } = is;
      return isSnapshot
        ? { device, state: `${time} ${state}`, fixTime }
        : { device: `${device} ${time}`, state, fixTime: null };
    },
    sent,
    since,
  );
  return {
    rows: changed.rows.map(({ row }) => row),
    sent: changed.sent,
    unchanged: meant.length - changed.rows.length,
  };
}

/** The message that goes to ingest: the rows that say something new, and what is needed to read them. */
export function messageOf(rows: readonly Row[], facts: unknown): string {
  const sent = rows.map(({ path: _, ...row }) => row);
  return JSON.stringify({ polled: { rows: sent, ...(facts !== undefined && { facts }) } });
}

/** The rows of a message that a poller wrote; null for an answer of the vendor as it is. */
export function polledRows(raw: unknown): { rows: Row[]; facts: unknown } | null {
  if (!isRecord(raw) || Object.keys(raw).length !== 1 || !isRecord(raw.polled)) return null;
  const { rows, facts } = raw.polled;
  if (!Array.isArray(rows) || !rows.every(isRow)) return null;
  return { rows: rows.map((row, index) => ({ ...row, path: `polled.rows[${index}].value` })), facts };
}

function isRow(row: unknown): row is Omit<Row, "path"> {
  return isRecord(row) && "value" in row;
}
