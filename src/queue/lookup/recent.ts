/** The latest entries of each list that the status shows. */

import type { Redis } from "ioredis";
import type { QueueStatus } from "../../status.ts";
import { iso } from "../../time.ts";
import { recentDeadLetters } from "../ledger/dead-letters.ts";
import { recentEntries } from "../ledger/ledger.ts";
import type { Quarantine } from "../ledger/quarantine.ts";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import type { Routes } from "../store/routes.ts";
import type { StatusSource } from "./source-status.ts";

const RECENT = 20;
const MAX_UNMAPPED_LISTED = 200;

type Scopes = readonly string[];

export async function quarantineRecent(
  quarantine: Quarantine,
  scopes: Scopes,
): Promise<QueueStatus["quarantine"]["recent"]> {
  const lists = await Promise.all(scopes.map((scope) => quarantine.list(scope, RECENT)));
  return latest(lists, ({ receivedAt }) => receivedAt).map(
    ({ id, receivedAt, source, reason, problems }) => ({
      id,
      at: iso(receivedAt),
      source,
      reason,
      problem: problems[0] ?? "",
    }),
  );
}

export async function deadLettersRecent(
  redis: Redis,
  scopes: Scopes,
): Promise<QueueStatus["deadLetters"]["recent"]> {
  const lists = await Promise.all(scopes.map((scope) => recentDeadLetters(redis, scope, RECENT)));
  return latest(lists, ({ at }) => at).map(({ id, at, destination, unit, externalId, reason, message }) => ({
    id,
    at: iso(at),
    destination,
    unit,
    externalId,
    reason,
    message,
  }));
}

export async function ledgerRecent(redis: Redis, scopes: Scopes): Promise<QueueStatus["ledger"]["recent"]> {
  const lists = await Promise.all(scopes.map((scope) => recentEntries(redis, scope, RECENT)));
  return latest(lists, ({ at }) => at).map(
    ({ at, destination, batchId, pings, outcome, status, tookMs }) => ({
      at: iso(at),
      destination,
      batchId,
      pings: pings.length,
      outcome,
      status,
      tookMs,
    }),
  );
}

export async function unmappedDevices(
  redis: Redis,
  sources: Iterable<StatusSource>,
  routes: Routes,
): Promise<QueueStatus["unmapped"]> {
  const lists = await Promise.all(
    [...sources].map(async ({ name, home, unmapped }) => {
      const devices = await redis.hgetall(keyOf(home, SCOPE_KEYS.unmapped, name));
      return Object.entries(devices)
        .filter(([device]) => routes.of(name, device).some((route) => route.unmapped !== null))
        .map(([device, fixTime]) => ({
          source: name,
          device,
          lastFixAt: iso(Number(fixTime)),
          policy: unmapped,
        }));
    }),
  );
  return lists.flat().slice(0, MAX_UNMAPPED_LISTED);
}

/** Of the lists of several scopes the latest entries together. */
function latest<T>(lists: readonly T[][], timeOf: (entry: T) => number): T[] {
  return lists
    .flat()
    .sort((a, b) => timeOf(b) - timeOf(a))
    .slice(0, RECENT);
}
