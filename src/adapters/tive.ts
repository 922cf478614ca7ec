/** Tive: trackers on shipments and trailers; a place without speed or heading. */

import { z } from "zod";
import { defineAdapter } from "./kit/adapter.ts";
import { customHeader } from "./kit/auth.ts";
import {
  degrees,
  epochMillis,
  id,
  isoTimeAssumedUtc,
  label,
  metres,
  number,
  part,
  text,
} from "./kit/fields.ts";

export const tive = defineAdapter({
  vendor: "tive",
  docs: "https://developers.tive.com/docs/webhooks",
  evidence: "documented",
  transports: ["webhook"],
  auth: [customHeader()],
  speedUnit: "none",
  payload: z.object({
    DeviceId: id,
    EntryTimeEpoch: epochMillis,
    EntryTimeUtc: isoTimeAssumedUtc,
    Location: part({
      Latitude: degrees,
      Longitude: degrees,
      FormattedAddress: label,
      LocationMethod: text,
      Accuracy: part({ Meters: metres }),
    }),
    Battery: part({ Percentage: number }),
  }),
  decode: ({ DeviceId, EntryTimeEpoch, EntryTimeUtc, Location, Battery }) => [
    {
      path: "Location",
      deviceId: DeviceId,
      fixTime: EntryTimeEpoch ?? EntryTimeUtc,
      latitude: Location.Latitude,
      longitude: Location.Longitude,
      speedMps: null,
      headingDeg: null,
      // By `cell` it is the area of a mast, kilometres wide.
      noFix: !/^(gps|wifi)$/i.test(Location.LocationMethod ?? ""),
      details: {
        street: Location.FormattedAddress,
        accuracyM: Location.Accuracy.Meters,
        batteryPct: Battery.Percentage,
      },
    },
  ],
});
