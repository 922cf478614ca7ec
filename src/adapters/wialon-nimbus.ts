/** Wialon NimBus: a bus or van at a stop, with where it was. */

import { z } from "zod";
import { defineAdapter } from "./kit/adapter.ts";
import { addressList, urlToken } from "./kit/auth.ts";
import { degrees, epochSeconds, id, kph, part } from "./kit/fields.ts";
import { jsonOrForm, unquoted } from "./kit/form.ts";

const EVENTS: ReadonlyMap<string | null, string> = new Map([
  ["1", "ride started"],
  ["32", "stop entered"],
  ["128", "stop left"],
  ["256", "stop skipped"],
  ["2048", "leave track"],
]);

export const wialonNimbus = defineAdapter({
  vendor: "wialon-nimbus",
  docs: "https://help.wialon.com/en/nimbus/user-guide/administrator-interface/depot-administration/server-notifications",
  evidence: "documented",
  transports: ["webhook"],
  auth: [urlToken(), addressList()],
  methods: ["POST", "GET"],
  format: jsonOrForm,
  speedUnit: "kph",
  payload: z.object({
    u: id,
    tm: epochSeconds,
    tp: id,
    // By GET it is text in the query.
    pos: z.preprocess(unquoted, part({ x: degrees, y: degrees, s: kph, c: degrees })),
  }),
  decode: ({ u, tm, tp, pos }) => [
    {
      path: "pos",
      deviceId: u,
      fixTime: tm,
      latitude: pos.y,
      longitude: pos.x,
      speedMps: pos.s,
      headingDeg: pos.c,
      details: { vendorEvent: EVENTS.get(tp) ?? tp },
    },
  ],
});
