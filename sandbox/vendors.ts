/** The vendors whose messages the fleet sends: Bouncie, Motive, Traccar and Waypost's own format here, the others in their files. */

import { createHmac } from "node:crypto";
import { hsl } from "./buses.ts";
import { owntracks, owntracksHttp } from "./phones.ts";
import type { Random } from "./random.ts";
import { round } from "./receiver.ts";
import {
  type DeviceId,
  hasPlace,
  imei,
  iso,
  KNOT,
  MPH,
  SENTINEL_KNOTS,
  SENTINEL_MPH,
  speedIn,
  type Vendor,
} from "./vendor.ts";

const bouncie: Vendor = {
  source: "bouncie",
  share: 0.26,
  fixEveryMs: 3000,
  fixesPerMessage: 5,
  way: {
    via: "webhook",
    authHeaders: (_body, secret) => ({ authorization: secret, "x-bouncie-authorization": secret }),
    // Undocumented; others give between 5 and 15 s.
    answerWithinMs: 10_000,
    reply: "json",
  },
  deviceId: imei,
  positions({ id, number }, fixes) {
    const seen = fixes.filter(hasPlace);
    if (seen.length === 0) return null;
    const data = seen.map((fix) => ({
      timestamp: iso(fix.time),
      speed: speedIn(MPH, fix, 0, SENTINEL_MPH),
      gps: { lat: fix.latitude, lon: fix.longitude, heading: Math.round(fix.headingDeg) % 360 },
    }));
    return {
      body: JSON.stringify({
        eventType: "tripData",
        imei: id,
        vin: vin(number),
        transactionId: `${id}-1`,
        data,
      }),
      fixes: seen,
    };
  },
  ignitionChanged({ id, number }, fix) {
    const [eventType, key] = fix.ignition ? ["tripStart", "start"] : ["tripEnd", "end"];
    const about = {
      timestamp: iso(fix.time),
      timeZone: "America/Chicago",
      odometer: round(fix.odometerM / 1609.344, 1),
    };
    const body = JSON.stringify({
      eventType,
      imei: id,
      vin: vin(number),
      transactionId: `${id}-1`,
      [key]: about,
    });
    return { body, fixes: [] };
  },
};

const motive: Vendor = {
  source: "motive",
  share: 0.26,
  fixEveryMs: 10_000,
  fixesPerMessage: 1,
  way: {
    via: "webhook",
    authHeaders: (body, secret) => ({
      "x-kt-webhook-signature": createHmac("sha1", secret).update(body).digest("hex"),
    }),
    answerWithinMs: 3000,
    reply: "anything",
  },
  deviceId: (number) => String(480_000 + number),
  positions({ id }, [fix], random) {
    if (fix === undefined || !hasPlace(fix)) return null;
    const body = JSON.stringify({
      action: "vehicle_location_updated",
      id: uuid(random),
      vehicle_id: Number(id),
      located_at: isoSeconds(fix.time),
      lat: fix.latitude,
      lon: fix.longitude,
      bearing: fix.headingDeg,
      engine_hours: round(fix.odometerM / 60_000, 2),
      speed: speedIn(MPH, fix, 1, SENTINEL_MPH),
      odometer: round(fix.odometerM / 1609.344, 1),
      fuel: null,
      type: fix.speedMps > 0 ? "vehicle_moving" : "vehicle_stopped",
      description: "Dallas, TX",
    });
    return { body, fixes: [fix] };
  },
  ignitionChanged({ id, number }, fix) {
    const trigger = fix.ignition ? "engine_on" : "engine_off";
    const about = {
      id: 90_000_000 + number,
      vehicle_id: Number(id),
      trigger,
      timestamp: isoSeconds(fix.time),
    };
    return { body: JSON.stringify({ action: "engine_toggle_event", ...about }), fixes: [] };
  },
  test: { body: JSON.stringify(["vehicle_location_updated", "engine_toggle_event"]), fixes: [] },
};

