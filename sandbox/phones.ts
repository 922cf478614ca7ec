/** Technicians' phones with OwnTracks: over MQTT, and over HTTP as a second vendor. */

import type { Fix } from "./receiver.ts";
import { type DeviceId, hasPlace, KPH, speedIn, type Vendor } from "./vendor.ts";

export const owntracks: Vendor = {
  source: "owntracks",
  share: 0.1,
  fixEveryMs: 6000,
  fixesPerMessage: 1,
  way: { via: "mqtt", qos: 1 },
  deviceId: (number) => `fleet/phone${number}`,
  positions(device, [fix]) {
    if (fix === undefined || !hasPlace(fix)) return null;
    return {
      topic: `owntracks/${device.id}`,
      body: JSON.stringify(phoneLocation(device, fix)),
      fixes: [fix],
    };
  },
  ignitionChanged(device, fix) {
    const body = JSON.stringify({
      _type: "transition",
      tid: tid(device),
      tst: Math.floor(fix.time / 1000),
      wtst: Math.floor(fix.time / 1000) - 86_400,
      lat: fix.latitude,
      lon: fix.longitude,
      acc: fix.accuracyM,
      event: fix.ignition ? "leave" : "enter",
      desc: "Job site",
      t: "c",
    });
    return { topic: `owntracks/${device.id}/event`, body, fixes: [] };
  },
};

export const owntracksHttp: Vendor = {
  ...owntracks,
  source: "owntracks-http",
  share: 0.04,
  way: {
    via: "webhook",
    authHeaders: (_body, secret, { id }) => {
      const [user = "", phone = ""] = id.split("/");
      const basic = Buffer.from(`${OWNTRACKS_USER}:${secret}`).toString("base64");
      return { authorization: `Basic ${basic}`, "x-limit-u": user, "x-limit-d": phone };
    },
    answerWithinMs: 10_000,
    reply: "json",
  },
  positions(device, [fix]) {
    if (fix === undefined || !hasPlace(fix)) return null;
    const located = { ...phoneLocation(device, fix), topic: `owntracks/${device.id}` };
    return { body: JSON.stringify(located), fixes: [fix] };
  },
  ignitionChanged(device, fix) {
    const event = owntracks.ignitionChanged(device, fix);
    return event && { body: event.body, fixes: [] };
  },
};

/** All phones share this user name at the gateway; their own headers name them. */
export const OWNTRACKS_USER = "phones";

function phoneLocation(device: DeviceId, fix: Fix): Record<string, unknown> {
  const vel = speedIn(KPH, fix, 0, -1);
  const cog = Math.round(fix.headingDeg) % 360;
  return {
    _type: "location",
    acc: fix.accuracyM,
    batt: 80,
    conn: "m",
    created_at: Math.floor(fix.time / 1000) + 1,
    lat: fix.latitude,
    lon: fix.longitude,
    m: 2,
    t: "t",
    tid: tid(device),
    tst: Math.floor(fix.time / 1000),
    // The app leaves zeros out.
    ...(vel === 0 ? {} : { vel }),
    ...(cog === 0 ? {} : { cog }),
  };
}

const tid = ({ number }: DeviceId) => String(number % 100).padStart(2, "0");
