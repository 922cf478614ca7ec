/** Overland: iPhones that send batches of GeoJSON points, with visits and events of the app between them. */

import { z } from "zod";
import { defineAdapter, eventName } from "./kit/adapter.ts";
import { bearer, customHeader, urlToken } from "./kit/auth.ts";
import { each } from "./kit/each.ts";
import { degrees, id, isoTime, isRecord, items, metres, mps, number, part } from "./kit/fields.ts";
import { senderDevice, senderDeviceId, senderDevicePlace } from "./kit/sender-device.ts";

/** Longitude first, in GeoJSON sometimes with the height behind both. */
const coordinates = z.array(degrees).min(2).max(3).catch([Number.NaN, Number.NaN]);

const feature = part({
  geometry: part({ coordinates }),
  properties: part({
    device_id: id,
    timestamp: isoTime,
    speed: mps,
    course: degrees,
    horizontal_accuracy: metres,
    altitude: metres,
    battery_level: number,
  }),
});

export const overland = defineAdapter({
  vendor: "overland",
  docs: "https://github.com/aaronpk/Overland-iOS#api",
  evidence: "documented",
  transports: ["webhook"],
  auth: [bearer(), customHeader(), urlToken()],
  speedUnit: "mps",
  // The app sends an empty `device_id` until its user names the phone.
  options: z.strictObject({ deviceId: senderDevice }).optional(),
  idOutsideBody: (options) => senderDevicePlace(options?.deviceId),
  ignore: (raw) => {
    const features = isRecord(raw) && Array.isArray(raw.locations) ? raw.locations : [];
    return features.every((each) => nameOf(each) !== null) ? nameOf(features[0]) : null;
  },
  ignores: "visits, trips and events of the app, alone or between points",
  payload: z.object({
    locations: items,
  }),
  decode: ({ locations }, context) =>
    each(locations, (sent, index) => {
      if (nameOf(sent) !== null) return [];
      const { geometry, properties } = feature.parse(sent);
      return {
        path: `locations[${index}]`,
        deviceId: senderDeviceId(context.options?.deviceId, properties.device_id, context),
        fixTime: properties.timestamp,
        latitude: geometry.coordinates[1] ?? null,
        longitude: geometry.coordinates[0] ?? null,
        speedMps: orUnknown(properties.speed),
        headingDeg: orUnknown(properties.course),
        details: {
          accuracyM: orUnknown(properties.horizontal_accuracy),
          altitudeM: properties.altitude,
          batteryPct: orUnknown(properties.battery_level === null ? null : properties.battery_level * 100),
        },
      };
    }),
  // With any other body the app sends the batch again, for ever.
  reply: { status: 200, contentType: "application/json", body: '{"result":"ok"}' },
});

/** The kind of a feature that is no point of the route: points have neither of these properties. */
function nameOf(feature: unknown): string | null {
  const properties = isRecord(feature) && isRecord(feature.properties) ? feature.properties : {};
  return eventName(properties.action) ?? eventName(properties.type);
}

/** iOS writes −1 for what it does not know. */
function orUnknown(value: number | null): number | null {
  return value !== null && value < 0 ? null : value;
}
