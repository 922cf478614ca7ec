/** Announces which sources this process knows, and which others do: configurations may differ for a while. */

import { createHash } from "node:crypto";
import type { Redis } from "ioredis";
import { keyOf, PROCESS_KEYS, processPrefix } from "./keys.ts";
import { loadScript, runScript } from "./script.ts";

const ANNOUNCE = loadScript("announce");

const BEAT_EVERY_MS = 1000;
/** Longer than a process takes to restart: meanwhile no other process may know its sources. */
const COUNTS_FOR_MS = 30_000;
/** Unauthenticated senders may ask as often as they like; Redis is asked this seldom. */
const READ_EVERY_MS = 250;
/** After Redis was away every process needs a beat before the others see it again. */
const UNSURE_FOR_MS = 3 * BEAT_EVERY_MS;

/** This process among all others on the same Redis and prefix. */
export interface Announcement {
  /** Whether another process knows the source, or may: while Redis cannot be asked, no sender is refused for good. */
  isKnownElsewhere(source: string): Promise<boolean>;
  /** This process knows other sources from now on. */
  update(sources: Iterable<string>): void;
  stop(): void;
}

export function announce(redis: Redis, prefix: string, sources: Iterable<string>): Announcement {
  let names = namesOf(sources);
  let fingerprint = fingerprintOf(names);
  const live = keyOf(processPrefix(prefix), PROCESS_KEYS.live);
  const namesKey = (of: string) => keyOf(processPrefix(prefix), PROCESS_KEYS.names, of);
  /** By fingerprint; those of other processes only. */
  let others = new Map<string, ReadonlySet<string>>();
  let readAt = Number.NEGATIVE_INFINITY;
  let unsureUntil = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | null = null;

  async function beat(): Promise<void> {
    try {
      if (await areNamesWanted("")) await areNamesWanted(names);
    } catch {
      unsure();
    }
  }

  async function areNamesWanted(text: string): Promise<boolean> {
    const args = [fingerprint, text, COUNTS_FOR_MS];
    const [wanted] = await runScript(redis, ANNOUNCE, [live, namesKey(fingerprint)], args);
    return Number(wanted) === 1;
  }

  async function readOthers(): Promise<void> {
    try {
      const announced = (await redis.zrange(live, "0", "-1")).filter((each) => each !== fingerprint);
      const found = new Map<string, ReadonlySet<string>>();
      for (const other of announced) {
        const known = await namesKnownBy(other);
        if (known) found.set(other, known);
        // It has announced itself, and is just about to write which sources it knows.
        else unsure();
      }
      others = found;
      readAt = performance.now();
    } catch {
      unsure();
    }
  }

  /** The same fingerprint always stands for the same names. */
  async function namesKnownBy(other: string): Promise<ReadonlySet<string> | null> {
    const known = others.get(other);
    if (known) return known;
    const text = await redis.get(namesKey(other));
    if (text === null) return null;
    const parsed: unknown = JSON.parse(text);
    return new Set(Array.isArray(parsed) ? parsed.map(String) : []);
  }

  function unsure(): void {
    unsureUntil = performance.now() + UNSURE_FOR_MS;
  }

  const timer = setInterval(() => void beat(), BEAT_EVERY_MS);
  // Before the first interval has passed, other processes should not refuse this one's senders.
  const announceAtOnce = () => void beat();
  redis.on("ready", announceAtOnce);
  if (redis.status === "ready") announceAtOnce();

  return {
    async isKnownElsewhere(source) {
      if (performance.now() - readAt > READ_EVERY_MS) {
        reading ??= readOthers().finally(() => {
          reading = null;
        });
        await reading;
      }
      if (performance.now() < unsureUntil) return true;
      return [...others.values()].some((known) => known.has(source));
    },
    update(changed) {
      const next = namesOf(changed);
      if (next === names) return;
      names = next;
      fingerprint = fingerprintOf(next);
      // What others have and this one gave up was counted as its own.
      others = new Map();
      readAt = Number.NEGATIVE_INFINITY;
      announceAtOnce();
    },
    stop() {
      clearInterval(timer);
      redis.off("ready", announceAtOnce);
    },
  };
}

function namesOf(sources: Iterable<string>): string {
  return JSON.stringify([...sources].sort());
}

function fingerprintOf(names: string): string {
  return createHash("sha256").update(names).digest("hex").slice(0, 16);
}
