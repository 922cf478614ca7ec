/** What the fleet must know of a vendor: how its devices report, how its messages look and how it authenticates. */

import type { Random } from "./random.ts";
import { type Fix, round } from "./receiver.ts";

/** The gateway's sources that the fleet feeds. OwnTracks is there twice: a source has one way in. */
export const FLEET_SOURCES = [
  "bouncie",
  "motive",
  "traccar",
  "owntracks",
  "owntracks-http",
  "hsl",
  "json",
] as const;
export type FleetSource = (typeof FLEET_SOURCES)[number];

/** A device with the ids its vendor gives it. */
export interface DeviceId {
  /** Position in the fleet, from 1. */
  number: number;
  /** As the gateway's adapter names it. */
  id: string;
}

/** A message's content and the fixes in it; `topic` on MQTT. */
export interface Written {
  body: string;
  topic?: string;
  fixes: readonly Fix[];
}

export interface WebhookWay {
  via: "webhook";
  /** The headers that authenticate this body. */
  authHeaders(body: string, secret: string, device: DeviceId): Record<string, string>;
  /** The vendor hangs up after this long. */
  answerWithinMs: number;
  /** What the vendor expects of an answer beside its status. */
  reply: "anything" | "json";
}

export interface Vendor {
  source: FleetSource;
  /** Of all vehicles; the shares add up to 1. */
  share: number;
  fixEveryMs: number;
  fixesPerMessage: number;
  way: WebhookWay | { via: "mqtt"; qos: 0 | 1 };
  deviceId(number: number, random: Random): string;
  /** Null when the vendor sends nothing for such fixes. */
  positions(device: DeviceId, fixes: readonly Fix[], random: Random): Written | null;
  /** A message about the ignition, without a position; null for vendors that have none. */
  ignitionChanged(device: DeviceId, fix: Fix): Written | null;
  /** What the vendor sends once when a webhook is switched on. */
  test?: Written;
}

/** Metres per second in one unit. */
export const MPH = 0.44704;
export const KNOT = 1852 / 3600;
export const KPH = 1 / 3.6;
/** Eight bits of miles per hour, all set: what trackers send for "speed unknown". */
export const SENTINEL_MPH = 255;
/** AIS' and several trackers' "speed not available". */
export const SENTINEL_KNOTS = 1023;

export const iso = (timeMs: number) => new Date(timeMs).toISOString();
export const hasPlace = (fix: Fix) => fix.flaw !== "no_fix";
export const speedIn = (unit: number, fix: Fix, digits: number, sentinel: number) =>
  fix.flaw === "speed_sentinel" ? sentinel : round(fix.speedMps / unit, digits);
export const imei = (number: number, random: Random) =>
  `35209${random.integer(1000, 9999)}${String(number).padStart(6, "0")}`;
