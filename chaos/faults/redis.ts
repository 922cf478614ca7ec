/** Faults of Redis: killed, frozen, emptied, read-only, out of memory. */

import { setTimeout as pause } from "node:timers/promises";
import type { Fault } from "../fault.ts";
import { healed } from "../fault.ts";
import { UNITS } from "../generator.ts";
import { findPrlimit, PINGS_IN_FLIGHT, type Stage } from "../stage.ts";

/**
 * Under everysec Redis answers before it writes while the second's fsync is still running, and a kill in that moment
 * loses what it answered. Redis documents this loss and the gateway cannot prevent it, so the kill waits for the fsync's end.
 */
async function untilWritten({ db }: Stage): Promise<void> {
  while (!(await db.info("persistence")).includes("aof_pending_bio_fsync:0")) await pause(5);
}

/** Less than one message needs on the disk, so that a torn part of a message stays there. */
const FULL_BYTES = 500;

/** Redis is away and the disks are full: neither gateway can store a message, and neither may answer 2xx. */
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
    // What was in flight is gone with the rest, and so are the fingerprints of messages that are sent again meanwhile.
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
    // Redis follows a master that does not exist, so it keeps its data and accepts no writes. No process listens on port 1.
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
