/** Lytx: event recorders in service fleets; every five seconds a list of vehicles with up to 500 positions. */

import { defineAdapter } from "./kit/adapter.ts";
import { basic, bearer, customHeader, sharedKey } from "./kit/auth.ts";
import { each } from "./kit/each.ts";
import { degrees, id, isoTimeAssumedUtc, items, listOf, metres, mps, part } from "./kit/fields.ts";

const position = part({
  timeInUtc: isoTimeAssumedUtc,
  latitude: degrees,
  longitude: degrees,
  speedms: mps,
  heading: degrees,
  hAccuracyM: metres,
});

const row = part({ vehicleId: id, gpsPositions: listOf(position) });

export const lytx = defineAdapter({
  vendor: "lytx",
  docs: "https://lytxdeveloperportal.redoc.ly/docs/webhook_gps",
  evidence: "documented",
  transports: ["webhook"],
  auth: [sharedKey("apikey"), basic(), bearer(), customHeader()],
  speedUnit: "mps",
  payload: items,
  decode: (vehicles) =>
    each(vehicles, (sent, vehicle) => {
      const { vehicleId, gpsPositions } = row.parse(sent);
      return gpsPositions.map((fix, index) => ({
        path: `[${vehicle}].gpsPositions[${index}]`,
        deviceId: vehicleId,
        fixTime: fix.timeInUtc,
        latitude: fix.latitude,
        longitude: fix.longitude,
        speedMps: fix.speedms,
        headingDeg: fix.heading,
        details: { accuracyM: fix.hAccuracyM },
      }));
    }),
});
