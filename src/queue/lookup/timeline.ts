/** Answers what happened to a device's last readings, from their receipt to ServiceTitan's answer, and finds devices. */

import type { Redis } from "ioredis";
import { iso } from "../../time.ts";
import { lastPings, oldestEntryAt } from "../ledger/ledger.ts";
import { redisNow } from "../redis/clock.ts";
import { type QueueDestination, scopesOf } from "../redis/destination.ts";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import { decodeRecord } from "../redis/record.ts";
import type { MappingRow } from "../store/routes.ts";
import { SOURCE_ITSELF } from "../store/told.ts";
import { createDeviceNames } from "./device-names.ts";
import { createDeviceList, type DeviceQuery, type ListedDevice } from "./devices.ts";
import { locateUnit } from "./locate.ts";
import { type Candidate, candidatesOf, type Sight, searchDevices, theOneIn } from "./search.ts";
import { eventOfLine, eventOfNow, eventsOfPing, newestFirst, type TimelineEvent } from "./timeline-events.ts";
import { readTimeline } from "./timeline-lines.ts";

/** What a person reads at once. */
const EVENTS = 20;

/** What happened to one device's last readings. */
export interface DeviceTimeline {
  source: string;
  device: string;
  /** Where its readings lead today. */
  leadsTo: readonly Candidate[];
  /** ISO: when the last reading came that was stored, or was a duplicate; null where none is remembered. */
  seenAt: string | null;
  /** The newest first. */
  events: TimelineEvent[];
  /** ISO: what was before is not told; null where nothing has been recorded yet. */
  reachesBackTo: string | null;
  /** What the timeline cannot know, in sentences. */
  unknown: string[];
  /** The source's own, which name no device: refused, malformed and ignored messages. The newest first. */
  sourceEvents: TimelineEvent[];
}

export interface Timelines {
  /**
   * Devices by unit, unit name, device, technician or externalId, in any case and by part, the best first; and of those
   * the one that was meant, null where several fit alike, or none.
   */
  findDevice(text: string, within?: Sight): Promise<{ candidates: Candidate[]; one: Candidate | null }>;
  listDevices(query: DeviceQuery, within?: Sight): Promise<ListedDevice[]>;
  /** Null for a source that is not configured, or is not in sight. */
  deviceTimeline(
    source: string,
    device: string,
    options?: { within?: Sight | undefined; limit?: number },
  ): Promise<DeviceTimeline | null>;
  /** Removes a device's timeline, when it was seen, and its trouble; returns how many of these there were. */
  eraseDevice(source: string, device: string): Promise<number>;
}

export interface TimelineOptions {
  redis: Redis;
  destinations: ReadonlyMap<string, QueueDestination>;
  sources: ReadonlyMap<string, { name: string; destination: string; home: string }>;
  mapping: ((source: string, device: string) => readonly MappingRow[] | null) | null;
  mappedDevices(source: string): Iterable<string>;
  ledgerMaxAgeMs: number;
}

export function createTimeline(options: TimelineOptions): Timelines {
  const { redis, destinations, sources, mapping, mappedDevices } = options;
  const names = createDeviceNames(redis);

  return {
    async findDevice(text, within) {
      const options = { sources: [...sources.values()], names, rowsOf: mapping, mappedDevices };
      const candidates = await searchDevices(options, text, within);
      return { candidates, one: theOneIn(candidates, text) };
    },
    listDevices: createDeviceList({ redis, sources, names, rowsOf: mapping }),
    async deviceTimeline(name, device, { within, limit = EVENTS } = {}) {
      const source = sources.get(name);
      if (!source || within?.sources.has(name) === false) return null;
      const rows = mapping?.(name, device) ?? [];
      const leadsTo = candidatesOf(name, device, source.destination, rows).filter(
        ({ destination }) => within?.destinations.has(destination) !== false,
      );
      return readDevice(options, source, device, leadsTo, limit);
    },
    async eraseDevice(name, device) {
      let erased = 0;
      for (const scope of scopesOf(destinations)) {
        for (const pattern of [SCOPE_KEYS.timeline, SCOPE_KEYS.seen, SCOPE_KEYS.trouble]) {
          erased += await redis.hdel(keyOf(scope, pattern, name), device);
        }
        await redis.incr(keyOf(scope, SCOPE_KEYS.changed));
      }
      return erased;
    },
  };
}

