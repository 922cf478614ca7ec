/** Jimi's IoT hub and Tracksolid Pro, pushed: a form whose field `data_list` holds a list of positions as JSON. */

import { z } from "zod";
import { defineAdapter, type Ignore, otherThan } from "./kit/adapter.ts";
import { bodyToken } from "./kit/auth.ts";
import { each } from "./kit/each.ts";
import {
  degrees,
  flag,
  id,
  isoTimeAssumedUtc,
  isRecord,
  isWithout,
  items,
  kph,
  noFixUnlessSaid,
  part,
} from "./kit/fields.ts";
import { jsonOrForm, withJsonField } from "./kit/form.ts";

/** `gps`, `pushgps` and `jimi.push.device.gps`: addresses and messages name the kind alike, but for what stands before it. */
const POSITIONS = /^(?:[\w.]*[._])?(?:push)?gps$/i;
const PLACE = ["lat", "lng", "gpsTime"] as const;

const item = part({
  deviceImei: id,
  gpsTime: isoTimeAssumedUtc,
  lat: degrees,
  lng: degrees,
  gpsSpeed: kph,
  speed: kph,
  direction: degrees,
  acc: flag,
  // Any other is a place of the network. Both spellings occur at this vendor.
  posType: noFixUnlessSaid("gps"),
  postType: noFixUnlessSaid("gps"),
});

export const jimi = defineAdapter({
  vendor: "jimi",
  docs: "https://tracksolidprodocs.jimicloud.com",
  evidence: "seen in code",
  unknown: "unit of speed (km/h is read); some names of fields; whether anything is sent again",
  transports: ["webhook"],
  auth: [bodyToken("token")],
  format: jsonOrForm,
  // One address for each kind of message: what the vendor puts behind ours names the kind.
  kindInPath: true,
  speedUnit: "kph",
  unseal: (raw, { maxReadings }) => withJsonField(raw, "data_list", maxReadings),
  ignore: otherKind(),
  ignores: "heartbeats, alarms, events, places of cells, trips, and every other kind than positions",
  payload: z.object({ data_list: items }),
  decode: ({ data_list }) =>
    each(data_list, (sent, index) => {
      const { deviceImei, gpsTime, lat, lng, gpsSpeed, speed, direction, acc, ...of } = item.parse(sent);
      return {
        path: `data_list[${index}]`,
        deviceId: deviceImei,
        fixTime: gpsTime,
        latitude: lat,
        longitude: lng,
        speedMps: gpsSpeed ?? speed,
        headingDeg: direction,
        noFix: of.posType || of.postType,
        details: { ignition: acc },
      };
    }),
  reply: { status: 200, contentType: "application/json", body: '{"code":0,"message":"success"}' },
});

/** By the kind that address and message name; where neither does, by what the items hold. */
function otherKind(): Ignore {
  const byName = otherThan(["kind", "msgType"], POSITIONS, (raw) => {
    const sent = isRecord(raw) && Array.isArray(raw.data_list) ? raw.data_list : [];
    const isOther =
      sent.length > 0 &&
      sent.every((each) => isWithout(PLACE, each) && isRecord(each) && Object.hasOwn(each, "deviceImei"));
    return isOther ? "no-position" : null;
  });
  const ignore: Ignore = (raw, context) =>
    byName(isRecord(raw) ? { ...raw, kind: context.query.kind ?? null } : raw, context);
  return Object.assign(ignore, { discriminators: ["msgType"] });
}
