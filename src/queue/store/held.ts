/** Readings of devices without a mapping row, under the policy `hold`: only the newest of each, until a row appears. */

import type { Redis } from "ioredis";
import { redisNow } from "../redis/clock.ts";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import { decodeRecord } from "../redis/record.ts";
import { loadScript, namedArgs, runScript } from "../redis/script.ts";
import type { Routes } from "./routes.ts";

const RELEASE = loadScript("held-release");
const BRING = loadScript("held-bring");
const EXPIRE = loadScript("held-expire");

export interface HeldOptions {
  redis: Redis;
  /** Every source: one whose policy is no longer `hold` may have left something behind. */
  sources: ReadonlyMap<string, { name: string; home: string; maxAgeMs: number }>;
  routes: Routes;
  arrived(backlog: string, length: number): void;
}

/** Far longer than a process takes to come back after a crash between bringing and releasing. */
const MARK_MS = 600_000;

/** Releases what has a mapping row by now, into the scopes the row leads to, and lets go what is too old. */
export async function reviewHeld({ redis, sources, routes, arrived }: HeldOptions): Promise<void> {
  for (const { name: source, home, maxAgeMs } of sources.values()) {
    const held = await redis.hgetall(keyOf(home, SCOPE_KEYS.held, source));
    // Redis's clock, as everywhere: ours may be wrong, and what is let go cannot be had back.
    const now = await redisNow(redis);
    for (const [device, record] of Object.entries(held)) {
      const { reading } = decodeRecord(record);
      if (reading.fixTime < now - maxAgeMs) {
        await runScript(redis, EXPIRE, [home], [namedArgs({ source, device, record })]);
        continue;
      }
      const found = routes.of(source, device).filter((route) => route.unmapped !== "hold");
      if (found.length === 0) continue;
      const routesIn = (keyPrefix: string) =>
        found
          .filter((route) => route.keyPrefix === keyPrefix)
          .map((route) => ({ backlog: route.backlog, record: route.record(reading) }));
      for (const keyPrefix of new Set(found.map((route) => route.keyPrefix))) {
        if (keyPrefix === home) continue;
        const { fixTime } = reading;
        const brought = { source, device, fixTime, markMs: MARK_MS, routes: routesIn(keyPrefix) };
        await runScript(redis, BRING, [keyPrefix], [namedArgs(brought)]);
      }
      const released = { source, device, record, routes: routesIn(home) };
      await runScript(redis, RELEASE, [home], [namedArgs(released)]);
      for (const { backlog } of found) arrived(backlog, 1);
    }
  }
}
