/** Digital Matter: trackers on trailers and assets, in the records of the OEM connector or one by one from Edge. */

import { z } from "zod";
import { defineAdapter } from "./kit/adapter.ts";
import { basic, bearer, customHeader } from "./kit/auth.ts";
import { each } from "./kit/each.ts";
import {
  cmPerSecond,
  degrees,
  id,
  isoTime,
  isoTimeAssumedUtc,
  items,
  listOf,
  metres,
  noFixBelow,
  number,
  part,
} from "./kit/fields.ts";

/** `FType` is the kind of a field: 0 is the position, 2 the inputs. */
const field = part({
  FType: number,
  GpsUTC: isoTimeAssumedUtc,
  Lat: degrees,
  Long: degrees,
  Alt: metres,
  Spd: cmPerSecond,
  Head: degrees,
  PosAcc: metres,
  /** 0 is no fix. */
  GpsStat: noFixBelow(1),
  DIn: number,
});

const record = part({ Fields: listOf(field) });
const oem = z.object({ IMEI: id, SerNo: id, Records: items });

const edge = z.object({
  date: isoTime,
  device: z.object({ imei: id, sn: id }),
  lat: degrees,
  lng: degrees,
  posAcc: metres,
  inputs: number,
});

export const digitalMatter = defineAdapter({
  vendor: "digital-matter",
  docs: "https://support.digitalmatter.com",
  evidence: "seen in code",
  transports: ["webhook"],
  auth: [basic(), bearer(), customHeader()],
  speedUnit: "cm/s",
  payload: z.union([oem, edge]),
  decode: (message) => ("Records" in message ? records(message) : [report(message)]),
});

function records({ IMEI, SerNo, Records }: z.output<typeof oem>) {
  return each(Records, (sent, index) => {
    const { Fields } = record.parse(sent);
    const gps = Fields.find(({ FType }) => FType === 0);
    const inputs = Fields.find(({ FType }) => FType === 2)?.DIn ?? null;
    return {
      path: `Records[${index}]`,
      deviceId: IMEI ?? SerNo,
      // Not the record's time: without a new fix the old one is sent again.
      fixTime: gps?.GpsUTC ?? null,
      latitude: gps?.Lat ?? null,
      longitude: gps?.Long ?? null,
      speedMps: gps?.Spd ?? null,
      headingDeg: gps?.Head ?? null,
      noFix: gps?.GpsStat ?? false,
      details: { altitudeM: gps?.Alt, accuracyM: gps?.PosAcc, ignition: ignitionIn(inputs) },
    };
  });
}

function report({ date, device, lat, lng, posAcc, inputs }: z.output<typeof edge>) {
  return {
    path: "",
    deviceId: device.imei ?? device.sn,
    fixTime: date,
    latitude: lat,
    longitude: lng,
    speedMps: null,
    headingDeg: null,
    details: { accuracyM: posAcc, ignition: ignitionIn(inputs) },
  };
}

/** The lowest of the inputs' bits. */
function ignitionIn(inputs: number | null): boolean | null {
  return inputs === null || !Number.isInteger(inputs) ? null : (inputs & 1) === 1;
}
