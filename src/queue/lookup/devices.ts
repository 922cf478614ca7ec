/** Lists devices: when each was last seen, its last fix and rejection, and its unit. */

import type { Redis } from "ioredis";
import { iso } from "../../time.ts";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import type { MappingRow } from "../store/routes.ts";
import type { DeviceNames } from "./device-names.ts";
import { candidatesOf, fitsText, type Sight } from "./search.ts";
import { readTimeline } from "./timeline-lines.ts";

export interface DeviceQuery {
  source?: string | undefined;
  /** A part, in any case, of the device, its unit, the unit's name or the technician. */
  q?: string | undefined;
  /** Those after this one, by source and device. */
  after?: { source: string; device: string } | undefined;
  limit: number;
}

/** Times are ISO, UTC. */
export interface ListedDevice {
  source: string;
  device: string;
  /** When its last reading came that was stored, or was a duplicate. */
  lastSeenAt: string | null;
  lastFixAt: string | null;
  lastRejection: { at: string; reason: string; count: number } | null;
  /** Of the last rejection, receivedAt − fixTime, milliseconds. */
  offsetMs: number | null;
  unit: string;
  unitName: string;
  technician: string | null;
}

interface DeviceSource {
  name: string;
  destination: string;
  /** Key prefix of the scope that has its counters. */
  home: string;
}

export interface DeviceListOptions {
  redis: Redis;
  sources: ReadonlyMap<string, DeviceSource>;
  names: DeviceNames;
  rowsOf: ((source: string, device: string) => readonly MappingRow[] | null) | null;
}

export function createDeviceList({ redis, sources, names, rowsOf }: DeviceListOptions) {
  /** By source and device, both ascending. */
  return async function listDevices(query: DeviceQuery, within?: Sight): Promise<ListedDevice[]> {
    const { source, q, after, limit } = query;
    const listed: ListedDevice[] = [];
    const byName = [...sources.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const each of byName) {
      if (listed.length >= limit) break;
      const isWanted =
        (source === undefined || each.name === source) &&
        within?.sources.has(each.name) !== false &&
        (after === undefined || each.name >= after.source);
      if (!isWanted) continue;
      const known = (await names([each])).get(each.name) ?? [];
      const devices = known
        .filter((device) => after?.source !== each.name || device > after.device)
        .filter(
          (device) => q === undefined || candidates(each, device, within).some((found) => fitsText(found, q)),
        )
        .slice(0, limit - listed.length);
      listed.push(...(await describe(each, devices, within)));
    }
    return listed;
  };

  /** A row that leads elsewhere tells nothing: of its device there is the id alone. */
  function candidates({ name, destination }: DeviceSource, device: string, within: Sight | undefined) {
    const rows = rowsOf?.(name, device) ?? [];
    const visible = rows.filter((row) => within?.destinations.has(row.destination ?? destination) !== false);
    return candidatesOf(name, device, destination, visible);
  }

  async function describe(
    source: DeviceSource,
    devices: readonly string[],
    within: Sight | undefined,
  ): Promise<ListedDevice[]> {
    if (devices.length === 0) return [];
    const { name, home } = source;
    const [seen, prints, lines] = await Promise.all([
      redis.hmget(keyOf(home, SCOPE_KEYS.seen, name), ...devices),
      redis.hmgetBuffer(keyOf(home, SCOPE_KEYS.fingerprints, name), ...devices),
      redis.hmget(keyOf(home, SCOPE_KEYS.timeline, name), ...devices),
    ]);
    const now = Date.now();
    return devices.map((device, i): ListedDevice => {
      const rejected = readTimeline(lines[i] ?? "").findLast(({ kind }) => kind === "rejected");
      const lastSeen = seen[i];
      const fix = lastFixIn(prints[i] ?? null, now);
      const [first] = candidates(source, device, within);
      return {
        source: name,
        device,
        lastSeenAt: lastSeen ? iso(Number(lastSeen)) : null,
        lastFixAt: fix === null ? null : iso(fix),
        lastRejection: rejected
          ? { at: iso(rejected.lastAt), reason: rejected.reason, count: rejected.count }
          : null,
        offsetMs: rejected?.offsetMs ?? null,
        unit: first?.unit ?? device,
        unitName: first?.unitName ?? device,
        technician: first?.technician ?? null,
      };
    });
  }
}

const ENTRY_BYTES = 5;
const WRAPS_AFTER = 2 ** 32;
const DAY_MS = 86_400_000;

/** Fingerprints are entries of five bytes, the last stored last; of its fix time only the low 32 bits are there, 49 days. */
function lastFixIn(prints: Buffer | null, now: number): number | null {
  if (prints === null || prints.length < ENTRY_BYTES) return null;
  const age = (now - prints.readUInt32BE(prints.length - ENTRY_BYTES)) % WRAPS_AFTER;
  // A fix may be a little ahead of us.
  return age > WRAPS_AFTER - DAY_MS ? now - age + WRAPS_AFTER : now - age;
}
