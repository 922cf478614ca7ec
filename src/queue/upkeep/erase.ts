/** Erases what is stored of a tenant, or of one of its units, wherever it is stored, and counts what went. */

import type { Redis } from "ioredis";
import { type DeadLetter, decodeDeadLetter } from "../ledger/dead-letters.ts";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import { decodeRecord } from "../redis/record.ts";
import { loadScript, namedArgs, runScript } from "../redis/script.ts";
import { fieldOf } from "../redis/stream.ts";
import { type ErasedLedger, eraseLedger } from "./erase-ledger.ts";

const ERASE_RECORDS = loadScript("erase-records");
const ERASE_ENTRIES = loadScript("erase-entries");

/** Whose data goes. The sources and destinations are those of one tenant. */
export interface Erasure {
  sources: readonly string[];
  destinations: readonly string[];
  /** Absent: everything of the tenant. `devices`: those that report as this unit, by their own ids. */
  unit?: { id: string; devices: readonly { source: string; device: string }[] };
}

/** How many went of each kind. */
export interface Erased extends ErasedLedger {
  /** Pings that waited to be sent, or for a mapping row. */
  waiting: number;
  held: number;
  deadLetters: number;
  /** Raw messages; they name no unit, so those of a unit's sources that name the unit or a device of it in their text. */
  quarantined: number;
  /** Devices whose fingerprints, timelines and last fixes were remembered. */
  devices: number;
  /** Units whose newest accepted fix was remembered. */
  units: number;
}

export interface EraserDeps {
  redis: Redis;
  destinations: ReadonlyMap<string, { name: string; keyPrefix: string }>;
  ledgerMaxAgeMs: number;
}

/** Records or fields that one command reads. */
const SLICE = 1000;
/** A quarantined body may have megabytes. */
const MESSAGES_AT_ONCE = 20;
const ENTRIES_AT_ONCE = 200;
/** What arrives while it is erased is looked for once more. */
const MAX_PASSES = 3;

export function createEraser({ redis, destinations, ledgerMaxAgeMs }: EraserDeps) {
  return async function erase(erasure: Erasure): Promise<Erased> {
    const all: Erased = {
      ...{ waiting: 0, held: 0, deadLetters: 0, quarantined: 0, ledgerBatches: 0, ledgerPings: 0 },
      ...{ devices: 0, units: 0 },
    };
    const scopes = new Map<string, string[]>();
    for (const name of erasure.destinations) {
      const keyPrefix = destinations.get(name)?.keyPrefix;
      if (keyPrefix !== undefined) scopes.set(keyPrefix, [...(scopes.get(keyPrefix) ?? []), name]);
    }
    for (const [scope, names] of scopes) {
      const own = { ...erasure, destinations: names };
      add(all, { waiting: await eraseWaiting(redis, scope, own) });
      add(all, { held: await eraseHeld(redis, scope, own) });
      add(all, { deadLetters: await eraseDeadLetters(redis, scope, own) });
      add(all, { quarantined: await eraseQuarantined(redis, scope, own) });
      add(all, await eraseLedger(redis, scope, { ...own, maxAgeMs: ledgerMaxAgeMs }));
      add(all, await forget(redis, scope, own));
    }
    return all;
  };
}
export type Eraser = ReturnType<typeof createEraser>;

function add(all: Erased, some: Partial<Erased>): void {
  for (const kind of Object.keys(all) as (keyof Erased)[]) all[kind] += some[kind] ?? 0;
}

async function takeOut(redis: Redis, scope: string, kind: string, name: string, records: readonly string[]) {
  if (records.length === 0) return 0;
  const [taken] = await runScript(redis, ERASE_RECORDS, [scope], [namedArgs({ kind, name, records })]);
  return Number(taken);
}

function isOf({ unit }: Erasure): (record: string) => boolean {
  return unit === undefined ? () => true : (record) => decodeRecord(record).unit.unitId === unit.id;
}

/** What is in flight is being sent, and cannot be called back. */
async function eraseWaiting(redis: Redis, scope: string, erasure: Erasure): Promise<number> {
  const isWanted = isOf(erasure);
  const lanes = (await redis.smembers(keyOf(scope, SCOPE_KEYS.lanes))).filter((lane) =>
    erasure.destinations.includes(lane.split("|")[0] ?? ""),
  );
  let all = 0;
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    let taken = 0;
    for (const lane of lanes) {
      for (const source of await redis.smembers(keyOf(scope, SCOPE_KEYS.backlogs, lane))) {
        const backlog = `${lane}|${source}`;
        const take = (kind: string, records: readonly string[]) =>
          takeOut(redis, scope, kind, backlog, records.filter(isWanted));
        taken += await ofList(redis, keyOf(scope, SCOPE_KEYS.backlog, backlog), (r) => take("backlog", r));
        taken += await ofHash(redis, keyOf(scope, SCOPE_KEYS.live, backlog), (r) => take("live", r));
        taken += await ofSet(redis, keyOf(scope, SCOPE_KEYS.old, backlog), (r) => take("old", r));
      }
      const isolated = keyOf(scope, SCOPE_KEYS.isolated, lane);
      taken += await ofList(redis, isolated, (r) =>
        takeOut(redis, scope, "isolated", lane, r.filter(isWanted)),
      );
    }
    all += taken;
    if (taken === 0) break;
  }
  return all;
}

