/** Sigfox callbacks: a form or JSON that the customer lays out, with the output of their payload decoder. */

import { z } from "zod";
import type { RawReading } from "../reading.ts";
import { defineAdapter } from "./kit/adapter.ts";
import { addressList, customHeader, urlToken } from "./kit/auth.ts";
import { positionPaths, positionsIn } from "./kit/codec-paths.ts";
import { path } from "./kit/expression.ts";
import { id } from "./kit/fields.ts";
import { jsonOrForm } from "./kit/form.ts";
import { namedIn, plainOf } from "./kit/synonyms.ts";

export const sigfox = defineAdapter({
  vendor: "sigfox",
  docs: "https://support.sigfox.com/docs/custom-callback-creation",
  evidence: "seen in code",
  transports: ["webhook"],
  auth: [customHeader(), urlToken(), addressList()],
  methods: ["POST", "GET"],
  format: jsonOrForm,
  speedUnit: "optional",
  options: z.strictObject({ ...positionPaths, deviceId: path.optional() }).prefault({}),
  payload: z.record(z.string(), z.unknown()),
  decode: (sent, { options, speedUnit }) => {
    const deviceId = id.parse(options.deviceId ? options.deviceId(sent) : (sent.deviceId ?? sent.device));
    const uplink = { payload: sent, named: withoutEstimates(sent), arrival: null, path: "", payloadPath: "" };
    const positions = positionsIn(uplink, { ...seconds, ...options }, speedUnit);
    if (
      deviceId === null &&
      positions.every(({ latitude, longitude }) => latitude === null && longitude === null)
    )
      return { problems: ["message: nothing at the paths of deviceId, latitude and longitude"] };
    return positions.map((position): RawReading => ({ deviceId, ...position }));
  },
});

/** The callback's `{time}` is in seconds since 1970; a codec's own time counts before it. */
const seconds = {
  time: (sent: unknown) => namedIn(sent).value("fixTime") ?? namedIn(sent).value("time"),
  timeFormat: "epochSeconds",
} as const;

/** The network estimates these from its base stations; they are read only where the options lead to them. */
const ESTIMATES = ["lat", "lng", "lon", "long", "location", "position"];

function withoutEstimates(sent: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(sent).filter(([key]) => !ESTIMATES.includes(plainOf(key))));
}
