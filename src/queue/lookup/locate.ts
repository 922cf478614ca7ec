/** Locates a unit among what has not come to an end yet: waiting, in flight, or held until a mapping row names it. */

import type { Redis } from "ioredis";
import type { QueueDestination } from "../redis/destination.ts";
import { loadScript, namedArgs, runScript } from "../redis/script.ts";
import { laneOf } from "../store/routes.ts";

const LOCATE = loadScript("locate");

/** Per list; a few lists cost Redis a millisecond or two, and only people ask. */
const MAX_RECORDS = 2000;

/** What is known of a unit at this moment, beside what the ledger says of its past. */
export interface UnitLocation {
  waiting: number;
  inFlight: number;
  /** False: so much waits in its lane that only the newest was checked. */
  complete: boolean;
  /** Fix time of the newest ping that ServiceTitan accepted, UTC milliseconds since 1970. */
  acceptedFixTime: number | null;
  /** By device, as an unmapped device has no unit yet. */
  held: { source: string; fixTime: number }[];
}

export async function locateUnit(
  redis: Redis,
  { name, keyPrefix, lanes }: QueueDestination,
  unit: string,
  sources: readonly string[],
): Promise<UnitLocation> {
  const args = { destination: name, lane: laneOf(unit, lanes), unit, most: MAX_RECORDS, sources };
  const reply = await runScript(redis, LOCATE, [keyPrefix], [namedArgs(args)]);
  const [waiting, inFlight, isComplete, accepted, ...held] = reply;
  return {
    waiting: Number(waiting),
    inFlight: Number(inFlight),
    complete: isComplete === 1,
    acceptedFixTime: accepted === "" ? null : Number(accepted),
    held: held.flatMap((source, i) =>
      i % 2 === 0 ? [{ source: String(source), fixTime: Number(held[i + 1]) }] : [],
    ),
  };
}
