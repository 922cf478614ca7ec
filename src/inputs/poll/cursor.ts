/** Where a pull source goes on reading: stored after each page is kept, given up once the vendor has forgotten it. */

import { z } from "zod";
import { parsed } from "../../adapters/kit/pull.ts";

/** Between processes; `queue/` has it. */
export interface CursorStore {
  /** What was stored last; null when nothing was. */
  load(source: string): Promise<string | null>;
  /** Stores `after` if what is there is still `before`; false when another process has stored since. */
  replace(source: string, before: string | null, after: string): Promise<boolean>;
}

/** A stretch of time whose fixes were not fetched and cannot be any more; UTC milliseconds since 1970. */
export interface Gap {
  from: number;
  to: number;
}

export interface PollCursor {
  /** Null at the first start and after a gap. Rejects while the store cannot be read. */
  get(): Promise<string | null>;
  /** Everything before `cursor` is kept. Rejects while the store cannot be written: then the page is read again. */
  moveTo(cursor: string): Promise<void>;
  /** Begins anew; what lies between is lost. */
  giveUp(): Gap;
  /** Longer unused than the vendor remembers it. */
  isExpired(): boolean;
  state(): { at: number | null; gap: Gap | null };
}

const schema = z.object({
  /** What was asked: another account or other options begin anew. */
  feed: z.string(),
  cursor: z.string().min(1),
  /** When the vendor last answered there. */
  at: z.number(),
  gap: z.object({ from: z.number(), to: z.number() }).nullable(),
});

interface Position {
  /** What the store holds for it. */
  text: string | null;
  cursor: string | null;
  at: number | null;
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
    if (found?.feed !== feed) return { text, cursor: null, at: null, gap: null };
    const { cursor, at, gap } = found;
    return { text, cursor, at, gap };
  }

  return {
    async get() {
      here ??= await load();
      return here.cursor;
    },
    async moveTo(cursor) {
      const { text: before = null, gap = null } = here ?? {};
      const at = Date.now();
      const text = JSON.stringify({ feed, cursor, at, gap });
      const isOurs = await cursors.replace(source, before, text);
      // Another process has read on meanwhile; where it stands, everything before is kept as well.
      here = isOurs ? { text, cursor, at, gap } : null;
    },
    giveUp() {
      const now = Date.now();
      const gap = { from: here?.at ?? now, to: now };
      here = { text: here?.text ?? null, cursor: null, at: null, gap };
      return gap;
    },
    isExpired: () => lifetimeMs !== null && typeof here?.at === "number" && Date.now() - here.at > lifetimeMs,
    state: () => ({ at: here?.at ?? null, gap: here?.gap ?? null }),
  };
}
