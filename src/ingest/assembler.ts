/** Puts positions together that vendors spread over several messages; stands between read and validate, per device. */

import { createHash } from "node:crypto";
import { AT_RECEIPT, type RawReading } from "../reading.ts";

/** Parts further apart than this are not of one position. */
const WINDOW_MS = 5000;
/** About 300 bytes each; beyond it the device longest unheard of begins anew. */
const MAX_DEVICES = 20_000;
/** How long after a refusal its sender may come again: vendors begin after a second or a few. */
const RESEND_MS = 30_000;
/** About 500 bytes each; beyond it the oldest is forgotten, and its position with it. */
const MAX_UNKEPT = 10_000;

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
  /** Said once and true until said otherwise: devices tell a lost lock when they lose it. */
  noFix: boolean;
}

export interface Assembler {
  /**
   * Gives back whole candidates as they are, and for fragments what they complete: nothing, or one candidate. A
   * coordinate whose partner never came is given back as it is, alone, so that it is rejected by name and not lost.
   */
  assemble(source: string, rawReadings: RawReading[], message: Heard): RawReading[];
  /** The message could not be kept: what it gave is given again when its sender comes with it once more. */
  deferred(source: string, message: Heard): void;
  /** The message is kept: another that reads like it is a new one. */
  stored(source: string, message: Heard): void;
}

interface Heard {
  receivedAt: number;
  retained: boolean;
  resent?: boolean;
}

/** What a message said, and what came of it. */
interface Given {
  said: RawReading[];
  assembled: RawReading[];
}

export function createAssembler(): Assembler {
  const devices = new Map<string, Assembly>();

  function assemblyOf(source: string, device: string): Assembly {
    const key = `${source}\0${device}`;
    const known = devices.get(key);
    if (known) {
      devices.delete(key);
      devices.set(key, known);
      return known;
    }
    const fresh: Assembly = {
      latitude: null,
      longitude: null,
      speedMps: null,
      headingDeg: null,
      noFix: false,
    };
    devices.set(key, fresh);
    const oldest = devices.size > MAX_DEVICES ? devices.keys().next() : undefined;
    if (oldest && !oldest.done) devices.delete(oldest.value);
    return fresh;
  }

  function add(assembly: Assembly, part: RawReading, receivedAt: number): RawReading[] {
    const given: RawReading[] = [];
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
      if (assembly[axis] !== null) given.push(alone(part, axis, assembly[axis]));
      assembly[axis] = value;
      const partner = assembly[other];
      if (partner !== null && part[other] === null && !ofOnePosition(partner, value)) {
        given.push(alone(part, other, partner));
        assembly[other] = null;
      }
    }
    const { latitude, longitude } = assembly;
    if (latitude === null || longitude === null) return given;
    assembly.latitude = null;
    assembly.longitude = null;
    const { fragment: _, unknown: __, ...whole } = part;
    given.push({
      ...whole,
      latitude: latitude.value,
      longitude: longitude.value,
      speedMps: fresh(assembly.speedMps, longitude, receivedAt),
      headingDeg: fresh(assembly.headingDeg, longitude, receivedAt),
      noFix: assembly.noFix,
    });
    return given;
  }

  /** A message that could not be kept is offered again: what it completed must not be lost with its parts used up. */
  const given = new WeakMap<object, Given>();
  /** The same for one that its sender sends again: only what it says is the same. */
  const deferred = new Map<string, { receivedAt: number; assembled: RawReading[] }>();

  function resent(source: string, said: RawReading[], receivedAt: number): RawReading[] | null {
    const before = deferred.size > 0 ? deferred.get(keyOf(source, said)) : undefined;
    if (!before || Math.abs(receivedAt - before.receivedAt) > RESEND_MS) return null;
    // Parts that still wait for their partner are as fresh as the message that brought them again.
    for (const { deviceId, latitude, longitude } of said) {
      const assembly = deviceId === null ? undefined : devices.get(`${source}\0${deviceId}`);
      for (const [axis, value] of [
        ["latitude", latitude],
        ["longitude", longitude],
      ] as const) {
        const pending = assembly?.[axis];
        if (pending && pending.value === value) pending.receivedAt = receivedAt;
      }
    }
    return before.assembled;
  }

  return {
    deferred(source, message) {
      const of = given.get(message);
      if (!of) return;
      const key = keyOf(source, of.said);
      deferred.delete(key);
      deferred.set(key, { receivedAt: message.receivedAt, assembled: of.assembled });
      const oldest = deferred.size > MAX_UNKEPT ? deferred.keys().next() : undefined;
      if (oldest && !oldest.done) deferred.delete(oldest.value);
    },
    stored(source, message) {
      const of = deferred.size > 0 ? given.get(message) : undefined;
      if (of) deferred.delete(keyOf(source, of.said));
    },
    assemble(source, rawReadings, message) {
      if (!rawReadings.some(({ fragment }) => fragment)) return rawReadings;
      const { receivedAt, retained, resent: sentBefore } = message;
      const before = given.get(message)?.assembled ?? resent(source, rawReadings, receivedAt);
      if (before) {
        given.set(message, { said: rawReadings, assembled: before });
        return before;
      }
      const assembled = rawReadings.flatMap((rawReading) => {
        if (!rawReading.fragment) return [rawReading];
        const { deviceId, noFix } = rawReading;
        const isOld = (retained || sentBefore) && isTimeless(rawReading);
        // What the broker kept of the lock is how it stands: it is told only when it changes.
        if (deviceId && isOld && noFix !== undefined) assemblyOf(source, deviceId).noFix = noFix;
        // Admit has words for both: a part of no device, and one that may be a year old.
        if (!deviceId || isOld) return hasCoordinate(rawReading) ? [rawReading] : [];
        return add(assemblyOf(source, deviceId), rawReading, receivedAt);
      });
      given.set(message, { said: rawReadings, assembled });
      return assembled;
    },
  };
}

/** Decoding is pure: what was sent again says the same, letter for letter. */
function keyOf(source: string, said: RawReading[]): string {
  return createHash("sha256").update(source).update("\0").update(JSON.stringify(said)).digest("base64url");
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
