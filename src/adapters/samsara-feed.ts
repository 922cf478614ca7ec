/** Samsara's feeds: vehicles by the stats feed, other assets by the location stream; both are asked for, page by page. */

import { z } from "zod";
import type { RawReading } from "../reading.ts";
import { defineAdapter } from "./kit/adapter.ts";
import { each } from "./kit/each.ts";
import {
  degrees,
  id,
  isoTime,
  isRecord,
  items,
  label,
  listOf,
  metres,
  mph,
  mps,
  part,
} from "./kit/fields.ts";
import { definePull, type PullResult, parsed, troubleOf } from "./kit/pull.ts";

const gps = part({
  time: isoTime,
  latitude: degrees,
  longitude: degrees,
  headingDegrees: degrees,
  speedMilesPerHour: mph,
  reverseGeo: part({ formattedLocation: label }),
});

const vehicle = part({
  id,
  name: label,
  // A list in the feed, where the snapshot has one object; a vehicle that never had a fix has none.
  gps: listOf(gps),
});

const asset = part({
  happenedAtTime: isoTime,
  asset: part({ id }),
  location: part({
    latitude: degrees,
    longitude: degrees,
    headingDegrees: degrees,
    accuracyMeters: metres,
  }),
  speed: part({ gpsSpeedMetersPerSecond: mps, ecuSpeedMetersPerSecond: mps }),
});

const options = z
  .strictObject({
    /** Follows these assets instead of all vehicles; the stream takes no more in one request. */
    assetIds: z
      .array(z.string().regex(/^\d{1,20}$/, "must be an id in quotes"))
      .min(1)
      .max(50),
  })
  .optional();

export const samsaraFeed = defineAdapter({
  vendor: "samsara-feed",
  docs: "https://developers.samsara.com/docs/vehicle-stats-feed",
  evidence: "documented",
  unknown: "order and repetitions within an answer, which may be any; the limit of this endpoint",
  transports: ["pull"],
  auth: [],
  speedUnit: "mph",
  options,
  // Their stream for Kafka has the rows of the location stream, each by itself.
  payload: z.union([
    z.object({ data: items }).transform(({ data }) => ({ data, path: "data" })),
    items
      .refine((rows) => rows.every(isOfAsset), "holds no rows of assets")
      .transform((data) => ({ data, path: "" })),
    z
      .record(z.string(), z.unknown())
      .refine(isOfAsset, "is no row of an asset")
      .transform((row) => ({ data: [row], path: null })),
  ]),
  decode: ({ data, path }) =>
    each(data, (row, index) => {
      const at = path === null ? "" : `${path}[${index}]`;
      return isOfAsset(row) ? positionOf(asset.parse(row), at) : fixesOf(vehicle.parse(row), at);
    }),
  pull: definePull<never, z.output<typeof options>>({
    baseUrl: "https://api.samsara.com",
    hosts: /^api(\.[a-z]{2})?\.samsara\.com$/,
    needs: ["secret"],
    minIntervalMs: 5000,
    intervalMs: 5000,
    // The lowest limit documented for any of their endpoints is 5 requests a second.
    minGapMs: 200,
    cursorLifetimeMs: 30 * 86_400_000,
    request({ baseUrl, account, cursor, options }) {
      const path = options
        ? `/assets/location-and-speed/stream?ids=${options.assetIds.join(",")}&includeSpeed=true`
        : "/fleet/vehicles/stats/feed?types=gps";
      const after = cursor === null ? "" : `&after=${encodeURIComponent(cursor)}`;
      const headers = { authorization: `Bearer ${account.secret}`, accept: "application/json" };
      return { method: "GET", url: `${baseUrl}${path}${after}`, headers };
    },
    parse({ status, text }, { cursor }): PullResult<never> {
      // What is asked is fixed but for the cursor.
      if (status === 400 && cursor !== null) return { kind: "cursor_refused" };
      const trouble = troubleOf(status);
      if (trouble) return trouble;
      const page = pageSchema.safeParse(parsed(text));
      if (!page.success)
        return { kind: "unavailable", reason: "unreadable_answer", detail: "no page of a feed" };
      const { data, pagination } = page.data;
      const body = data === null || data.length === 0 ? null : text;
      return {
        kind: "page",
        body,
        cursor: pagination.endCursor ?? "",
        more: pagination.hasNextPage,
        session: null,
      };
    },
  }),
});

/** What is needed to go on; of the rows it knows only whether there are any. A sibling feed says null for none. */
const pageSchema = z.object({
  data: items.nullable(),
  pagination: z.object({ endCursor: z.string().nullish(), hasNextPage: z.boolean() }),
});

/** Tells the two feeds apart: either key is enough, so that a damaged row of the stream is none of a vehicle. */
function isOfAsset(row: unknown): boolean {
  return isRecord(row) && (Object.hasOwn(row, "asset") || Object.hasOwn(row, "happenedAtTime"));
}

function fixesOf({ id, name, gps }: z.output<typeof vehicle>, path: string): RawReading[] {
  return gps.map((fix, nth) => ({
    path: `${path}.gps[${nth}]`,
    deviceId: id,
    fixTime: fix.time,
    latitude: fix.latitude,
    longitude: fix.longitude,
    speedMps: fix.speedMilesPerHour,
    headingDeg: fix.headingDegrees,
    details: { deviceName: name, street: fix.reverseGeo.formattedLocation },
  }));
}

function positionOf(row: z.output<typeof asset>, path: string): RawReading {
  const { location, speed } = row;
  return {
    path,
    deviceId: row.asset.id,
    fixTime: row.happenedAtTime,
    latitude: location.latitude,
    longitude: location.longitude,
    speedMps: speed.gpsSpeedMetersPerSecond ?? speed.ecuSpeedMetersPerSecond,
    headingDeg: location.headingDegrees,
    details: { accuracyM: location.accuracyMeters },
  };
}
