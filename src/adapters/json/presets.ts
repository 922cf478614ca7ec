/** Formats of other systems that need no adapter of their own: the json adapter under their names, with fixed options. */

import { basic, customHeader, urlToken } from "../kit/auth.ts";
import { preset } from "./preset.ts";

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
    // Integrations add one in units of their own.
    speed: null,
    timeFormat: "received",
    details: { accuracyM: "gps_accuracy", batteryPct: "battery_level" },
  },
});

/** Every attribute of a tracker by itself, as JSON, in any order; the base topic is the installation's. */
export const homeAssistantStatestream = preset({
  vendor: "home-assistant-statestream",
  docs: "https://www.home-assistant.io/integrations/mqtt_statestream/",
  evidence: "documented",
  topics: ["homeassistant/device_tracker/+/latitude", "homeassistant/device_tracker/+/longitude"],
  speedUnit: "none",
  ignores: "every other attribute and entity, by topic",
  words: "state",
  options: {
    deviceId: { topicLevel: 3 },
    timeFormat: "received",
    fragment: true,
    variants: [
      { topic: "homeassistant/device_tracker/+/latitude", latitude: "@" },
      { topic: "homeassistant/device_tracker/+/longitude", longitude: "@" },
    ],
  },
});

export const tasmota = preset({
  vendor: "tasmota",
  docs: "https://github.com/arendst/Tasmota/blob/development/tasmota/xsns_60_GPS.ino",
  evidence: "source code",
  topics: ["tele/+/SENSOR"],
  speedUnit: "none",
  ignores: "other topics than `SENSOR`",
  options: {
    topic: "tele/+/SENSOR",
    deviceId: { topicLevel: 2 },
    position: "GPS || UBX || @",
    speed: null,
    // Its `Time` is the local one of a zone that it does not say.
    timeFormat: "received",
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
    // Without a clock it says no time.
    withoutTime: "received",
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
    // Keys are the device's, bare or under `values`; without `ts` the platform itself takes the time of arrival.
    position: "values || @",
    time: "ts",
    timeFormat: "epochMillis",
    withoutTime: "received",
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

/** IPC Outbound of the inReach portal: satellite messengers of remote crews. */
export const garminInreach = preset({
  vendor: "garmin-inreach",
  docs: "https://github.com/janschill/track-me/blob/main/garmin-api.md",
  evidence: "seen in code",
  unknown: "the unit of speed, and the header's name",
  auth: [customHeader(), basic(), urlToken()],
  speedUnit: "required",
  ignores: "reference points (code 8), which are places that are not the device's",
  options: {
    readings: "Events",
    deviceId: "imei",
    position: "point",
    time: "timeStamp",
    timeFormat: "epochMillis",
    ignoreWhen: "Events[0] && !(Events[?messageCode != `8`])",
    ignoreReading: "messageCode == `8`",
    // Without a fix both coordinates are zero.
    noFixWhen: "point.gpsFix == `0`",
  },
});
