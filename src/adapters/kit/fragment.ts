/** A raw reading with part of a position, for vendors who spread one over several messages (ingest/assembler.ts joins them). */

import type { RawReading } from "../../reading.ts";

type Said = Pick<RawReading, "deviceId" | "fixTime" | "path"> &
  Partial<Omit<RawReading, "fragment" | "unknown">>;

/**
 * Leave out what the message is not about: null means that the vendor does not know it now. A coordinate that is null or
 * unreadable can never complete a position: the raw reading is then no fragment, so that it is rejected at once and by
 * name.
 */
export function fragment(said: Said): RawReading {
  const unknown = (["speedMps", "headingDeg"] as const).filter((field) => said[field] === null);
  return {
    latitude: null,
    longitude: null,
    speedMps: null,
    headingDeg: null,
    fragment: !isUseless(said.latitude) && !isUseless(said.longitude),
    ...(unknown.length > 0 && { unknown }),
    ...said,
  };
}

function isUseless(coordinate: number | null | undefined): boolean {
  return coordinate === null || Number.isNaN(coordinate);
}
