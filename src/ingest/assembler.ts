/** Joins positions that vendors spread over several messages, per device; stands between decode and validate. */

import { LRUCache } from "lru-cache";
import { AT_RECEIPT, type RawReading } from "../reading.ts";
import { createDeferredParts, type Sent } from "./deferred-parts.ts";
import { createStandIns } from "./stand-ins.ts";

/** Parts further apart than this are not of one position. */
const WINDOW_MS = 5000;
/** About 300 bytes each; beyond it the device that has been silent for longest begins anew. */
const MAX_DEVICES = 20_000;

/** A value and when its message came, UTC milliseconds since 1970. */
interface Seen<T> {
  value: T;
  receivedAt: number;
  /** The fix's own time where the message had one: parts with different times are not of one position. */
  fixTime: number | null;
}

interface Assembly {
  latitude: Seen<number> | null;
  longitude: Seen<number> | null;
  speedMps: Seen<number> | null;
  headingDeg: Seen<number> | null;
  /** Sent once and true until sent otherwise: a device reports a lost lock when it loses it. */
  noFix: boolean;
}

export interface Assembler {
  /**
   * Returns whole raw readings as they are, but for those that stand in for better ones; and for fragments what they complete: nothing, or one raw reading. A
   * coordinate whose partner never came is returned alone, so that it is rejected by name and not lost.
   */
  assemble(source: string, rawReadings: RawReading[], message: Sent): RawReading[];
  /** The message could not be stored: what it completed is returned again when its sender sends it again. */
  deferred(source: string, message: Sent): void;
  /** The message is stored: another with the same content is a new one. */
  stored(source: string, message: Sent): void;
}

export function createAssembler(): Assembler {
  /** Most senders never split a position; a bound by size takes no memory before it is used. */
  const devices = new LRUCache<string, Assembly>({ maxSize: MAX_DEVICES, sizeCalculation: () => 1 });
  const deferredParts = createDeferredParts();
  const withoutStandIns = createStandIns();

  function assemblyOf(source: string, device: string): Assembly {
    const key = `${source}\0${device}`;
    const known = devices.get(key);
    if (known) return known;
    const empty = { latitude: null, longitude: null, speedMps: null, headingDeg: null, noFix: false };
    devices.set(key, empty);
    return empty;
  }

  /** Parts that still wait for their partner are as fresh as the message that brought them again. */
  function refresh(source: string, rawReadings: readonly RawReading[], receivedAt: number): void {
    for (const { deviceId, latitude, longitude } of rawReadings) {
      const assembly = deviceId === null ? undefined : devices.peek(`${source}\0${deviceId}`);
      for (const [axis, value] of [
        ["latitude", latitude],
        ["longitude", longitude],
      ] as const) {
        const pending = assembly?.[axis];
        if (pending && pending.value === value) pending.receivedAt = receivedAt;
      }
    }
  }

  function join(source: string, part: RawReading, { receivedAt, retained, resent }: Sent): RawReading[] {
    const { deviceId, noFix } = part;
    const isOld = (retained || resent) && isTimeless(part);
    // A retained lock state is the current one: it is sent only when it changes.
    if (deviceId && isOld && noFix !== undefined) assemblyOf(source, deviceId).noFix = noFix;
    // Validate has a reason for both: a part of no device, and one that may be a year old.
    if (!deviceId || isOld) return hasCoordinate(part) ? [part] : [];
    return joinPart(assemblyOf(source, deviceId), part, receivedAt);
  }

  return {
    deferred: deferredParts.remember,
    stored: deferredParts.drop,
    assemble(source, decoded, message) {
      const rawReadings = withoutStandIns(source, decoded, message.receivedAt);
      if (!rawReadings.some(({ fragment }) => fragment)) return rawReadings;
      const before = deferredParts.assembledBefore(source, rawReadings, message);
      if (before) {
        if (before.isResent) refresh(source, rawReadings, message.receivedAt);
        return before.assembled;
      }
      const assembled = rawReadings.flatMap((rawReading) =>
        rawReading.fragment ? join(source, rawReading, message) : [rawReading],
      );
      deferredParts.assembled(message, { rawReadings, assembled });
      return assembled;
    },
  };
}

/** Adds one part to what is known of its device; returns what it completes, or has made impossible to complete. */
function joinPart(assembly: Assembly, part: RawReading, receivedAt: number): RawReading[] {
  const joined: RawReading[] = [];
  const fixTime = typeof part.fixTime === "number" ? part.fixTime : null;
  const seen = (value: number | null): Seen<number> | null =>
    value === null ? null : { value, receivedAt, fixTime };
  if (part.noFix !== undefined) assembly.noFix = part.noFix;
  for (const field of ["speedMps", "headingDeg"] as const) {
    const isAbout = part[field] !== null || part.unknown?.includes(field);
    if (isAbout) assembly[field] = seen(part[field]);
  }
  for (const [axis, other] of [
    ["latitude", "longitude"],
    ["longitude", "latitude"],
  ] as const) {
    const value = seen(part[axis]);
    if (value === null) continue;
    // A second latitude before any longitude: the first will never be complete.
    if (assembly[axis] !== null) joined.push(alone(part, axis, assembly[axis]));
    assembly[axis] = value;
    const partner = assembly[other];
    if (partner !== null && part[other] === null && !ofOnePosition(partner, value)) {
      joined.push(alone(part, other, partner));
      assembly[other] = null;
    }
  }
  const { latitude, longitude } = assembly;
  if (latitude === null || longitude === null) return joined;
  assembly.latitude = null;
  assembly.longitude = null;
  const { fragment: _, unknown: __, ...whole } = part;
  joined.push({
    ...whole,
    latitude: latitude.value,
    longitude: longitude.value,
    speedMps: fresh(assembly.speedMps, longitude, receivedAt),
    headingDeg: fresh(assembly.headingDeg, longitude, receivedAt),
    noFix: assembly.noFix,
  });
  return joined;
}

function isTimeless({ fixTime }: RawReading): boolean {
  return fixTime === null || fixTime === AT_RECEIPT;
}

function hasCoordinate({ latitude, longitude }: RawReading): boolean {
  return latitude !== null || longitude !== null;
}

function ofOnePosition(one: Seen<number>, other: Seen<number>): boolean {
  return one.fixTime === other.fixTime && Math.abs(one.receivedAt - other.receivedAt) <= WINDOW_MS;
}

/** Speed and heading may be without a time beside a place that has one. */
function fresh(seen: Seen<number> | null, place: Seen<number>, now: number): number | null {
  if (seen === null || Math.abs(now - seen.receivedAt) > WINDOW_MS) return null;
  return seen.fixTime === null || seen.fixTime === place.fixTime ? seen.value : null;
}

/** Still marked as a fragment: validate rejects it as `incomplete`. */
function alone(
  part: RawReading,
  axis: "latitude" | "longitude",
  { value, fixTime }: Seen<number>,
): RawReading {
  return {
    path: part.path,
    fragment: true,
    deviceId: part.deviceId,
    fixTime: fixTime ?? AT_RECEIPT,
    latitude: axis === "latitude" ? value : null,
    longitude: axis === "longitude" ? value : null,
    speedMps: null,
    headingDeg: null,
  };
}
