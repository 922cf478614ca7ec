/** flespi: a bridge for some thousand kinds of hardware, as a list by HTTP stream or message by message by MQTT. */

import { z } from "zod";
import { defineAdapter, eventName } from "./kit/adapter.ts";
import { basic, bearer, customHeader } from "./kit/auth.ts";
import { each } from "./kit/each.ts";
import {
  degrees,
  epochSeconds,
  flag,
  id,
  isWithout,
  items,
  kilometres,
  kph,
  metres,
  number,
  part,
} from "./kit/fields.ts";

const message = part({
  ident: id,
  timestamp: epochSeconds,
  "position.latitude": degrees,
  "position.longitude": degrees,
  "position.speed": kph,
  "position.direction": degrees,
  "position.altitude": metres,
  "position.valid": flag,
  "engine.ignition.status": flag,
  "vehicle.mileage": kilometres,
  "battery.level": number,
});

/** 2001-01-01T00:00:00Z. Without a fix since it was switched on, the clock of a tracker shows the year 2000 or before. */
const CLOCK_SET_MS = 978_307_200_000;

const POSITION = ["position.latitude", "position.longitude", "position.valid"] as const;

export const flespi = defineAdapter({
  vendor: "flespi",
  docs: "https://flespi.com/kb/messages-basic-information-units",
  evidence: "documented",
  transports: ["webhook", "mqtt"],
  auth: [bearer(), customHeader(), basic()],
  topics: ["flespi/message/gw/devices/+", "flespi/message/gw/channels/+/+"],
  speedUnit: "kph",
  ignore: (sent, { topic }) => {
    // `state` topics hold one field each, retained and without a time.
    const kind = topic[0] === "flespi" ? topic[1] : undefined;
    if (kind !== undefined && kind !== "message") return eventName(kind) ?? "other-topic";
    const messages = Array.isArray(sent) ? sent : [sent];
    return messages.length > 0 && messages.every(isTelemetry) ? "telemetry" : null;
  },
  ignores: "messages without any `position` field, and topics other than `message`",
  payload: z.union([
    items,
    z
      .record(z.string(), z.unknown())
      .refine((one) => Object.hasOwn(one, "ident") || Object.hasOwn(one, "timestamp"), "must have an ident")
      .transform((one) => [one]),
  ]),
  decode: (messages, { topic }) => {
    const [, , , origin, , identInTopic = null] = topic;
    return each(messages, (sent, index) => {
      if (isTelemetry(sent)) return [];
      const each = message.parse(sent);
      return {
        path: topic.length > 0 ? "" : `[${index}]`,
        deviceId: each.ident ?? (origin === "channels" ? identInTopic : null),
        fixTime: each.timestamp,
        latitude: each["position.latitude"],
        longitude: each["position.longitude"],
        speedMps: each["position.speed"],
        headingDeg: each["position.direction"],
        noFix: each["position.valid"] === false || (each.timestamp !== null && each.timestamp < CLOCK_SET_MS),
        details: {
          ignition: each["engine.ignition.status"],
          odometerM: each["vehicle.mileage"],
          altitudeM: each["position.altitude"],
          batteryPct: each["battery.level"],
        },
      };
    });
  },
});

function isTelemetry(sent: unknown): boolean {
  return isWithout(POSITION, sent) && Object.hasOwn(sent, "ident");
}
