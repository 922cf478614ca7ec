/** A candidate that tells a part of a position, for vendors who spread one over several messages (assembler.ts joins them). */

import type { RawReading } from "../../reading.ts";

type Said = Pick<RawReading, "deviceId" | "fixTime" | "path"> &
  Partial<Omit<RawReading, "fragment" | "unknown">>;

/**
 * Leave out what the message is not about: null means that the vendor does not know it now. A coordinate that it does
 * not give, or gives so that nobody can read it, will never be half of a position: then the candidate is no part, so
 * that it is rejected at once and by name.
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
