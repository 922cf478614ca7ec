/** Evicts devices and units that have been silent for long, so that what is remembered of each does not grow for ever. */

import type { Redis } from "ioredis";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import { loadScript, runScript } from "../redis/script.ts";

const EVICT = loadScript("evict");

export interface EvictionOptions {
  redis: Redis;
  sources: ReadonlyMap<string, { name: string; home: string }>;
  destinations: ReadonlyMap<string, { name: string; keyPrefix: string }>;
  /** How far back timelines reach; as far as the ledger. */
  timelineMaxAgeMs?: number;
  /** Fields of a hash that stay; for tests. */
  most?: number;
  failed(error: unknown): void;
}

/** One hash with a field per device or unit. */
interface Memory {
  key: string;
  /** How its values show when the device reported last. */
  kind: "prints" | "time";
  most: number;
  maxAgeMs: number;
}

const EVERY_MS = 1000;
/** A vehicle that comes back from a season in the yard is a new one; the fingerprints' clock goes round after 49 days. */
const MAX_AGE_MS = 30 * 86_400_000;
/** Beyond any fleet behind one source; fingerprints of so many take 60 MB. */
const MOST_DEVICES = 200_000;
/** A tenth below the bound at which timeline.lua takes no new device: within a minute there is room again. */
const MOST_TIMELINES = 9000;
/** A person does not read a longer list of devices to be mapped. */
const MOST_UNMAPPED = 50_000;
/** Hashes checked in one tick; where there are more than 1,200, as many as a round of one minute takes. */
const CHECKED_AT_ONCE = 20;
/** An authenticated sender may invent devices: 40 slices evict 20,000, more than a source sends in a second. */
const MAX_SLICES = 40;

export function startEviction(options: EvictionOptions): { stop(): void } {
  const { redis, sources, destinations, most, failed, timelineMaxAgeMs = MAX_AGE_MS } = options;
  const cursors = new Map<string, string>();
  /** What is left of this round, and how much of it belongs to one tick. */
  const round: Memory[] = [];
  let perTick = 0;
  let stopped = false;
  let timer = setTimeout(() => void tick(), EVERY_MS);

  async function tick(): Promise<void> {
    try {
      if (round.length === 0) {
        const scopes = new Set([...destinations.values()].map(({ keyPrefix }) => keyPrefix));
        for (const scope of scopes) round.push(...(await memoriesOf(scope)));
        perTick = Math.max(CHECKED_AT_ONCE, Math.ceil(round.length / 60));
      }
      for (const memory of round.splice(0, perTick)) await evict(memory);
    } catch (error) {
      if (!stopped) failed(error);
    }
    if (!stopped) timer = setTimeout(() => void tick(), EVERY_MS);
  }

  async function memoriesOf(scope: string): Promise<Memory[]> {
    const atHome = [...sources.values()].filter(({ home }) => home === scope).map(({ name }) => name);
    const lanes = await redis.smembers(keyOf(scope, SCOPE_KEYS.lanes));
    const backlogs = lanes.map((lane) => keyOf(scope, SCOPE_KEYS.backlogs, lane));
    // A mapping leads sources of other scopes here.
    const guests = backlogs.length > 0 ? await redis.sunion(backlogs) : [];
    const memory = (key: string, kind: Memory["kind"], bound: number, maxAgeMs = MAX_AGE_MS): Memory => {
      return { key, kind, most: most ?? bound, maxAgeMs };
    };
    return [
      ...[...destinations.values()]
        .filter(({ keyPrefix }) => keyPrefix === scope)
        .map(({ name }) => memory(keyOf(scope, SCOPE_KEYS.accepted, name), "time", MOST_DEVICES)),
      ...atHome.map((name) => memory(keyOf(scope, SCOPE_KEYS.unmapped, name), "time", MOST_UNMAPPED)),
      ...[...new Set([...atHome, ...guests])].flatMap((name) => [
        memory(keyOf(scope, SCOPE_KEYS.fingerprints, name), "prints", MOST_DEVICES),
        memory(keyOf(scope, SCOPE_KEYS.lastFix, name), "time", MOST_DEVICES),
        memory(keyOf(scope, SCOPE_KEYS.seen, name), "time", MOST_DEVICES),
        memory(keyOf(scope, SCOPE_KEYS.timeline, name), "time", MOST_TIMELINES, timelineMaxAgeMs),
      ]),
    ];
  }

  async function evict({ key, kind, most: bound, maxAgeMs }: Memory): Promise<void> {
    for (let slice = 0; slice < MAX_SLICES && !stopped; slice++) {
      const args = [kind, cursors.get(key) ?? "0", bound, maxAgeMs];
      const [cursor, surplus] = await runScript(redis, EVICT, [key], args);
      cursors.set(key, String(cursor));
      if (Number(surplus) === 0) return;
    }
  }

  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
