/** ChirpStack (LoRaWAN), versions 4 and 3: uplinks decoded by the customer's codec, and solved locations, by webhook or MQTT. */

import { z } from "zod";
import { AT_RECEIPT, type RawReading } from "../reading.ts";
import { type DecodeContext, defineAdapter } from "./kit/adapter.ts";
import { customHeader } from "./kit/auth.ts";
import { codecPaths, positionsIn } from "./kit/codec-paths.ts";
import { degrees, id, isoTime, isRecord, isUnsaid, metres, part, text } from "./kit/fields.ts";
import { unquoted } from "./kit/form.ts";

const OTHERS = ["join", "status", "ack", "txack", "log", "integration", "error"];
/** No named source, or the device's own receivers; all other locations are estimated from gateways, or configured. */
const SOURCES = ["UNKNOWN", "GPS", "GEO_RESOLVER_GNSS", "GEO_RESOLVER_WIFI"];

export const chirpstack = defineAdapter({
  vendor: "chirpstack",
  docs: "https://www.chirpstack.io/docs/chirpstack/integrations/events.html",
  evidence: "documented",
  transports: ["webhook", "mqtt"],
  auth: [customHeader()],
  topics: [
    "application/+/device/+/event/up",
    "application/+/device/+/event/location",
    // Version 3, before its topics were those of version 4.
    "application/+/device/+/rx",
    "application/+/device/+/location",
  ],
  speedUnit: "optional",
  options: z.strictObject(codecPaths).prefault({}),
  ignore: (_, context) => OTHERS.find((name) => name === eventOf(context)) ?? null,
  ignores: "joins, status, acknowledgements, errors, logs and integration events",
  payload: z.object({
    time: isoTime,
    deviceInfo: part({ devEui: id }),
    /** In version 3 the device stands here, in hexadecimal or, with the marshaler `json`, in base64. */
    devEUI: id,
    object: z.unknown().optional(),
    /** Version 3 with the marshaler `json`: JSON in a text, empty without a codec. */
    objectJSON: z.unknown().optional().transform(unquoted),
    rxInfo: z.unknown().optional(),
    publishedAt: z.unknown().optional(),
    location: part({
      latitude: degrees,
      longitude: degrees,
      altitude: metres,
      accuracy: metres,
      source: text,
    }),
  }),
  decode: (message, context) => {
    const { deviceInfo, devEUI, object, objectJSON, location } = message;
    const { options, speedUnit } = context;
    const uplink = {
      payload: object ?? objectJSON,
      arrival: devEUI === null ? message.time : arrivalAt(message),
      path: "",
      payloadPath: object === undefined ? "objectJSON" : "object",
    };
    const deviceId = deviceInfo.devEui ?? inHex(devEUI);
    const positions = positionsIn(uplink, options, speedUnit);
    if (eventOf(context) !== "location")
      return positions.map((position): RawReading => ({ deviceId, ...position }));
    const { latitude, longitude, altitude, accuracy, source } = location;
    // Of the uplink that was solved, where it is there.
    const { speedMps = null, headingDeg = null } = positions[0] ?? {};
    return [
      {
        ...{ path: "", deviceId, fixTime: uplink.arrival, latitude, longitude, speedMps, headingDeg },
        noFix: !SOURCES.includes(source ?? "UNKNOWN"),
        details: { altitudeM: altitude, accuracyM: accuracy },
      },
    ];
  },
});

/** Not in the body: the URL's `?event=`, or the last level of the topic. */
function eventOf({ query, topic }: DecodeContext): string | undefined {
  return query.event ?? topic.at(-1);
}

/** Version 3 has no time of its own: that of the first gateway which has a clock, else that of publishing. */
function arrivalAt({
  rxInfo,
  publishedAt,
}: {
  rxInfo?: unknown;
  publishedAt?: unknown;
}): RawReading["fixTime"] {
  const gateways: readonly unknown[] = Array.isArray(rxInfo) ? rxInfo : [];
  const times = gateways.map((gateway) => (isRecord(gateway) ? gateway.time : gateway));
  const said = [...times, publishedAt].find((time) => !isUnsaid(time));
  return isoTime.parse(said) ?? AT_RECEIPT;
}

/** Eight bytes are eleven characters of base64 and a sign of equality. */
function inHex(devEUI: string | null): string | null {
  return devEUI !== null && /^[A-Za-z0-9+/]{11}=$/.test(devEUI)
    ? Buffer.from(devEUI, "base64").toString("hex")
    : devEUI;
}
