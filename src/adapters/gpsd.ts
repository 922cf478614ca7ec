/** The reports of gpsd, bridged unchanged to a broker: one JSON object in each message. */

import { z } from "zod";
import { defineAdapter, otherThan } from "./kit/adapter.ts";
import { degrees, isoTime, metres, mps, noFixBelow } from "./kit/fields.ts";
import { deviceInTopic, topicDevice } from "./kit/topic-device.ts";

export const gpsd = defineAdapter({
  vendor: "gpsd",
  docs: "https://gpsd.gitlab.io/gpsd/gpsd_json.html",
  evidence: "documented",
  transports: ["mqtt"],
  auth: [],
  speedUnit: "mps",
  options: topicDevice,
  ignore: otherThan("class", ["TPV"]),
  ignores: "every other `class` than `TPV`",
  payload: z.object({
    class: z.literal("TPV"),
    /** 0 and 1 are no fix, 2 and 3 a fix without and with height. */
    mode: noFixBelow(2),
    time: isoTime,
    lat: degrees,
    lon: degrees,
    speed: mps,
    track: degrees,
    altMSL: metres,
    eph: metres,
  }),
  decode: ({ mode, time, lat, lon, speed, track, altMSL, eph }, { topic, options }) => [
    {
      path: "",
      // `device` in the message is the serial port of the receiver.
      deviceId: deviceInTopic(topic, options),
      fixTime: time,
      latitude: lat,
      longitude: lon,
      speedMps: speed,
      headingDeg: track,
      noFix: mode,
      details: { altitudeM: altMSL, accuracyM: eph },
    },
  ],
});