const traccar: Vendor = {
  source: "traccar",
  share: 0.14,
  fixEveryMs: 5000,
  fixesPerMessage: 1,
  way: {
    via: "webhook",
    authHeaders: (_body, secret) => ({ authorization: `Bearer ${secret}` }),
    answerWithinMs: 5000,
    reply: "anything",
  },
  deviceId: imei,
  positions(device, [fix]) {
    if (fix === undefined) return null;
    const time = offsetIso(fix.time);
    const isLost = fix.flaw === "no_fix";
    const position = {
      id: Math.floor(fix.time / 1000) % 1_000_000_000,
      attributes: {
        ignition: fix.ignition,
        motion: fix.speedMps > 0,
        totalDistance: round(fix.odometerM, 1),
      },
      deviceId: device.number,
      protocol: "teltonika",
      serverTime: offsetIso(fix.time + 900),
      deviceTime: time,
      fixTime: time,
      outdated: isLost,
      valid: !isLost,
      latitude: fix.latitude,
      longitude: fix.longitude,
      altitude: 131,
      speed: isLost ? 0 : speedIn(KNOT, fix, 4, SENTINEL_KNOTS),
      course: fix.headingDeg,
      address: null,
      accuracy: 0,
      network: null,
      geofenceIds: null,
    };
    return { body: JSON.stringify({ position, device: traccarDevice(device, "online") }), fixes: [fix] };
  },
  ignitionChanged(device, fix) {
    const type = fix.ignition ? "deviceOnline" : "deviceOffline";
    const event = {
      id: device.number,
      attributes: {},
      deviceId: device.number,
      type,
      eventTime: offsetIso(fix.time),
      positionId: 0,
    };
    const status = fix.ignition ? "online" : "offline";
    return { body: JSON.stringify({ event, device: traccarDevice(device, status) }), fixes: [] };
  },
};

const json: Vendor = {
  source: "json",
  share: 0.1,
  fixEveryMs: 2000,
  fixesPerMessage: 5,
  way: {
    via: "webhook",
    authHeaders: (_body, secret) => ({ authorization: `Bearer ${secret}` }),
    answerWithinMs: 10_000,
    reply: "anything",
  },
  deviceId: (number) => `unit-${String(number).padStart(4, "0")}`,
  positions({ id }, fixes) {
    const seen = fixes.filter(hasPlace);
    if (seen.length === 0) return null;
    const points = seen.map((fix) => ({
      deviceId: id,
      latitude: fix.latitude,
      longitude: fix.longitude,
      time: iso(fix.time),
      speed: speedIn(MPH, fix, 1, SENTINEL_MPH),
      speedUnit: "mph",
      heading: fix.headingDeg,
    }));
    return { body: JSON.stringify(points), fixes: seen };
  },
  ignitionChanged: () => null,
};

export const VENDORS: readonly Vendor[] = [bouncie, motive, traccar, owntracks, owntracksHttp, hsl, json];

function traccarDevice({ number, id }: DeviceId, status: string): Record<string, unknown> {
  return {
    id: number,
    attributes: {},
    groupId: 0,
    name: `Truck ${number}`,
    uniqueId: id,
    status,
    category: "van",
  };
}

const offsetIso = (timeMs: number) => iso(timeMs).replace("Z", "+00:00");
/** Without milliseconds, as Motive writes it. */
const isoSeconds = (timeMs: number) => iso(timeMs).replace(/\.\d+Z$/, "Z");
const vin = (number: number) => `1FTEW1EP7KFA${String(number).padStart(5, "0")}`;

function uuid(random: Random): string {
  const hex = Array.from({ length: 32 }, () => random.integer(0, 15).toString(16)).join("");
  const parts = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    `a${hex.slice(17, 20)}`,
    hex.slice(20),
  ];
  return parts.join("-");
}
