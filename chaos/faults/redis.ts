/** Faults of Redis: killed, frozen, emptied, read-only, out of memory. */

import { setTimeout as pause } from "node:timers/promises";
import type { Fault } from "../fault.ts";
import { healed } from "../fault.ts";
import type { Stage } from "../stage.ts";

/**
 * Under everysec Redis answers before it writes while the second's fsync is still running, and a kill in that moment
 * loses what it answered. That is Redis's word and not ours to keep, so the kill waits for the fsync's end.
 */
async function untilWritten({ db }: Stage): Promise<void> {
  while (!(await db.info("persistence")).includes("aof_pending_bio_fsync:0")) await pause(5);
}

export const REDIS_FAULTS: readonly Fault[] = [
  {
    name: "redis_kill",
    repeatsAtMost: Number.POSITIVE_INFINITY,
    recoverFrom: "healing",
    async inject(stage) {
      await untilWritten(stage);
      stage.redis.kill("SIGKILL");
    },
    heal: ({ redis }) => redis.restart(),
  },
  {
    name: "redis_freeze",
    repeatsAtMost: Number.POSITIVE_INFINITY,
    recoverFrom: "healing",
    long: true,
    inject: ({ redis }) => redis.kill("SIGSTOP"),
    heal: ({ redis }) => redis.kill("SIGCONT"),
  },
  {
    name: "redis_flush",
    repeatsAtMost: Number.POSITIVE_INFINITY,
    recoverFrom: "injection",
    async inject(stage) {
      for (const id of await stage.held("flush")) stage.exempt.set(id, "flushed");
    },
    heal: healed,
  },
  {
    name: "redis_read_only",
    repeatsAtMost: Number.POSITIVE_INFINITY,
    recoverFrom: "healing",
    // Of a master that is not there, so it keeps its data and takes no writes. Port 1 belongs to nobody.
    inject: async ({ db }) => void (await db.replicaof("127.0.0.1", 1)),
    heal: async ({ db }) => void (await db.replicaof("NO", "ONE")),
  },
  {
    name: "redis_out_of_memory",
    repeatsAtMost: Number.POSITIVE_INFINITY,
    recoverFrom: "healing",
    inject: async ({ db }) => void (await db.config("SET", "maxmemory", "1mb")),
    heal: async ({ db }) => void (await db.config("SET", "maxmemory", "0")),
  },
];
