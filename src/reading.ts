/** Validates raw readings: one schema for every vendor decides which of them are readings, and why the others are not. */

import { type Details, type SaidDetails, storableDetails } from "./details.ts";
import { unrolled } from "./time.ts";

export { DETAIL_NUMBERS, DETAIL_TEXTS, type Details, type SaidDetails } from "./details.ts";

/** Speed units vendors use; a source states one where its vendor does not document it. */
export const SPEED_UNITS = ["mph", "kph", "mps", "knots"] as const;
export type SpeedUnit = (typeof SPEED_UNITS)[number];

/** Metres per second in one unit. Exact by definition (international mile 1609.344 m, nautical mile 1852 m). */
export const MPS_PER: Record<SpeedUnit, number> = {
  mph: 0.44704,
  kph: 1 / 3.6,
  mps: 1,
  knots: 1852 / 3600,
};

/** For a vendor whose message carries no time: the fix is taken to be when we got the message. */
export const AT_RECEIPT = "at_receipt";

/**
 * What an adapter hands over, not yet validated. In every numeric field `null` means "the vendor did not say" and
 * `NaN` means "the vendor said something that cannot be read"; the two are counted apart.
 */
export interface RawReading {
  /** The vendor's id of the device, always text. */
  deviceId: string | null;
  /** When the position was fixed: UTC milliseconds since 1970, or AT_RECEIPT. */
  fixTime: number | null | typeof AT_RECEIPT;
  /** WGS84 degrees. */
  latitude: number | null;
  longitude: number | null;
  /** Metres per second over ground. */
  speedMps: number | null;
  /** Degrees clockwise from true north. */
  headingDeg: number | null;
  /** The message's own checksum says that this part of it is damaged: nothing in it can be trusted. */
  isDamaged?: boolean;
  /** Another message of the device says the same position with more in it, unless the device sends none (ingest/stand-ins.ts). */
  role?: "lead" | "stand-in";
  /** The vendor itself says these coordinates are not a valid current fix. */
  noFix?: boolean;
  /**
   * The message tells only a part: what is null here comes, or came, in other messages of the device. The assembler puts
   * parts together (ingest/assembler.ts); a raw reading without this mark is whole.
   */
  fragment?: boolean;
  /** Of a fragment: what the vendor says it does not know now. Other fields that are null are not in the message. */
  unknown?: readonly ("speedMps" | "headingDeg")[];
  /** What the vendor says beside the position. */
  details?: SaidDetails;
  /** Where in the message this raw reading stands, for example `data[2]`; empty for the whole message. */
  path: string;
}

/** A validated raw reading: one device, one place, one instant. */
export interface Reading {
  deviceId: string;
  /** UTC milliseconds since 1970. */
  fixTime: number;
  /** UTC milliseconds since 1970, when the gateway got the message. */
  receivedAt: number;
  /** WGS84 degrees, [-90, 90]. */
  latitude: number;
  /** WGS84 degrees, [-180, 180]. */
  longitude: number;
  /** Metres per second, [0, 100]; null where unknown. */
  speedMps: number | null;
  /** Degrees clockwise from north, [0, 360); null where unknown. */
  headingDeg: number | null;
  /** Only what was said and could be read; absent where that is nothing. */
  details?: Details;
}

/** Why a raw reading is not a reading. Closed: every one is a metric label and is explained in docs/reasons.md. */
export const REJECTION_REASONS = [
  "no_device",
  "bad_device",
  "foreign_device",
  "bad_checksum",
  "no_time",
  "bad_time",
  "before_2000",
  "in_future",
  "too_old",
  "retained_without_time",
  "resent_without_time",
  "no_fix",
  "bad_latitude",
  "bad_longitude",
  "latitude_out_of_range",
  "longitude_out_of_range",
  "null_island",
  "incomplete",
  "inaccurate",
  "implausible_jump",
  "thinned",
  "too_many_devices",
] as const;
export type RejectionReason = (typeof REJECTION_REASONS)[number];

/** What is wrong with a field that does not cost the reading: the field becomes null, a time is corrected; it is counted. */
export const FIELD_DEFECTS = [
  "time_rolled_over",
  "speed_unreadable",
  "speed_negative",
  "speed_too_high",
  "heading_unreadable",
  "heading_out_of_range",
  "detail_unreadable",
] as const;
export type FieldDefect = (typeof FIELD_DEFECTS)[number];

/** A raw reading that failed validation: which one, and why. */
export interface Rejection {
  reason: RejectionReason;
  path: string;
}

/** What validate says of one raw reading. */
export type Validation =
  | { kind: "reading"; reading: Reading; defects: FieldDefect[] }
  | { kind: "rejected"; rejection: Rejection };

/** What validate needs to know beside the raw reading. */
export interface ValidationContext {
  /** UTC milliseconds since 1970. */
  receivedAt: number;
  /** Oldest fix to accept, milliseconds; Infinity switches the check off. */
  maxAgeMs: number;
  /** A time older than this is looked at for a rollover of the GPS week; default maxAgeMs: never a time that is accepted. */
  rolloverAfterMs?: number | undefined;
  /** How far ahead of our clock a fix may be, milliseconds; Infinity switches the check off. */
  maxAheadMs: number;
  /** Fixes less accurate than this are rejected, metres; those that do not say are accepted. Absent: no limit. */
  maxAccuracyM?: number | undefined;
  /** A retained MQTT message: without a time of its own it says nothing about now. */
  retained: boolean;
  /** An MQTT message that was sent before, at an unknown time: the same. */
  resent?: boolean | undefined;
}

