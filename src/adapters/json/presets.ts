/** Formats of other systems that need no adapter of their own: the json adapter under their names, with fixed options. */

import { z } from "zod";
import type { SpeedUnit } from "../../reading.ts";
import { type Adapter, defineAdapter, type Message } from "../kit/adapter.ts";
import { isRecord } from "../kit/fields.ts";
import { jsonOptions, withoutNulls } from "./variants.ts";

interface Preset extends Pick<Adapter, "vendor" | "docs" | "evidence" | "speedUnit" | "ignores"> {
  topics: readonly string[];
  /** The unit of speed unless the source states another. */
  unit?: SpeedUnit;
  /** What a message in plain words is. */
  words?: string;
  /** As a source would set them; the source's own options override these, and null removes one. */
  options: Record<string, unknown>;
}

/** The adapter's options schema: what a source leaves out comes from the preset. */
function over(options: Preset["options"]) {
  return z
    .unknown()
    .transform((own): unknown => {
      if (own !== undefined && !isRecord(own)) return own;
      return withoutNulls({ ...options, ...own });
    })
    .pipe(jsonOptions);
}

function preset({ unit, words, options, ...facts }: Preset): Adapter {
  return defineAdapter({
    ...facts,
    transports: ["mqtt"],
    auth: [],
    format: (message) => (words !== undefined && isWords(message) ? "text" : "json"),
    options: over(options),
    topicsRead: ({ topics }) => topics,
    ignore: (raw, context) => {
      const other = context.options.ignored(raw, context);
      return other ?? (words !== undefined && typeof raw === "string" && WORDS.test(raw) ? words : null);
    },
    payload: z.unknown(),
    decode: (raw, { speedUnit, ...context }) =>
      context.options.decode(raw, { ...context, speedUnit: speedUnit ?? unit }),
  });
}

