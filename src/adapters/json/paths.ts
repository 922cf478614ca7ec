/** One set of the json adapter's options, ready to decode with. */

import type { DecodeContext } from "../kit/adapter.ts";
import { outsideBody } from "./device-id.ts";
import { pathOptions, unitOfPath } from "./path-options.ts";
import { decodePaths } from "./raw-readings.ts";

export const paths = pathOptions.transform((given) => ({
  /** Whether a speed is in the unit that the source has to state. */
  readsSpeed: given.speed ? !given.speedUnit && unitOfPath(given.speed.text) === undefined : false,
  idOutsideBody: outsideBody(given.deviceId),
  ignores: (raw: unknown) => given.ignoreWhen?.(raw) === true,
  decode: (raw: unknown, context: DecodeContext) => decodePaths(raw, given, context),
}));