type Take = (records: readonly string[]) => Promise<number>;

async function ofList(redis: Redis, key: string, take: Take): Promise<number> {
  let [all, from] = [0, 0];
  for (;;) {
    const records = await redis.lrange(key, from, from + SLICE - 1);
    if (records.length === 0) return all;
    const taken = await take(records);
    all += taken;
    from += records.length - taken;
  }
}

async function ofSet(redis: Redis, key: string, take: Take): Promise<number> {
  let [all, from] = [0, 0];
  for (;;) {
    const records = await redis.zrange(key, String(from), String(from + SLICE - 1));
    if (records.length === 0) return all;
    const taken = await take(records);
    all += taken;
    from += records.length - taken;
  }
}

async function ofHash(redis: Redis, key: string, take: Take): Promise<number> {
  let all = 0;
  let cursor = "0";
  do {
    const [next, flat] = await redis.hscan(key, cursor, "COUNT", SLICE);
    all += await take(flat.filter((_, i) => i % 2 === 1));
    cursor = next;
  } while (cursor !== "0");
  return all;
}

async function eraseHeld(redis: Redis, scope: string, { sources, unit }: Erasure): Promise<number> {
  let all = 0;
  for (const source of sources) {
    const isWanted = (record: string) => {
      if (unit === undefined) return true;
      const { deviceId } = decodeRecord(record).reading;
      return deviceId === unit.id || isDevice(unit, source, deviceId);
    };
    all += await ofHash(redis, keyOf(scope, SCOPE_KEYS.held, source), (records) =>
      takeOut(redis, scope, "held", source, records.filter(isWanted)),
    );
  }
  return all;
}

async function eraseDeadLetters(redis: Redis, scope: string, erasure: Erasure): Promise<number> {
  const { destinations, unit } = erasure;
  const isWanted = (letter: DeadLetter) =>
    destinations.includes(letter.destination) && (unit === undefined || letter.unit === unit.id);
  return ofStream(redis, scope, {
    ...{ stream: "dead", key: keyOf(scope, SCOPE_KEYS.deadLetters), atOnce: ENTRIES_AT_ONCE },
    isWanted: (id, fields) => isWanted(decodeDeadLetter(id, fields)),
  });
}

async function eraseQuarantined(redis: Redis, scope: string, { sources, unit }: Erasure): Promise<number> {
  const names = unit && [unit.id, ...unit.devices.map(({ device }) => device)];
  return ofStream(redis, scope, {
    ...{ stream: "quarantine", key: keyOf(scope, SCOPE_KEYS.quarantine), atOnce: MESSAGES_AT_ONCE },
    isWanted(_id, fields) {
      if (!sources.includes(String(fieldOf(fields, "source")))) return false;
      return names === undefined || fields.some((field) => names.some((name) => field.includes(name)));
    },
  });
}

async function ofStream(
  redis: Redis,
  scope: string,
  {
    stream,
    key,
    atOnce,
    isWanted,
  }: {
    stream: string;
    key: string;
    atOnce: number;
    isWanted(id: Buffer, fields: readonly Buffer[]): boolean;
  },
): Promise<number> {
  let all = 0;
  let from = "-";
  for (;;) {
    const entries = await redis.xrangeBuffer(key, from, "+", "COUNT", atOnce);
    const ids = entries.filter(([id, fields]) => isWanted(id, fields)).map(([id]) => id.toString());
    if (ids.length > 0) {
      const [taken] = await runScript(redis, ERASE_ENTRIES, [scope], [namedArgs({ stream, ids })]);
      all += Number(taken);
    }
    const last = entries.at(-1);
    if (!last || entries.length < atOnce) return all;
    from = `(${last[0]}`;
  }
}

/** What is remembered of devices and units beside their positions. */
async function forget(redis: Redis, scope: string, { sources, destinations, unit }: Erasure) {
  const { fingerprints, lastFix, unmapped, seen, timeline, trouble, accepted } = SCOPE_KEYS;
  let devices = 0;
  let units = 0;
  for (const source of sources) {
    const keys = [fingerprints, lastFix, unmapped, timeline, trouble].map((key) => keyOf(scope, key, source));
    const seenKey = keyOf(scope, seen, source);
    if (unit === undefined) {
      devices += await redis.hlen(seenKey);
      await redis.unlink(...keys, seenKey);
      continue;
    }
    const own = unit.devices.filter((each) => each.source === source).map(({ device }) => device);
    for (const device of new Set([unit.id, ...own])) {
      devices += await redis.hdel(seenKey, device);
      await Promise.all(keys.map((key) => redis.hdel(key, device)));
    }
  }
  for (const destination of destinations) {
    const key = keyOf(scope, accepted, destination);
    if (unit !== undefined) units += await redis.hdel(key, unit.id);
    else {
      units += await redis.hlen(key);
      await redis.unlink(key);
    }
  }
  return { devices, units };
}

function isDevice({ devices }: NonNullable<Erasure["unit"]>, source: string, device: string): boolean {
  return devices.some((each) => each.source === source && each.device === device);
}