/** Clocks of devices run ahead by up to this; more means the clock is wrong, not early. */
export const MAX_AHEAD_MS = 120_000;
/** Every known vendor id is far shorter (IMEI 15, VIN 17, UUID 36); it becomes part of Redis keys and of externalId. */
export const MAX_DEVICE_ID_CHARS = 128;
/** 2000-01-01T00:00:00Z. GPS receivers without a fix report years from 1970 to 1999. */
const YEAR_2000_MS = 946_684_800_000;
/** 9999-12-31T23:59:59.999Z, the last instant ISO text has four digits for; milliseconds sent as seconds lie beyond. */
const MAX_TIME_MS = 253_402_300_799_999;
/**
 * Control characters; format characters, which are invisible and make an id look like another's; and halves of
 * characters, which would all be stored as the same U+FFFD.
 */
export const UNSTORABLE = /[\p{Cc}\p{Cf}\p{Cs}]/u;
/** 360 km/h. Above it lie the sentinels (255 mph, 1023 kn), not vehicles. */
const MAX_SPEED_MPS = 100;

/** Validates one raw reading. Pure; never throws. Position and time can reject, speed and heading only become null. */
export function validate(rawReading: RawReading, context: ValidationContext): Validation {
  const { deviceId, latitude, longitude, path } = rawReading;
  if (deviceId === null || deviceId === "") return rejected("no_device", path);
  if (deviceId.length > MAX_DEVICE_ID_CHARS || UNSTORABLE.test(deviceId)) return rejected("bad_device", path);
  if (rawReading.isDamaged) return rejected("bad_checksum", path);
  const saidTime = rawReading.fixTime === AT_RECEIPT ? context.receivedAt : rawReading.fixTime;
  const fixTime = saidTime === null ? null : currentTime(saidTime, context);
  if (rawReading.fixTime === AT_RECEIPT && context.retained) return rejected("retained_without_time", path);
  if (rawReading.fixTime === AT_RECEIPT && context.resent) return rejected("resent_without_time", path);
  if (rawReading.fragment) return rejected("incomplete", path);
  if (rawReading.noFix || (latitude === null && longitude === null)) return rejected("no_fix", path);
  if (latitude === null || Number.isNaN(latitude)) return rejected("bad_latitude", path);
  if (longitude === null || Number.isNaN(longitude)) return rejected("bad_longitude", path);
  if (latitude < -90 || latitude > 90) return rejected("latitude_out_of_range", path);
  if (longitude < -180 || longitude > 180) return rejected("longitude_out_of_range", path);
  if (latitude === 0 && longitude === 0) return rejected("null_island", path);
  if (fixTime === null) return rejected("no_time", path);
  if (Number.isNaN(fixTime) || fixTime > MAX_TIME_MS) return rejected("bad_time", path);
  if (fixTime < YEAR_2000_MS) return rejected("before_2000", path);
  if (fixTime > context.receivedAt + context.maxAheadMs) return rejected("in_future", path);
  if (fixTime < context.receivedAt - context.maxAgeMs) return rejected("too_old", path);
  const { details } = rawReading;
  if (isInaccurate(details, context)) return rejected("inaccurate", path);

  const defects: FieldDefect[] = fixTime === saidTime ? [] : ["time_rolled_over"];
  const speedMps = validateSpeed(rawReading.speedMps, defects);
  const headingDeg = validateHeading(rawReading.headingDeg, defects);
  const reading: Reading = {
    deviceId,
    // Vendors send up to nine fraction digits; beyond milliseconds they are cut, not rounded.
    fixTime: Math.floor(fixTime),
    receivedAt: context.receivedAt,
    latitude,
    longitude,
    speedMps,
    headingDeg,
  };
  if (details) {
    const { stored, unreadable } = storableDetails(details);
    if (stored) reading.details = stored;
    for (let count = 0; count < unreadable; count++) defects.push("detail_unreadable");
  }
  return { kind: "reading", reading, defects };
}

function rejected(reason: RejectionReason, path: string): Validation {
  return { kind: "rejected", rejection: { reason, path } };
}

function currentTime(time: number, { receivedAt, maxAgeMs, rolloverAfterMs, maxAheadMs }: ValidationContext) {
  const [olderThanMs, aheadMs] = [rolloverAfterMs ?? maxAgeMs, Math.min(maxAheadMs, MAX_AHEAD_MS)];
  return unrolled(time, { now: receivedAt, olderThanMs, earliest: YEAR_2000_MS, aheadMs });
}

function validateSpeed(speedMps: number | null, defects: FieldDefect[]): number | null {
  if (speedMps === null) return null;
  if (Number.isNaN(speedMps)) return defect(defects, "speed_unreadable");
  if (speedMps < 0) return defect(defects, "speed_negative");
  if (speedMps > MAX_SPEED_MPS) return defect(defects, "speed_too_high");
  return speedMps;
}

function validateHeading(headingDeg: number | null, defects: FieldDefect[]): number | null {
  if (headingDeg === null) return null;
  if (Number.isNaN(headingDeg)) return defect(defects, "heading_unreadable");
  if (headingDeg < 0 || headingDeg > 360) return defect(defects, "heading_out_of_range");
  return headingDeg === 360 ? 0 : headingDeg;
}

/** A vendor that does not say how accurate a fix is has said nothing against it. */
function isInaccurate(details: SaidDetails | undefined, { maxAccuracyM }: ValidationContext): boolean {
  return maxAccuracyM !== undefined && (details?.accuracyM ?? 0) > maxAccuracyM;
}

function defect(defects: FieldDefect[], name: FieldDefect): null {
  defects.push(name);
  return null;
}
