/** The one place where a reading becomes a ping: ServiceTitan's field names, units and words. */

import { type Details, MPS_PER, type Reading, type SpeedUnit } from "../reading.ts";
import { iso } from "../time.ts";

/** ServiceTitan's word for the tracked object; a mapping joins it to a device. */
export interface Unit {
  unitId: string;
  unitName: string;
  /** Never sent: ServiceTitan ties devices to technicians by itself. The ledger and the ops page show it. */
  technician: string | null;
}

/** A ping as ServiceTitan gets it, for those who read an encoded one back. */
export interface Ping {
  unitId: string;
  unitName: string;
  /** ISO 8601, UTC, milliseconds. */
  eventTime: string;
  latitude: number;
  longitude: number;
  /** In the destination's unit. */
  speed: number | null;
  street: string;
  city: string;
  region: string;
  postalCode: string;
  message: string;
  externalId: string;
  statusMessage: string;
  isNew: boolean;
}

/**
 * Identity of a ping and key of duplicate detection. Injective: a source's name has no colon and a fixTime is
 * digits, so the first and the last colon part the three whatever the device's id is made of.
 */
export function externalIdOf(source: string, deviceId: string, fixTime: number): string {
  return `${source}:${deviceId}:${fixTime}`;
}

/**
 * Encodes a reading as a ping, as it stands in a request's array. All keys are always there: ServiceTitan's schema
 * requires each.
 */
export function toPing(
  reading: Reading,
  source: string,
  unit: Unit,
  settings: { speedUnit: SpeedUnit; isNew: boolean },
): string {
  const { speedMps, headingDeg, fixTime, receivedAt } = reading;
  const speed = speedMps === null ? null : speedMps / MPS_PER[settings.speedUnit];
  // Devices' clocks run ahead; a position from the future could outrank the next true one.
  const eventTime = iso(Math.min(fixTime, receivedAt));
  return (
    `{"unitId":${JSON.stringify(unit.unitId)},"unitName":${JSON.stringify(nameOf(unit, reading.details))}` +
    `,"eventTime":"${eventTime}","latitude":${rounded(reading.latitude, DEGREE_STEPS)}` +
    `,"longitude":${rounded(reading.longitude, DEGREE_STEPS)}` +
    `,"speed":${speed === null ? "null" : rounded(speed, SPEED_STEPS)}` +
    addressOf(reading.details) +
    `,"externalId":${JSON.stringify(externalIdOf(source, reading.deviceId, fixTime))}` +
    `,"statusMessage":"${statusOf(speedMps, speed, headingDeg, settings.speedUnit)}","isNew":${settings.isNew}}`
  );
}

/** The mapping's name; without one the vendor's, for an id such as `b1F` tells a dispatcher nothing. */
function nameOf({ unitId, unitName }: Unit, details: Details | undefined): string {
  return unitName === unitId ? (details?.deviceName ?? unitName) : unitName;
}

const NO_ADDRESS = ',"street":"","city":"","region":"","postalCode":"","message":""';

function addressOf(details: Details | undefined): string {
  if (details === undefined) return NO_ADDRESS;
  const { street, city, region, postalCode } = details;
  return (
    `,"street":${JSON.stringify(street ?? "")},"city":${JSON.stringify(city ?? "")}` +
    `,"region":${JSON.stringify(region ?? "")},"postalCode":${JSON.stringify(postalCode ?? "")},"message":""`
  );
}

/** Bytes by which details make a ping longer at most; to be added to those of `pingBytesAtMost`. */
export function detailBytes(details: Details): number {
  const name = details.deviceName ? Buffer.byteLength(JSON.stringify(details.deviceName)) : 0;
  return Buffer.byteLength(addressOf(details)) - NO_ADDRESS.length + name;
}

/** Everything in a ping but its ids, its name and its details: keys, a time, numbers of full length, the longest status, `false`. */
const FIXED_BYTES_AT_MOST = 256;

/** Upper bound of an encoded ping's bytes without its details, known before it is written: it keeps a batch's limit. */
export function pingBytesAtMost(source: string, deviceId: string, { unitId, unitName }: Unit): number {
  return [unitId, unitName, externalIdOf(source, deviceId, Number.MAX_SAFE_INTEGER)]
    .map((text) => Buffer.byteLength(JSON.stringify(text)))
    .reduce((sum, bytes) => sum + bytes, FIXED_BYTES_AT_MOST);
}

/** Seven decimals of a degree are 1.1 cm, finer than any receiver; a longer tail is noise of conversion. */
const DEGREE_STEPS = 1e7;
const SPEED_STEPS = 100;

/** Rounds to a power of ten. Leaves alone what already has so few decimals: n / 10^k is the double nearest to it. */
function rounded(value: number, steps: number): number {
  return Math.round(value * steps) / steps;
}

/** Half a metre per second, 1.1 mph: below it a standing receiver's noise looks like motion. */
const STOPPED_BELOW_MPS = 0.5;
const UNIT_WORDS: Record<SpeedUnit, string> = { mph: "mph", kph: "km/h", mps: "m/s", knots: "kn" };
const COMPASS = ["N", "NE", "E", "SE", "S", "SW", "W", "NW"] as const;

/** What a dispatcher reads. ServiceTitan has no field for heading, so it is said here. Plain ASCII, needs no escaping. */
function statusOf(speedMps: number | null, speed: number | null, headingDeg: number | null, unit: SpeedUnit) {
  const point = headingDeg === null ? null : COMPASS[Math.round(headingDeg / 45) % 8];
  if (speedMps === null || speed === null) return point === null ? "Position reported" : `Heading ${point}`;
  // A standing vehicle's heading is noise as well.
  if (speedMps < STOPPED_BELOW_MPS) return "Stopped";
  const moving = `Moving ${Math.round(speed)} ${UNIT_WORDS[unit]}`;
  return point === null ? moving : `${moving} ${point}`;
}
