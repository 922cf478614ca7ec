/** Blues Notehub: routed events of Notecards; each carries the last GPS fix with the time of that fix. */

import { z } from "zod";
import { defineAdapter } from "./kit/adapter.ts";
import { bearer, customHeader } from "./kit/auth.ts";
import { degrees, epochSeconds, id, text } from "./kit/fields.ts";

export const bluesNotehub = defineAdapter({
  vendor: "blues-notehub",
  docs: "https://dev.blues.io/api-reference/system-notefiles/",
  evidence: "documented",
  transports: ["webhook", "mqtt"],
  auth: [bearer(), customHeader()],
  // Velocity and bearing in the body of `_track.qo` have no documented unit.
  speedUnit: "none",
  // GPS alone: `tower_*` is a cell mast, `tri_*` an estimate, and `best_*` any of these, which its type names.
  payload: z.object({
    device: id,
    file: text,
    where_when: epochSeconds,
    where_lat: degrees,
    where_lon: degrees,
    best_location_type: text,
    best_location_when: epochSeconds,
    best_lat: degrees,
    best_lon: degrees,
  }),
  decode: ({ device, file, where_when, where_lat, where_lon, ...best }) => {
    const isBest = where_when === null && where_lat === null && where_lon === null;
    const place =
      isBest && best.best_location_type === "gps"
        ? { fixTime: best.best_location_when, latitude: best.best_lat, longitude: best.best_lon }
        : { fixTime: where_when, latitude: where_lat, longitude: where_lon };
    return [
      {
        path: "",
        deviceId: device,
        ...place,
        speedMps: null,
        headingDeg: null,
        details: { vendorEvent: file },
      },
    ];
  },
});