const WORDS = /^\s*(?!(?:true|false|null)\s*$)\p{L}[\p{L}\p{N} _.'-]{0,63}\s*$/u;

function isWords({ body }: Message): boolean {
  return !/^\s*(?:[[{"0-9-]|(?:true|false|null)\s*$)/.test(
    Buffer.from(body.subarray(0, 64)).toString("latin1"),
  );
}

export const homeAssistant = preset({
  vendor: "home-assistant",
  docs: "https://www.home-assistant.io/integrations/device_tracker.mqtt/",
  evidence: "documented",
  topics: ["location/+"],
  speedUnit: "none",
  ignores: "names of zones (`home`, `not_home`), and other topics",
  words: "state",
  options: {
    topic: "location/+",
    deviceId: { topicLevel: 2 },
    latitude: "latitude",
    longitude: "longitude",
    timeFormat: "received",
    details: { accuracyM: "gps_accuracy", batteryPct: "battery_level" },
  },
});

/** What home-made firmware (ESP32, Espruino) usually sends; its author chose the unit of speed. */
export const homeMade = preset({
  vendor: "home-made",
  docs: "src/adapters/README.md#formats-that-are-options",
  evidence: "seen in code",
  topics: ["trackers/+"],
  speedUnit: "required",
  ignores: "other topics",
  options: {
    topic: "trackers/+",
    deviceId: { topicLevel: 2 },
    latitude: "lat",
    longitude: "lon || lng",
    speed: "speed",
    heading: "course",
    timeFormat: "received",
    details: { altitudeM: "alt" },
  },
});

/** ThingsBoard calls a device itself `me`; behind a bridge the bridge chooses that level. */
const OWN_TELEMETRY = ["v1/devices/+/telemetry", "v2/t"];

export const thingsboard = preset({
  vendor: "thingsboard",
  docs: "https://thingsboard.io/docs/reference/mqtt-api/#telemetry-upload-api",
  evidence: "documented",
  topics: ["v1/devices/me/telemetry", "v1/gateway/telemetry"],
  speedUnit: "optional",
  unit: "kph",
  ignores: "other topics than telemetry",
  options: {
    latitude: "values.latitude || latitude",
    longitude: "values.longitude || longitude",
    speed: "values.speed || speed",
    time: "ts",
    timeFormat: "epochMillis",
    // The server takes its own time for what has none, on both topics.
    orReceived: true,
    deviceId: { topicLevel: 3 },
    variants: [{ topic: "v1/gateway/telemetry", deviceId: { key: true } }, { topic: OWN_TELEMETRY }],
  },
});

/** `state` or `current.state`: names as devices report them, and the time at which the cloud received the latitude. */
function reported(at: string) {
  return {
    latitude: `${at}state.reported.latitude`,
    longitude: `${at}state.reported.longitude`,
    speed: `${at}state.reported.speedKph`,
    time: `${at}metadata.reported.latitude.timestamp`,
    ignoreWhen: reportsElse(at),
  };
}

function shadowTopics(what: string): string[] {
  return [`$aws/things/+/shadow/${what}`, `$aws/things/+/shadow/name/+/${what}`];
}

/** Recognised by its content: other reports, or only requested values; a message without content is damaged. */
function reportsElse(at: string): string {
  const lacks = (where: string, key: string) => `!contains(keys(${at}${where}), '${key}')`;
  const otherThings = `${at}state.reported && ${lacks("state.reported", "latitude")} && ${lacks("state.reported", "longitude")}`;
  return `${otherThings} || ${at}state.desired && ${lacks("state", "reported")}`;
}

export const awsIotShadow = preset({
  vendor: "aws-iot-shadow",
  docs: "https://docs.aws.amazon.com/iot/latest/developerguide/device-shadow-mqtt.html",
  evidence: "documented",
  // One of the three that carry the same position, and the only one that always carries it whole.
  topics: shadowTopics("update/documents"),
  speedUnit: "optional",
  unit: "kph",
  ignores: "updates that report no place; deltas, rejections and what was asked for",
  options: {
    deviceId: { topicLevel: 3 },
    timeFormat: "epochSeconds",
    variants: [
      { topic: shadowTopics("update/documents"), ...reported("current.") },
      { topic: shadowTopics("update/accepted"), ...reported("") },
      { topic: shadowTopics("update"), ...reported(""), time: null, timeFormat: "received" },
    ],
  },
});

export const roataway = preset({
  vendor: "roataway",
  docs: "https://github.com/roataway/api-documentation",
  evidence: "documented",
  topics: ["telemetry/transport/+"],
  speedUnit: "kph",
  unit: "kph",
  ignores: "other topics than `telemetry/transport`",
  options: {
    topic: "telemetry/transport/+",
    deviceId: { topicLevel: 3 },
    latitude: "latitude",
    longitude: "longitude",
    speed: "speed",
    heading: "direction",
    time: "timestamp",
  },
});

export const digitrafficRail = preset({
  vendor: "digitraffic-rail",
  docs: "https://www.digitraffic.fi/en/railway-traffic/",
  evidence: "documented",
  topics: ["train-locations/+/+"],
  speedUnit: "kph",
  unit: "kph",
  ignores: "other topics than `train-locations`",
  options: {
    topic: "train-locations/+/+",
    // The number of a train is that of its day.
    deviceId: { topicLevels: [2, 3] },
    coordinates: "location.coordinates",
    speed: "speed",
    time: "timestamp",
    details: { accuracyM: "accuracy" },
  },
});

export const victron = preset({
  vendor: "victron",
  docs: "https://github.com/victronenergy/dbus-flashmq",
  evidence: "seen in code",
  topics: ["N/+/gps/#"],
  speedUnit: "mps",
  unit: "mps",
  ignores: "every other value of the installation, by topic",
  options: {
    // The installation, and which of its receivers.
    deviceId: { topicLevels: [2, 4] },
    timeFormat: "received",
    fragment: true,
    variants: [
      { topic: "N/+/gps/+/Position/Latitude", latitude: "value" },
      { topic: "N/+/gps/+/Position/Longitude", longitude: "value" },
      { topic: "N/+/gps/+/Speed", speed: "value" },
      { topic: "N/+/gps/+/Course", heading: "value" },
      { topic: "N/+/gps/+/Fix", noFixWhen: "!(value >= `1`)" },
    ],
  },
});
