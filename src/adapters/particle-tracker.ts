/** Particle Tracker: location events by webhook, as JSON in a string within a wrapper of JSON or a form. */

import { z } from "zod";
import { defineAdapter, otherThan } from "./kit/adapter.ts";
import { basic, customHeader, urlToken } from "./kit/auth.ts";
import { degrees, epochSeconds, id, metres, mps, noFixUnless, number, part, text } from "./kit/fields.ts";
import { jsonOrForm, unquoted } from "./kit/form.ts";

const published = z.object({
  loc: part({
    lck: noFixUnless(true),
    time: epochSeconds,
    lat: degrees,
    lon: degrees,
    spd: mps,
    hd: degrees,
    h_acc: metres,
    alt: metres,
    batt: number,
  }),
  trig: z.array(text).catch([]),
});

export const particleTracker = defineAdapter({
  vendor: "particle-tracker",
  docs: "https://docs.particle.io/reference/cloud-apis/webhooks/",
  evidence: "source code",
  transports: ["webhook"],
  auth: [basic(), customHeader(), urlToken()],
  format: jsonOrForm,
  speedUnit: "mps",
  ignore: otherThan("event", ["loc"]),
  ignores: "every other event than `loc`, places estimated from Wi-Fi and cells (`loc-enhanced`) among them",
  // An object where the customer's template has no quotes around it.
  payload: z.object({ coreid: id, data: z.preprocess(unquoted, published) }),
  decode: ({ coreid, data: { loc, trig } }) => [
    {
      path: "data.loc",
      deviceId: coreid,
      fixTime: loc.time,
      latitude: loc.lat,
      longitude: loc.lon,
      speedMps: loc.spd,
      headingDeg: loc.hd,
      noFix: loc.lck,
      details: {
        accuracyM: loc.h_acc,
        altitudeM: loc.alt,
        batteryPct: loc.batt,
        vendorEvent: trig[0],
      },
    },
  ],
});
