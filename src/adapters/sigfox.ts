/** Sigfox callbacks: a form or JSON that the customer lays out, with the output of their payload decoder. */

import { z } from "zod";
import { defineAdapter } from "./kit/adapter.ts";
import { addressList, customHeader, urlToken } from "./kit/auth.ts";
import { pathOr, positionIn, positionPaths } from "./kit/codec-paths.ts";
import { epochSeconds, id } from "./kit/fields.ts";
import { jsonOrForm } from "./kit/form.ts";

export const sigfox = defineAdapter({
  vendor: "sigfox",
  docs: "https://support.sigfox.com/docs/custom-callback-creation",
  evidence: "seen in code",
  transports: ["webhook"],
  auth: [customHeader(), urlToken(), addressList()],
  methods: ["POST", "GET"],
  format: jsonOrForm,
  speedUnit: "optional",
  options: z
    .strictObject({
      ...positionPaths,
      deviceId: pathOr("deviceId", "device"),
      time: pathOr("positionTime", "time"),
      // Not `lat`, `lng` and `location`: the network estimates those from its base stations.
      latitude: pathOr("latitude"),
      longitude: pathOr("longitude"),
    })
    .prefault({}),
  payload: z.record(z.string(), z.unknown()),
  decode: (sent, { options, speedUnit }) => {
    const deviceId = id.parse(options.deviceId(sent));
    const position = positionIn(sent, options, speedUnit);
    const fixTime = epochSeconds.parse(options.time(sent));
    if (deviceId === null && position.latitude === null && position.longitude === null) {
      return { problems: ["message: nothing at the paths of deviceId, latitude and longitude"] };
    }
    return [{ path: "", deviceId, fixTime, ...position }];
  },
});
