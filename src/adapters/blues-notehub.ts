/** Blues Notehub: routed events of Notecards; each carries the last GPS fix with the time of that fix. */

import { z } from "zod";
import { defineAdapter } from "./adapter.ts";
import { bearer, customHeader } from "./auth.ts";
import { degrees, epochSeconds, id, text } from "./fields.ts";

export const bluesNotehub = defineAdapter({
  vendor: "blues-notehub",
  docs: "https://dev.blues.io/api-reference/system-notefiles/",
  evidence: "documented",
  transports: ["webhook", "mqtt"],
  auth: [bearer(), customHeader()],
  // Velocity and bearing in the body of `_track.qo` have no documented unit.
  speedUnit: "none",
  // GPS alone: `tower_*` is a cell mast, `tri_*` an estimate, and `best_*` may be either.
  payload: z.object({
    device: id,
    file: text,
    where_when: epochSeconds,
    where_lat: degrees,
    where_lon: degrees,
  }),
  decode: ({ device, file, where_when, where_lat, where_lon }) => [
    {
      path: "",
      deviceId: device,
      fixTime: where_when,
      latitude: where_lat,
      longitude: where_lon,
      speedMps: null,
      headingDeg: null,
      details: { vendorEvent: file },
    },
  ],
});
