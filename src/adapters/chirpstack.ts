/** ChirpStack version 4 (LoRaWAN): uplinks decoded by the customer's codec, and solved locations, by webhook or MQTT. */

import { z } from "zod";
import { type DecodeContext, defineAdapter } from "./kit/adapter.ts";
import { customHeader } from "./kit/auth.ts";
import { positionIn, positionPaths } from "./kit/codec-paths.ts";
import { degrees, id, isoTime, metres, part, text } from "./kit/fields.ts";

const OTHERS = ["join", "status", "ack", "txack", "log", "integration"];
/** No named source, or the device's own receivers; all other locations are estimated from gateways, or configured. */
const SOURCES = ["UNKNOWN", "GPS", "GEO_RESOLVER_GNSS", "GEO_RESOLVER_WIFI"];

export const chirpstack = defineAdapter({
  vendor: "chirpstack",
  docs: "https://www.chirpstack.io/docs/chirpstack/integrations/events.html",
  evidence: "documented",
  transports: ["webhook", "mqtt"],
  auth: [customHeader()],
  topics: ["application/+/device/+/event/up", "application/+/device/+/event/location"],
  speedUnit: "optional",
  options: z.strictObject(positionPaths).prefault({}),
  ignore: (_, context) => OTHERS.find((name) => name === eventOf(context)) ?? null,
  ignores: "joins, status, acknowledgements, logs and integration events",
  payload: z.object({
    time: isoTime,
    deviceInfo: part({ devEui: id }),
    object: z.unknown().optional(),
    location: part({
      latitude: degrees,
      longitude: degrees,
      altitude: metres,
      accuracy: metres,
      source: text,
    }),
  }),
  decode: ({ time, deviceInfo, object, location }, context) => {
    const { latitude, longitude, altitude, accuracy, source } = location;
    const position =
      eventOf(context) === "location"
        ? {
            latitude,
            longitude,
            speedMps: null,
            headingDeg: null,
            noFix: !SOURCES.includes(source ?? "UNKNOWN"),
            details: { altitudeM: altitude, accuracyM: accuracy },
          }
        : positionIn(object, context.options, context.speedUnit);
    return [{ path: "", deviceId: deviceInfo.devEui, fixTime: time, ...position }];
  },
});

/** Not in the body: the URL's `?event=`, or the last level of the topic. */
function eventOf({ query, topic }: DecodeContext): string | undefined {
  return query.event ?? topic.at(-1);
}
