/** The settings of a source, each with its bounds, its default and its description. */

import { z } from "zod";
import { SPEED_UNITS } from "../reading.ts";
import {
  addressRange,
  ageMs,
  ms,
  nameSchema,
  secret,
  speaksFor,
  text,
  topicFilter,
  url,
} from "./setting-types.ts";

/** A person or device with a login of its own at a webhook. */
const user = z.strictObject({
  // RFC 7617 §2: what follows a colon is the password.
  username: z
    .string()
    .regex(
      /^(?!\s)[^:\p{Cc}\p{Cf}\p{Cs}]{1,128}(?<!\s)$/u,
      "must be 1 to 128 characters without colon, control characters, and white space at its ends",
    )
    .describe("For `basic`, in place of `auth.username`: one of several [logins](#logins)."),
  secret: secret.optional().describe("Its password."),
  secrets: z
    .array(secret)
    .min(1)
    .max(2)
    .optional()
    .describe("Two passwords while you change it; both are accepted."),
  speaksFor,
});

const auth = z.strictObject({
  method: text
    .optional()
    .describe("Which authentication method, where the [vendor](vendors.md#all-vendors) offers several."),
  secret: secret
    .optional()
    .describe("The shared secret or signing key; the token or password of a vendor that is polled."),
  secrets: z
    .array(secret)
    .min(1)
    .max(2)
    .optional()
    .describe(
      "Two secrets while you change it; both are accepted. A second one whose variable is not set counts as absent.",
    ),
  username: text.optional().describe("For `basic`, and for Geotab."),
  users: z.array(user).min(1).optional(),
  // RFC 9110 §5.6.2 says what a name may hold.
  header: z
    .string()
    .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "must be the name of an HTTP header")
    .optional()
    .describe("The header of `custom-header`, and of `hmac-sha256` where the customer chooses it."),
  allow: z.array(addressRange).min(1).optional().describe("The addresses and ranges of `address-list`."),
});

const mqttSource = z.strictObject({
  broker: text.describe("A name from `mqtt.brokers`, or `listen` for the embedded broker."),
  topics: z
    .array(topicFilter)
    .min(1)
    .optional()
    .describe("The topics to subscribe to. Left out: the vendor's usual ones."),
});

/** An adapter whose vendor is configured knows more settings; config/check-pull.ts refuses what neither knows. */
const pullSource = z.looseObject({
  intervalMs: ms
    .optional()
    .describe("How long to wait when nothing is left to fetch. Left out: the vendor's usual interval."),
  baseUrl: url(["http", "https"])
    .optional()
    .describe("Another of the vendor's regions, such as `https://api.eu.samsara.com`."),
  privateNetwork: z
    .boolean()
    .optional()
    .describe("Whether a vendor may be at an address of our own network. Left out: where `baseUrl` is one."),
  database: text
    .optional()
    .describe("Geotab's database. [Any other API](polling.md) is described by more settings here."),
});
export const PULL_SETTINGS = Object.keys(pullSource.shape);

export const sourceSchema = z.strictObject({
  vendor: text.describe("A name from the [list of vendors](vendors.md#all-vendors)."),
  destination: nameSchema.describe("Where the pings of devices go whose mapping row names no destination."),
  auth: auth.optional(),
  mqtt: mqttSource.optional(),
  pull: pullSource.optional(),
  speedUnit: z
    .enum(SPEED_UNITS)
    .optional()
    .describe("The unit of the vendor's speeds, where the vendor does not document it."),
  options: z
    .unknown()
    .optional()
    .describe(
      "What the adapter lets a source say; `json` has [paths](../src/adapters/README.md#any-other-json).",
    ),
  maxImpliedMps: z
    .number()
    .positive()
    .optional()
    .describe("Rejects a fix that the device could only reach from its last one faster than this, in m/s."),
  minIntervalMs: ageMs
    .optional()
    .describe("Rejects a fix that is closer in time to the device's last stored one."),
  maxAccuracyM: z
    .number()
    .positive()
    .optional()
    .describe("Rejects a fix that the vendor says is less accurate than this, in metres."),
  unmapped: z
    .enum(["forward", "hold"])
    .default("forward")
    .describe(
      "Devices that no mapping row names: send them under their own id, or hold the newest position of each.",
    ),
});
