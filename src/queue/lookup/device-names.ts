/** Names the devices that a source has ever sent, read from Redis in slices and kept while somebody types. */

import type { Redis } from "ioredis";
import { LRUCache } from "lru-cache";
import { loadScript, namedArgs, runScript } from "../redis/script.ts";

const DEVICE_NAMES = loadScript("device-names");

/** Where devices are known: `seen` has those that were stored, `timeline` those that never were; older gateways wrote neither. */
const HASHES = ["seen", "timeline", "fingerprints"] as const;
/** A person types a word in less. */
const KEPT_MS = 10_000;
/** About 60 bytes each: 20 MB. Sources beyond it are read again for each question. */
const MAX_NAMES = 300_000;
/** Names per call: Redis serves no other client meanwhile. */
const NAMES_AT_ONCE = 2000;
const SCANS_AT_ONCE = 200;

export interface NamedSource {
  name: string;
  home: string;
}

/** By source. */
export type DeviceNames = (
  sources: readonly NamedSource[],
) => Promise<ReadonlyMap<string, readonly string[]>>;

export function createDeviceNames(redis: Redis): DeviceNames {
  const kept = new LRUCache<string, readonly string[]>({
    ttl: KEPT_MS,
    maxSize: MAX_NAMES,
    sizeCalculation: (names) => names.length + 1,
  });

  return async (sources) => {
    const found = new Map<string, readonly string[]>();
    const missing = new Map<string, string[]>();
    for (const { name, home } of sources) {
      const names = kept.get(name);
      if (names) found.set(name, names);
      else missing.set(home, [...(missing.get(home) ?? []), name]);
    }
    for (const [home, names] of missing) {
      for (const [source, devices] of await readNames(redis, home, names)) {
        found.set(source, devices);
        kept.set(source, devices);
      }
    }
    return found;
  };
}

async function readNames(
  redis: Redis,
  scope: string,
  sources: readonly string[],
): Promise<Map<string, string[]>> {
  const found = new Map(sources.map((source) => [source, new Set<string>()]));
  let todo = sources.flatMap((source) => HASHES.map((hash) => ({ hash, source, cursor: "0" })));
  while (todo.length > 0) {
    const scans = todo.slice(0, SCANS_AT_ONCE);
    const args = namedArgs({ most: NAMES_AT_ONCE, scans });
    const reply = await runScript(redis, DEVICE_NAMES, [scope], [args]);
    const again: typeof todo = [];
    let at = 0;
    let begun = 0;
    for (const scan of scans) {
      if (at >= reply.length) break;
      begun += 1;
      const cursor = String(reply[at]);
      const end = at + 2 + Number(reply[at + 1]);
      const devices = found.get(scan.source);
      // The source itself has a timeline, under no name.
      for (const name of reply.slice(at + 2, end)) if (name !== "") devices?.add(String(name));
      if (cursor !== "0") again.push({ ...scan, cursor });
      at = end;
    }
    todo = [...again, ...todo.slice(begun)];
  }
  return new Map([...found].map(([source, devices]) => [source, [...devices].sort()]));
}
