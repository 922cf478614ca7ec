/** GPSLogger for Android: one position in a URL, form or JSON that the customer lays out. */

import { z } from "zod";
import { defineAdapter } from "./kit/adapter.ts";
import { basic, customHeader, urlToken } from "./kit/auth.ts";
import { degrees, epochSeconds, id, isoTime, kph, metres, mps, number } from "./kit/fields.ts";
import { jsonOrForm } from "./kit/form.ts";

const name = z.string().min(1);

/** The name under which the customer's template sends each of the app's parameters; default: as `%ALL` sends them. */
const options = z
  .strictObject({
    AID: name.default("aid"),
    LAT: name.default("lat"),
    LON: name.default("lon"),
    TIMESTAMP: name.default("timestamp"),
    TIME: name.default("time"),
    SPD: name.default("spd"),
    SPD_KPH: name.default("spd_kph"),
    DIR: name.default("dir"),
    ACC: name.default("acc"),
    ALT: name.default("alt"),
    BATT: name.default("batt"),
  })
  .prefault({});

export const gpslogger = defineAdapter({
  vendor: "gpslogger",
  docs: "https://gpslogger.app/#customurl",
  evidence: "source code",
  transports: ["webhook"],
  auth: [basic(), customHeader(), urlToken()],
  methods: ["POST", "GET"],
  format: jsonOrForm,
  speedUnit: "mps",
  idOutsideBody: () => "query",
  options,
  payload: z.record(z.string(), z.unknown()),
  decode: (sent, { options: names, query }) => {
    // The app can post its parameters in the URL, too.
    const value = (key: keyof typeof names) => sent[names[key]] ?? query[names[key]];
    const [deviceId, latitude, longitude] = [
      id.parse(value("AID")),
      degrees.parse(value("LAT")),
      degrees.parse(value("LON")),
    ];
    if (deviceId === null && latitude === null && longitude === null) {
      return { problems: [`message: none of ${names.AID}, ${names.LAT} and ${names.LON}`] };
    }
    return [
      {
        path: "",
        deviceId,
        fixTime: epochSeconds.parse(value("TIMESTAMP")) ?? isoTime.parse(value("TIME")),
        latitude,
        longitude,
        speedMps: mps.parse(value("SPD")) ?? kph.parse(value("SPD_KPH")),
        headingDeg: degrees.parse(value("DIR")),
        details: {
          accuracyM: metres.parse(value("ACC")),
          altitudeM: metres.parse(value("ALT")),
          batteryPct: number.parse(value("BATT")),
        },
      },
    ];
  },
});
