/** Verizon Connect Reveal, asked by REST: the last positions of all vehicles that have a number. */

import { z } from "zod";
import type { RawReading, SpeedUnit } from "../reading.ts";
import { type DecodeContext, defineAdapter } from "./kit/adapter.ts";
import { type Each, each } from "./kit/each.ts";
import {
  compass,
  degrees,
  id,
  isoTimeAssumedUtc,
  items,
  label,
  noFixUnlessSaid,
  number,
  part,
  text,
  toMps,
} from "./kit/fields.ts";
import {
  type Options,
  type RevealPage,
  revealOptions,
  revealPull,
  type Vehicle,
  vehicle,
} from "./verizon-reveal-pull.ts";

const row = part({
  VehicleNumber: id,
  // Only with 200 the vendor has a position of this vehicle.
  StatusCode: noFixUnlessSaid("200"),
  ContentResource: part({
    Value: part({
      UpdateUTC: isoTimeAssumedUtc,
      Latitude: degrees,
      Longitude: degrees,
      Speed: number,
      Heading: compass,
      Direction: compass,
      DisplayState: text,
      DriverNumber: label,
      Address: part({ AddressLine1: label, Locality: label, AdministrativeArea: label, PostalCode: label }),
    }),
  }),
});

/** What the poller puts around the vendor's rows. */
const page = z.object({
  locations: items,
  vehicles: z.record(z.string(), z.unknown()),
  unnumbered: items,
  speedUnit: z.enum(["mph"]).nullable(),
}) satisfies z.ZodType<RevealPage>;

const BARE = { vehicles: {}, unnumbered: [], speedUnit: null };

export const verizonReveal = defineAdapter({
  vendor: "verizon-reveal",
  docs: "https://fim.us.fleetmatics.com",
  evidence: "documented",
  unknown: "unit of speed in an account outside the US; heading in degrees or words; limits",
  transports: ["pull"],
  auth: [],
  speedUnit: "optional",
  options: revealOptions,
  settingProblems: ({ options }) =>
    options ? [] : ["options: is required: the appId of the application that asks"],
  // A bare list of rows is an answer as the vendor gives it.
  payload: z.union([
    page.transform((sent) => ({ ...sent, path: "locations" })),
    items.transform((locations) => ({ ...BARE, locations, path: "" })),
  ]),
  decode: decodePage,
  pull: revealPull,
});

function decodePage(
  { locations, vehicles, unnumbered, speedUnit, path }: RevealPage & { path: string },
  context: DecodeContext<Options>,
): Each {
  const unit = context.speedUnit ?? speedUnit ?? undefined;
  return each([...locations, ...unnumbered], (sent, index) => {
    const nth = index - locations.length;
    if (nth >= 0) return withoutNumber(vehicle.parse(sent), `unnumbered[${nth}]`);
    const { VehicleNumber, ...rest } = row.parse(sent);
    const known =
      VehicleNumber !== null && Object.hasOwn(vehicles, VehicleNumber)
        ? vehicle.parse(vehicles[VehicleNumber])
        : null;
    const by = context.options?.deviceId ?? "VehicleNumber";
    const deviceId = by === "VehicleNumber" ? VehicleNumber : (known?.[by] ?? null);
    return rawReading(`${path}[${index}]`, deviceId, rest, known?.Name ?? null, unit);
  });
}

function rawReading(
  path: string,
  deviceId: string | null,
  { StatusCode, ContentResource: { Value } }: Omit<z.output<typeof row>, "VehicleNumber">,
  deviceName: string | number | null,
  unit: SpeedUnit | undefined,
): RawReading {
  const { Address } = Value;
  return {
    path,
    deviceId,
    fixTime: Value.UpdateUTC,
    latitude: Value.Latitude,
    longitude: Value.Longitude,
    speedMps: toMps(Value.Speed, unit),
    headingDeg: Value.Heading ?? Value.Direction,
    // The driver has switched tracking off.
    noFix: StatusCode || Value.DisplayState === "Privacy",
    details: {
      deviceName,
      street: Address.AddressLine1,
      city: Address.Locality,
      region: Address.AdministrativeArea,
      postalCode: Address.PostalCode,
      driver: Value.DriverNumber,
      vendorEvent: Value.DisplayState,
    },
  };
}

/** Rejected, and so counted and shown: nobody would see otherwise why this vehicle is missing. */
function withoutNumber({ Name }: Vehicle, path: string): RawReading {
  return {
    ...{ path, deviceId: null, fixTime: null, latitude: null, longitude: null },
    ...{ speedMps: null, headingDeg: null, details: { deviceName: Name } },
  };
}
