/** A keep in memory for tests of the ways in: it can be slow, refuse, or break on request. */

import type { Keep, KeepEntry, KeepVerdict, RefusalReason } from "../../src/ingest/ingest.ts";

export interface MemoryKeep extends Keep {
  entries: KeepEntry[];
  refusals: { source: string; reason: RefusalReason }[];
  /** Readings kept, in the order in which keep finished with them. */
  kept(): { source: string; deviceId: string; fixTime: number }[];
  /** Calls under way. */
  waiting(): number;
  /** Runs before an entry is stored: wait in it to be slow, throw in it to fail. */
  before: (entry: KeepEntry) => Promise<void> | void;
}

export function memoryKeep(): MemoryKeep {
  const seen = new Set<string>();
  let waiting = 0;
  const memory: MemoryKeep = {
    entries: [],
    refusals: [],
    before: () => {},
    waiting: () => waiting,
    kept: () =>
      memory.entries.flatMap((entry) =>
        entry.kind === "read"
          ? entry.readings.map(({ deviceId, fixTime }) => ({ source: entry.source, deviceId, fixTime }))
          : [],
      ),
    async keep(entry): Promise<KeepVerdict> {
      waiting += 1;
      try {
        await memory.before(entry);
      } finally {
        waiting -= 1;
      }
      memory.entries.push(entry);
      const verdict = { kept: 0, duplicates: 0, rejections: new Map() };
      if (entry.kind !== "read") return verdict;
      for (const { deviceId, fixTime } of entry.readings) {
        const key = `${entry.source} ${deviceId} ${fixTime}`;
        if (seen.has(key)) verdict.duplicates += 1;
        else verdict.kept += 1;
        seen.add(key);
      }
      return verdict;
    },
    refuse: (source, reason) => void memory.refusals.push({ source, reason }),
  };
  return memory;
}

/** A door that callers wait at until it is opened; opening it twice does nothing. */
export function door(): { opened: Promise<void>; open(): void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}
