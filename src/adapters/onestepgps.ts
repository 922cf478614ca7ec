/** OneStepGPS: alerts, most of which say where the vehicle is. */

import { z } from "zod";
import { defineAdapter } from "./kit/adapter.ts";
import { addressList, urlToken } from "./kit/auth.ts";
import { degrees, flag, id, isoTime, mph, part, text } from "./kit/fields.ts";

export const onestepgps = defineAdapter({
  vendor: "onestepgps",
  docs: "https://apiuat.matrixtelematics.com/Help/Api/POST-api-onestop-telemetry",
  evidence: "seen in code",
  unknown: "how it proves who it is; whether anything is sent again",
  transports: ["webhook"],
  auth: [urlToken(), addressList()],
  speedUnit: "mph",
  payload: z.object({
    device_id: z.unknown().pipe(id),
    alert_name: text,
    lat: z.unknown().pipe(degrees),
    lng: z.unknown().pipe(degrees),
    speed_mph: mph,
    ignition_on: flag,
    device_point: part({ dt_tracker: isoTime, dt_server: isoTime, angle: degrees }),
  }),
  decode: ({ device_point, ...alert }) => [
    {
      path: "",
      deviceId: alert.device_id,
      // Never `alert_time_utc`: an offline alert comes hours after the position it names. Without a `device_point` the
      // time of the position is unknown.
      fixTime: device_point.dt_tracker ?? device_point.dt_server,
      latitude: alert.lat,
      longitude: alert.lng,
      speedMps: alert.speed_mph,
      headingDeg: device_point.angle,
      details: { ignition: alert.ignition_on, vendorEvent: alert.alert_name },
    },
  ],
});
