/** Where a pull source goes on reading: written after each page is stored, given up once the vendor has forgotten it. */

import { z } from "zod";
import { parsed } from "../../adapters/kit/pull.ts";

/** Shared by all processes; `queue/` implements it. */
export interface CursorStore {
  /** What was written last; null when nothing was. */
  load(source: string): Promise<string | null>;
  /** Writes `after` if what is there is still `before`; false when another process has written since. */
  replace(source: string, before: string | null, after: string): Promise<boolean>;
}

/** A stretch of time whose fixes were not fetched and cannot be any more; UTC milliseconds since 1970. */
export interface Gap {
  fromMs: number;
  toMs: number;
}

export interface PollCursor {
  /** Null at the first start and after a gap. Rejects while the store cannot be read. */
  get(): Promise<string | null>;
  /** Everything before `cursor` is stored. Rejects while this cannot be written: then the page is read again. */
  moveTo(cursor: string): Promise<void>;
  /** Begins anew; what lies between is lost. */
  giveUp(): Gap;
  /** Longer unused than the vendor remembers it. */
  isExpired(): boolean;
  /** `cursorAtMs`: when the vendor last answered there. */
  state(): { cursorAtMs: number | null; gap: Gap | null };
}

/** As it is written. */
const schema = z.object({
  /** What was asked: another account or other options begin anew. */
  feed: z.string(),
  cursor: z.string().min(1),
  /** When the vendor last answered there. */
  at: z.number(),
  gap: z.object({ from: z.number(), to: z.number() }).nullable(),
});

interface Position {
  /** As it was written last, to notice another process's. */
  text: string | null;
  cursor: string | null;
  atMs: number | null;
  gap: Gap | null;
}

export function createPollCursor({
  source,
  feed,
  lifetimeMs,
  cursors,
}: {
  source: string;
  feed: string;
  lifetimeMs: number | null;
  cursors: CursorStore;
}): PollCursor {
  let here: Position | null = null;

  async function load(): Promise<Position> {
    const text = await cursors.load(source);
    const found = schema.safeParse(text === null ? null : parsed(text)).data;
    if (found?.feed !== feed) return { text, cursor: null, atMs: null, gap: null };
    const { cursor, at, gap } = found;
    return { text, cursor, atMs: at, gap: gap === null ? null : { fromMs: gap.from, toMs: gap.to } };
  }

  return {
    async get() {
      here ??= await load();
      return here.cursor;
    },
    async moveTo(cursor) {
      const { text: before = null, gap = null } = here ?? {};
      const atMs = Date.now();
      const text = written({ feed, cursor, atMs, gap });
      const isOurs = await cursors.replace(source, before, text);
      // Another process has read on meanwhile; everything before its cursor is stored as well.
      here = isOurs ? { text, cursor, atMs, gap } : null;
    },
    giveUp() {
      const toMs = Date.now();
      const gap = { fromMs: here?.atMs ?? toMs, toMs };
      here = { text: here?.text ?? null, cursor: null, atMs: null, gap };
      return gap;
    },
    isExpired: () =>
      lifetimeMs !== null && typeof here?.atMs === "number" && Date.now() - here.atMs > lifetimeMs,
    state: () => ({ cursorAtMs: here?.atMs ?? null, gap: here?.gap ?? null }),
  };
}

function written({
  feed,
  cursor,
  atMs,
  gap,
}: {
  feed: string;
  cursor: string;
  atMs: number;
  gap: Gap | null;
}): string {
  const stretch = gap === null ? null : { from: gap.fromMs, to: gap.toMs };
  return JSON.stringify({ feed, cursor, at: atMs, gap: stretch } satisfies z.input<typeof schema>);
}
