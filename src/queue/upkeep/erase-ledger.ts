/** Erases a tenant's batches from the ledger, and of a unit's batches what they tell of the unit. */

import type { Redis } from "ioredis";
import { decodeEntry, encodeWithout } from "../ledger/entry.ts";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import { loadScript, namedArgs, runScript } from "../redis/script.ts";
import { entryTime } from "../redis/stream.ts";

const ERASE_ENTRIES = loadScript("erase-entries");
const ENTRIES_AT_ONCE = 200;

export interface ErasedLedger {
  ledgerBatches: number;
  ledgerPings: number;
}

interface LedgerErasure {
  destinations: readonly string[];
  unit?: { id: string };
  maxAgeMs: number;
}

export async function eraseLedger(
  redis: Redis,
  scope: string,
  { destinations, unit, maxAgeMs }: LedgerErasure,
): Promise<ErasedLedger> {
  const erased = { ledgerBatches: 0, ledgerPings: 0 };
  const key = keyOf(scope, SCOPE_KEYS.ledger);
  const restKey = keyOf(scope, SCOPE_KEYS.ledgerRest);
  let from = "-";
  for (;;) {
    const entries = await redis.xrangeBuffer(key, from, "+", "COUNT", ENTRIES_AT_ONCE);
    const ids: string[] = [];
    for (const [id, fields] of entries) {
      const packed = fields[1];
      if (!packed) continue;
      const entry = decodeEntry(entryTime(id), packed);
      if (!destinations.includes(entry.destination)) continue;
      const pings = entry.pings.filter((ping) => unit === undefined || ping.unit === unit.id);
      if (pings.length === 0) continue;
      erased.ledgerPings += pings.length;
      ids.push(id.toString());
      const rest = unit && encodeWithout(entry, unit.id);
      // Entries of a stream cannot be changed: what is left of it is kept beside, under the same id.
      if (rest) await redis.hset(restKey, id.toString(), rest);
    }
    if (ids.length > 0) {
      const args = namedArgs({ stream: "ledger", ids });
      const [taken] = await runScript(redis, ERASE_ENTRIES, [scope], [args]);
      erased.ledgerBatches += Number(taken);
      if (unit) await redis.pexpire(restKey, maxAgeMs);
    }
    const last = entries.at(-1);
    if (!last || entries.length < ENTRIES_AT_ONCE) break;
    from = `(${last[0]}`;
  }
  await eraseRest(redis, restKey, destinations, unit?.id);
  await eraseIndex(redis, scope, destinations, unit?.id);
  return erased;
}

/** What earlier erasures of other units have left. */
async function eraseRest(
  redis: Redis,
  key: string,
  destinations: readonly string[],
  unit: string | undefined,
) {
  for (const [id, packed] of Object.entries(await redis.hgetallBuffer(key))) {
    const entry = decodeEntry(entryTime(id), packed);
    if (!destinations.includes(entry.destination)) continue;
    const rest = unit === undefined ? null : encodeWithout(entry, unit);
    if (rest === null) await redis.hdel(key, id);
    else await redis.hset(key, id, rest);
  }
}

async function eraseIndex(
  redis: Redis,
  scope: string,
  destinations: readonly string[],
  unit: string | undefined,
) {
  const hoursKey = keyOf(scope, SCOPE_KEYS.ledgerHours);
  for (const member of await redis.smembers(hoursKey)) {
    const [destination = "", hour = ""] = member.split(":");
    if (!destinations.includes(destination)) continue;
    const key = keyOf(scope, SCOPE_KEYS.ledgerIndex, destination, hour);
    if (unit !== undefined) await redis.hdel(key, unit);
    else {
      await redis.unlink(key);
      await redis.srem(hoursKey, member);
    }
  }
}
