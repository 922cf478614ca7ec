/** A store in memory for tests of the inputs: it can be slow, refuse, or break on request. */

import type { RefusalReason, Store, StoreEntry, StoreVerdict } from "../../src/ingest/store.ts";

export interface MemoryStore extends Store {
  entries: StoreEntry[];
  refusals: { source: string; reason: RefusalReason }[];
  /** Readings stored, in the order in which `add` finished with them. */
  stored(): { source: string; deviceId: string; fixTime: number }[];
  /** Calls under way. */
  waiting(): number;
  /** Runs before an entry is stored: wait in it to be slow, throw in it to fail. */
  before: (entry: StoreEntry) => Promise<void> | void;
}

export function memoryStore(): MemoryStore {
  const seen = new Set<string>();
  let waiting = 0;
  const memory: MemoryStore = {
    entries: [],
    refusals: [],
    before: () => {},
    waiting: () => waiting,
    stored: () =>
      memory.entries.flatMap((entry) =>
        entry.kind === "decoded"
          ? entry.readings.map(({ deviceId, fixTime }) => ({ source: entry.source, deviceId, fixTime }))
          : [],
      ),
    async add(entry): Promise<StoreVerdict> {
      waiting += 1;
      try {
        await memory.before(entry);
      } finally {
        waiting -= 1;
      }
      memory.entries.push(entry);
      const verdict = { stored: 0, duplicates: 0, rejections: new Map() };
      if (entry.kind !== "decoded") return verdict;
      for (const { deviceId, fixTime } of entry.readings) {
        const key = `${entry.source} ${deviceId} ${fixTime}`;
        if (seen.has(key)) verdict.duplicates += 1;
        else verdict.stored += 1;
        seen.add(key);
      }
      return verdict;
    },
    refuse: (source, reason) => void memory.refusals.push({ source, reason }),
  };
  return memory;
}

/** Callers wait for `opened` until `open` is called; calling it twice does nothing. */
export function door(): { opened: Promise<void>; open(): void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}
