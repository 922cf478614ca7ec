/** GPSLogger for Android: one position in a URL, form or JSON that the customer lays out. */

import { z } from "zod";
import { defineAdapter } from "./kit/adapter.ts";
import { basic, customHeader, urlToken } from "./kit/auth.ts";
import { degrees, id, isUnsaid, kph, metres, number, toMps, UNREADABLE } from "./kit/fields.ts";
import { jsonOrForm } from "./kit/form.ts";
import { senderDevice, senderDeviceId, senderDevicePlace } from "./kit/sender-device.ts";
import { anyTime } from "./kit/time-formats.ts";

/**
 * The app's parameters, each with the names under which they usually come: as `%ALL` sends them, as the URL that the app
 * proposes does (`lat=%LAT&longitude=%LON&time=%TIME&s=%SPD`, PreferenceHelper.java), and as its users write them.
 */
const NAMES = {
  AID: ["aid"],
  LAT: ["lat", "latitude"],
  LON: ["lon", "longitude", "lng", "long"],
  TIMESTAMP: ["timestamp"],
  TIME: ["time"],
  SPD: ["spd", "s", "speed"],
  SPD_KPH: ["spd_kph"],
  DIR: ["dir", "bearing", "heading", "course"],
  ACC: ["acc", "accuracy"],
  ALT: ["alt", "altitude"],
  BATT: ["batt", "battery", "bat"],
} as const;
type Parameter = keyof typeof NAMES;

const nameOr = (usual: readonly string[]) =>
  z
    .string()
    .min(1)
    .optional()
    .transform((name): readonly string[] => (name === undefined ? usual : [name]));

/** The name under which the customer's template sends each of the app's parameters; left out, the usual ones. */
const options = z
  .strictObject({
    deviceId: senderDevice,
    AID: nameOr(NAMES.AID),
    LAT: nameOr(NAMES.LAT),
    LON: nameOr(NAMES.LON),
    TIMESTAMP: nameOr(NAMES.TIMESTAMP),
    TIME: nameOr(NAMES.TIME),
    SPD: nameOr(NAMES.SPD),
    SPD_KPH: nameOr(NAMES.SPD_KPH),
    DIR: nameOr(NAMES.DIR),
    ACC: nameOr(NAMES.ACC),
    ALT: nameOr(NAMES.ALT),
    BATT: nameOr(NAMES.BATT),
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
  // Metres per second, as the app's help says of %SPD; templates of older forks and of other apps differ.
  speedUnit: "optional",
  idOutsideBody: ({ deviceId }) => senderDevicePlace(deviceId),
  options,
  payload: z.record(z.string(), z.unknown()),
  decode: (sent, context) => {
    const { options: names, query, speedUnit = "mps" } = context;
    // The app can post its parameters in the URL, too.
    const value = (parameter: Parameter) => oneOf(names[parameter].map((name) => sent[name] ?? query[name]));
    const deviceId = senderDeviceId(names.deviceId, id.parse(value("AID")), context);
    const [latitude, longitude] = [degrees.parse(value("LAT")), degrees.parse(value("LON"))];
    // Set aside whole, so that it can be decoded once the options are right.
    if (deviceId === null) {
      const where = `none of ${names.AID.join(", ")}, and none in the URL`;
      return { problems: [`message: names no device (${where}); set options.deviceId or options.AID`] };
    }
    if (latitude === null && longitude === null && isUnsaid(value("AID"))) {
      return { problems: [`message: none of ${[...names.AID, ...names.LAT, ...names.LON].join(", ")}`] };
    }
    return [
      {
        path: "",
        deviceId,
        fixTime: anyTime.parse(value("TIMESTAMP")) ?? anyTime.parse(value("TIME")),
        latitude,
        longitude,
        // A name with a unit in it needs no other.
        speedMps: toMps(number.parse(value("SPD")), speedUnit) ?? kph.parse(value("SPD_KPH")),
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

/** Two names that say different things say nothing. */
function oneOf(values: readonly unknown[]): unknown {
  const said = values.filter((value) => !isUnsaid(value));
  return said.every((value) => value === said[0])
    ? (said[0] ?? values.find((value) => value !== undefined))
    : UNREADABLE;
}
