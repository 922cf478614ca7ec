/** One set of the json adapter's options, ready to decode with. */

import type { DecodeContext } from "../kit/adapter.ts";
import { unitInPath } from "../kit/synonyms.ts";
import { type Found, outsideBody } from "./device-id.ts";
import { pathOptions } from "./path-options.ts";
import { decodeFound, decodePaths, type OfMessage, ofMessageIn, readingsIn } from "./raw-readings.ts";

export const paths = pathOptions.transform((given) => ({
  /** Whether a speed is in the unit that the source has to state. */
  readsSpeed: given.speed ? !given.speedUnit && unitInPath(given.speed.text) === undefined : false,
  idOutsideBody: outsideBody(given.deviceId),
  ignores: (raw: unknown) => given.ignoreWhen?.(raw) === true,
  decode: (raw: unknown, context: DecodeContext) => decodePaths(raw, given, context),
  /** For a vendor that is asked: the readings of its answer one by one, so that those that say nothing new are left out. */
  rows: {
    in: (raw: unknown) => readingsIn(raw, given),
    ofMessage: (raw: unknown) => ofMessageIn(raw, given),
    lookup: typeof given.deviceId === "function" ? undefined : given.deviceId.lookup,
    isAsked: typeof given.deviceId !== "function" && given.deviceId.asked === true,
    decode: (found: readonly Found[], ofMessage: OfMessage, context: DecodeContext) =>
      decodeFound(found, ofMessage, given, context),
  },
}));
