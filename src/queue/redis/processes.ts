/** Which sources other processes know: while configurations differ, one that is unknown here may be known next door. */

import { createHash } from "node:crypto";
import type { Redis } from "ioredis";
import { processKeys } from "./keys.ts";

/**
 * ARGV: fingerprint, its names as JSON or "" where Redis has them, how long both count in ms. Processes with the same
 * sources share one entry. Returns whether the names are wanted.
 */
const BEAT = `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
-- Redis's clock was set back: an entry of the future would stay for as long as that.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2]) end
return 1 - redis.call('PEXPIRE', KEYS[2], 2 * ARGV[3])
`;

const BEAT_EVERY_MS = 1000;
/** Longer than a process takes to restart: meanwhile nobody else may know its sources. */
const COUNTS_FOR_MS = 30_000;
/** Strangers may ask as often as they like; Redis is asked this seldom. */
const LOOK_EVERY_MS = 250;
/** After Redis was away every process needs a beat before it can be seen again. */
const UNSURE_FOR_MS = 3 * BEAT_EVERY_MS;

/** This process among all others on the same Redis and prefix. */
export interface Announcement {
  /** Whether another process knows the source, or may: while Redis cannot be asked, nobody is sent away for good. */
  isKnownElsewhere(source: string): Promise<boolean>;
  stop(): void;
}

export function announce(redis: Redis, prefix: string, sources: Iterable<string>): Announcement {
  const names = JSON.stringify([...sources].sort());
  const fingerprint = createHash("sha256").update(names).digest("hex").slice(0, 16);
  const keys = processKeys(prefix);
  /** By fingerprint; those of other processes only. */
  let others = new Map<string, ReadonlySet<string>>();
  let lookedAt = Number.NEGATIVE_INFINITY;
  let unsureUntil = Number.NEGATIVE_INFINITY;
  let looking: Promise<void> | null = null;

  async function beat(): Promise<void> {
    try {
      if (await wanted("")) await wanted(names);
    } catch {
      unsure();
    }
  }

  async function wanted(text: string): Promise<boolean> {
    const reply = await redis.eval(
      BEAT,
      2,
      keys.live,
      keys.names(fingerprint),
      fingerprint,
      text,
      String(COUNTS_FOR_MS),
    );
    return Number(reply) === 1;
  }

  async function look(): Promise<void> {
    try {
      const live = (await redis.zrange(keys.live, "0", "-1")).filter((each) => each !== fingerprint);
      const found = new Map<string, ReadonlySet<string>>();
      for (const other of live) {
        const known = await namesOf(other);
        if (known) found.set(other, known);
        // It has said that it is there, and is just about to say what it knows.
        else unsure();
      }
      others = found;
      lookedAt = performance.now();
    } catch {
      unsure();
    }
  }

  /** The same fingerprint always stands for the same names. */
  async function namesOf(other: string): Promise<ReadonlySet<string> | null> {
    const known = others.get(other);
    if (known) return known;
    const text = await redis.get(keys.names(other));
    if (text === null) return null;
    const parsed: unknown = JSON.parse(text);
    return new Set(Array.isArray(parsed) ? parsed.map(String) : []);
  }

  function unsure(): void {
    unsureUntil = performance.now() + UNSURE_FOR_MS;
  }

  const timer = setInterval(() => void beat(), BEAT_EVERY_MS);
  // Before the first interval has passed, other processes should not send this one's senders away.
  const announceAtOnce = () => void beat();
  redis.on("ready", announceAtOnce);
  if (redis.status === "ready") announceAtOnce();

  return {
    async isKnownElsewhere(source) {
      if (performance.now() - lookedAt > LOOK_EVERY_MS) {
        looking ??= look().finally(() => {
          looking = null;
        });
        await looking;
      }
      if (performance.now() < unsureUntil) return true;
      return [...others.values()].some((known) => known.has(source));
    },
    stop() {
      clearInterval(timer);
      redis.off("ready", announceAtOnce);
    },
  };
}
