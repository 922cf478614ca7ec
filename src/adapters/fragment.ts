/** A candidate that tells a part of a position, for vendors who spread one over several messages (assembler.ts joins them). */

import type { Candidate } from "../reading.ts";

type Said = Pick<Candidate, "deviceId" | "fixTime" | "path"> & Partial<Omit<Candidate, "fragment">>;

/**
 * Leave out what the message is not about. A coordinate that it does not give, or gives so that nobody can read it, will
 * never be half of a position: then the candidate is no part, so that it is rejected at once and by name.
 */
export function fragment(said: Said): Candidate {
  return {
    latitude: null,
    longitude: null,
    speedMps: null,
    headingDeg: null,
    fragment: !isUseless(said.latitude) && !isUseless(said.longitude),
    ...said,
  };
}

function isUseless(coordinate: number | null | undefined): boolean {
  return coordinate === null || Number.isNaN(coordinate);
}