async function readDevice(
  options: TimelineOptions,
  source: { name: string; home: string },
  device: string,
  leadsTo: readonly Candidate[],
  limit: number,
): Promise<DeviceTimeline> {
  const { redis, destinations } = options;
  const now = await redisNow(redis);
  const places = leadsTo.flatMap((candidate) => {
    const destination = destinations.get(candidate.destination);
    return destination ? [{ candidate, destination }] : [];
  });
  const scopes = [...new Set([source.home, ...places.map(({ destination }) => destination.keyPrefix)])];
  const [lines, seen, ofSource, pings, current, oldest] = await Promise.all([
    Promise.all(scopes.map((scope) => linesOf(redis, scope, source.name, device))),
    Promise.all(scopes.map((scope) => redis.hget(keyOf(scope, SCOPE_KEYS.seen, source.name), device))),
    linesOf(redis, source.home, source.name, SOURCE_ITSELF),
    Promise.all(places.map((place) => pingsAt(options, source.name, device, place, now, limit))),
    currentEvents(redis, source, device, places, now),
    Promise.all(scopes.map((scope) => oldestEntryAt(redis, scope))),
  ]);
  const all = newestFirst([
    ...current.events,
    ...lines.flat().map(eventOfLine),
    ...pings.flat().flatMap(eventsOfPing),
  ]);
  const events = all.slice(0, limit);
  const seenAt = Math.max(...seen.map(Number));
  const ledgerFrom = Math.max(...oldest.map((at) => at ?? 0));
  const reachesBackTo = all.length > limit ? (events.at(-1)?.at ?? null) : isoOrNull(ledgerFrom);
  return {
    source: source.name,
    device,
    leadsTo,
    seenAt: isoOrNull(seenAt),
    events,
    reachesBackTo,
    unknown: [
      ...unknownOf(source.name, ofSource, reachesBackTo),
      ...current.unknown,
      ...(options.mapping === null ? [] : [ANOTHER_UNIT]),
    ],
    sourceEvents: newestFirst(ofSource.map(eventOfLine)),
  };
}

const ANOTHER_UNIT =
  "Pings that were sent as another unit, or to another destination, before the mapping changed are not told here.";

function isoOrNull(ms: number): string | null {
  return ms > 0 ? iso(ms) : null;
}

async function linesOf(redis: Redis, scope: string, source: string, device: string) {
  return readTimeline((await redis.hget(keyOf(scope, SCOPE_KEYS.timeline, source), device)) ?? "");
}

interface Place {
  candidate: Candidate;
  destination: QueueDestination;
}

function pingsAt(
  { redis, ledgerMaxAgeMs }: TimelineOptions,
  source: string,
  device: string,
  { candidate, destination }: Place,
  now: number,
  limit: number,
) {
  return lastPings(redis, {
    scope: destination.keyPrefix,
    destination: destination.name,
    unit: candidate.unit,
    source,
    device,
    from: now - ledgerMaxAgeMs,
    to: now,
    limit,
  });
}

/** What has not come to an end yet. */
async function currentEvents(
  redis: Redis,
  source: { name: string; home: string },
  device: string,
  places: readonly Place[],
  now: number,
): Promise<{ events: TimelineEvent[]; unknown: string[] }> {
  const events: TimelineEvent[] = [];
  const unknown: string[] = [];
  for (const { candidate, destination } of places) {
    const found = await locateUnit(redis, destination, candidate.unit, []);
    const about = { destination: destination.name, detail: `of unit ${candidate.unit}` };
    if (found.waiting > 0) events.push(eventOfNow("waiting", now, { ...about, count: found.waiting }));
    if (found.inFlight > 0) events.push(eventOfNow("in_flight", now, { ...about, count: found.inFlight }));
    if (!found.complete) {
      unknown.push(
        `So much waits for ${destination.name} that only the newest was looked through: older pings of this device may wait, too.`,
      );
    }
  }
  const held = await redis.hget(keyOf(source.home, SCOPE_KEYS.held, source.name), device);
  if (held) {
    const { fixTime } = decodeRecord(held).reading;
    events.push(
      eventOfNow("held", now, { fixAt: iso(fixTime), detail: "until a mapping row names the device" }),
    );
  }
  return { events, unknown };
}

function unknownOf(
  source: string,
  lines: ReturnType<typeof readTimeline>,
  reachesBackTo: string | null,
): string[] {
  const sentences: string[] = [];
  for (const [kind, became] of [
    ["refused", "were refused"],
    ["malformed", "could not be decoded"],
  ] as const) {
    const those = lines.filter((line) => line.kind === kind);
    if (those.length === 0) continue;
    const count = those.reduce((sum, line) => sum + line.count, 0);
    const since = iso(Math.min(...those.map(({ firstAt }) => firstAt)));
    sentences.push(
      `Messages of source ${source} that ${became} since ${since}: ${count}. Such a message names no device, so some may have been of this one.`,
    );
  }
  if (sentences.length === 0) {
    sentences.push(
      `A message that is refused or cannot be decoded names no device; of source ${source} none is recorded.`,
    );
  }
  if (reachesBackTo !== null) sentences.push(`What happened before ${reachesBackTo} is not told here.`);
  return sentences;
}
