/** Faults of Redis: killed, frozen, emptied, read-only, out of memory. */

import { setTimeout as pause } from "node:timers/promises";
import type { Fault } from "../fault.ts";
import { healed } from "../fault.ts";
import { UNITS } from "../generator.ts";
import { findPrlimit, PINGS_IN_FLIGHT, type Stage } from "../stage.ts";

/**
 * Under everysec Redis answers before it writes while the second's fsync is still running, and a kill in that moment
 * loses what it answered. That is Redis's word and not ours to keep, so the kill waits for the fsync's end.
 */
async function untilWritten({ db }: Stage): Promise<void> {
  while (!(await db.info("persistence")).includes("aof_pending_bio_fsync:0")) await pause(5);
}

/** Less than one message takes on the disk: what is written of it stays there, torn. */
const FULL_BYTES = 500;

/** Redis is away and the disks are full: nobody can take a message, and nobody may say so. */
const FULL_DISKS: Fault = {
  name: "redis_kill_with_full_disks",
  unsettledAtMost: PINGS_IN_FLIGHT,
  recoverFrom: "healing",
  async inject(stage) {
    for (const { limitFiles } of stage.gateways) limitFiles(FULL_BYTES);
    await untilWritten(stage);
    stage.redis.kill("SIGKILL");
  },
  async heal({ gateways, redis }) {
    for (const { limitFiles } of gateways) limitFiles(null);
    await redis.restart();
  },
};

export const REDIS_FAULTS: readonly Fault[] = [
  ...(findPrlimit() === null ? [] : [FULL_DISKS]),
  {
    name: "redis_kill",
    unsettledAtMost: PINGS_IN_FLIGHT,
    storageAway: true,
    recoverFrom: "healing",
    async inject(stage) {
      await untilWritten(stage);
      stage.redis.kill("SIGKILL");
    },
    heal: ({ redis }) => redis.restart(),
  },
  {
    name: "redis_freeze",
    unsettledAtMost: PINGS_IN_FLIGHT,
    storageAway: true,
    recoverFrom: "healing",
    long: true,
    inject: ({ redis }) => redis.kill("SIGSTOP"),
    heal: ({ redis }) => redis.kill("SIGCONT"),
  },
  {
    name: "redis_flush",
    // What was in flight is gone with the rest. But so is what was known of the messages that are being sent again.
    unsettledAtMost: UNITS,
    recoverFrom: "injection",
    async inject(stage) {
      for (const id of await stage.held("flush")) stage.exempt.set(id, "flushed");
    },
    heal: healed,
  },
  {
    name: "redis_read_only",
    unsettledAtMost: PINGS_IN_FLIGHT,
    storageAway: true,
    recoverFrom: "healing",
    // Of a master that is not there, so it keeps its data and takes no writes. Port 1 belongs to nobody.
    inject: async ({ db }) => void (await db.replicaof("127.0.0.1", 1)),
    heal: async ({ db }) => void (await db.replicaof("NO", "ONE")),
  },
  {
    name: "redis_out_of_memory",
    unsettledAtMost: PINGS_IN_FLIGHT,
    storageAway: true,
    recoverFrom: "healing",
    inject: async ({ db }) => void (await db.config("SET", "maxmemory", "1mb")),
    heal: async ({ db }) => void (await db.config("SET", "maxmemory", "0")),
  },
];
