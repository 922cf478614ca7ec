/** Verizon Connect Reveal's GPS push: one position a message, through Amazon's SNS. */

import { z } from "zod";
import type { RawReading } from "../reading.ts";
import { defineAdapter, otherThan } from "./kit/adapter.ts";
import { basic } from "./kit/auth.ts";
import {
  degrees,
  epochMillis,
  flag,
  id,
  isoTimeAssumedUtc,
  kilometres,
  kph,
  label,
  part,
  text,
} from "./kit/fields.ts";
import { endOfSubscription, fromEnvelope, subscription } from "./kit/sns.ts";

const POSITION = "com.verizonconnect.integrations.vehicle.position.updated";

const event = z.object({
  type: z.literal(POSITION),
  data: z.object({
    vehicle: part({ esn: id, number: id, vin: id }),
    updateUTC: isoTimeAssumedUtc,
    latitude: degrees,
    longitude: degrees,
    speedKmph: kph,
    // `heading` is the same in words, which is wrong in the vendor's own example.
    directionDegrees: degrees,
    isPrivate: flag,
    displayState: text,
    odometerKm: kilometres,
    address: part({ addressLine1: label, locality: label, administrativeArea: label, postalCode: label }),
    driver: part({ driverFirstName: text, driverLastName: text }),
  }),
});

/** Of accounts older than the envelope. */
const beta = z.object({
  Vehicle: z.object({ ESN: id }),
  UpdateUTC: epochMillis,
  Latitude: degrees,
  Longitude: degrees,
  SpeedKmph: kph,
  DirectionDegrees: degrees,
  IsPrivate: flag,
  DisplayState: text,
  OdometerKm: kilometres,
});

const options = z
  .strictObject({
    /** What names a device: `number` as in the vendor's REST API, for a fleet that changes from one to the other. */
    deviceId: z.enum(["esn", "number", "vin"]).default("esn"),
  })
  .optional();

export const verizonConnect = defineAdapter({
  vendor: "verizon-connect",
  docs: "https://doc.arcgis.com/en/velocity/ingest/verizon-connect-reveal.htm",
  evidence: "documented",
  transports: ["webhook"],
  auth: [basic()],
  // From the vendor's guide; it tries twice more, a minute apart.
  deadlineMs: 15_000,
  // SNS sends its confirmation without credentials, and after a 401 again with them.
  challenge: "Basic",
  speedUnit: "kph",
  options,
  unseal: fromEnvelope,
  handshake: subscription,
  ignore: otherThan("type", [POSITION], endOfSubscription),
  ignores: "every other event than a position, and the end of the subscription",
  payload: z.union([event, beta]),
  decode: (message, { options }) => {
    const by = options?.deviceId ?? "esn";
    return ["data" in message ? ofEvent(message.data, by) : ofBeta(message, by)];
  },
});

type IdName = NonNullable<z.output<typeof options>>["deviceId"];

function ofEvent(
  { vehicle, address, driver, ...plot }: z.output<typeof event>["data"],
  by: IdName,
): RawReading {
  return {
    path: "data",
    deviceId: vehicle[by],
    fixTime: plot.updateUTC,
    latitude: plot.latitude,
    longitude: plot.longitude,
    speedMps: plot.speedKmph,
    headingDeg: plot.directionDegrees,
    noFix: isHidden(plot.isPrivate, plot.displayState),
    details: {
      street: address.addressLine1,
      city: address.locality,
      region: address.administrativeArea,
      postalCode: address.postalCode,
      odometerM: plot.odometerKm,
      driver: [driver.driverFirstName, driver.driverLastName].filter((name) => name !== null).join(" "),
      vendorEvent: plot.displayState,
    },
  };
}

function ofBeta(plot: z.output<typeof beta>, by: IdName): RawReading {
  return {
    path: "",
    // It names a vehicle in no other way.
    deviceId: by === "esn" ? plot.Vehicle.ESN : null,
    fixTime: plot.UpdateUTC,
    latitude: plot.Latitude,
    longitude: plot.Longitude,
    speedMps: plot.SpeedKmph,
    headingDeg: plot.DirectionDegrees,
    noFix: isHidden(plot.IsPrivate, plot.DisplayState),
    details: { odometerM: plot.OdometerKm, vendorEvent: plot.DisplayState },
  };
}

/** The driver has switched tracking off; the position is left out, or has to be ignored. */
function isHidden(isPrivate: boolean | null, displayState: string | null): boolean {
  return isPrivate === true || displayState === "Privacy";
}
