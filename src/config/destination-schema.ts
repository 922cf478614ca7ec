/** The settings of a destination, each with its bounds, its default and its description. */

import { z } from "zod";
import { SPEED_UNITS } from "../reading.ts";
import { bytes, ms, secret, text, unlessMissing, url } from "./setting-types.ts";

export const destinationSchema = z.strictObject({
  environment: z
    .enum(["production", "integration", "custom"])
    .default("production")
    .describe("ServiceTitan's environment. `custom` needs `apiUrl` and `authUrl`."),
  apiUrl: url(["http", "https"])
    .optional()
    .describe("Base of the API, only with `custom`: https, or a private address."),
  authUrl: url(["http", "https"]).optional().describe("Base of the token endpoint, only with `custom`."),
  tenant: z
    .union([z.string(), z.int().transform(String)], {
      error: unlessMissing("must be the numeric tenant id; a long one in quotes"),
    })
    .pipe(z.string().regex(/^[1-9]\d{0,18}$/, "must be the numeric tenant id, not the tenant's name"))
    .describe("The numeric tenant id."),
  provider: text
    .max(100)
    .regex(/^\S(.*\S)?$/, { error: "begins or ends with white space", abort: true })
    // RFC 3986 §2.3: these stand for themselves in an address, where a slash or a space would need another writing.
    .regex(
      /^(?!\.{1,2}$)[A-Za-z0-9._~-]+$/,
      "must be the name that stands in the address: letters, digits, -, _, . and ~",
    )
    .describe(
      "The `gps_provider` that ServiceTitan gave you, as it stands in the address: letters, digits, `-`, `_`, `.` and `~`.",
    ),
  appKey: secret.describe("Sent as `ST-App-Key`."),
  clientId: secret.describe("OAuth client id of this tenant and environment."),
  clientSecret: secret.describe("Its secret."),
  ratePerSecond: z
    .int()
    .min(1)
    .max(1000)
    .default(20)
    .describe("Requests in any second. Must be the same for all destinations of one app and tenant."),
  guardMs: z
    .int()
    .min(20)
    .max(1000)
    .default(40)
    .describe(
      "Added to that second, because the way to ServiceTitan takes one request longer than another, see [Rate](guarantees.md#rate).",
    ),
  maxBatchPings: z.int().min(1).max(5000).default(100).describe("A batch goes when it has this many pings,"),
  maxBatchBytes: bytes.min(1024).default(64_000).describe("or this many bytes,"),
  maxBatchAgeMs: ms.default(1000).describe("or when its oldest ping has waited this long."),
  lanes: z
    .int()
    .min(1)
    .max(64)
    .default(4)
    .describe("How many batches are in flight at once. A unit always takes the same lane."),
  maxAgeMs: z
    .int()
    .min(0)
    .default(600_000)
    .describe(
      "Older pings are not sent; their age is checked right before sending. 0 switches the limit off.",
    ),
  backfill: z
    .enum(["drop", "deliver"])
    .default("drop")
    .describe("Pings that a newer accepted ping of the unit has overtaken: drop them, or deliver them too."),
  isNew: z
    .enum(["first", "always", "never"])
    .default("first")
    .describe(
      "The field `isNew`: true on a unit's first ping, always, or never. ServiceTitan does not document how it uses it.",
    ),
  speedUnit: z.enum(SPEED_UNITS).default("mph").describe("The unit of the speeds that are sent."),
  requestTimeoutMs: ms.default(20_000).describe("The longest that one POST may take, connecting included."),
  bufferBytes: bytes
    .default(256_000_000)
    .describe("How much may wait for this destination. Above it senders get 503."),
});
