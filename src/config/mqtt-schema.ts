/** The settings of MQTT: brokers we connect to, and the embedded one, each with bounds, default and description. */

import { z } from "zod";
import {
  bytes,
  file,
  nameSchema,
  port,
  secret,
  speaksFor,
  text,
  tls,
  topicFilter,
  url,
} from "./setting-types.ts";

export const brokerSchema = z.strictObject({
  url: url(["mqtt", "mqtts", "ws", "wss", "tcp", "ssl"]).describe(
    "`mqtt`, `mqtts`, `ws` or `wss`. User and password go below.",
  ),
  clientId: text
    .max(128)
    .describe(
      "Fixed, and used by nothing else: it names the session in which the broker keeps messages while the gateway is away.",
    ),
  protocolVersion: z.literal([4, 5]).default(5).describe("4 is MQTT 3.1.1."),
  username: text.optional().describe("The login at the broker."),
  password: secret.optional().describe("Its password, or a token."),
  ca: file.optional().describe("A certificate authority of your own."),
  cert: file.optional().describe("A client certificate."),
  key: file.optional().describe("Its private key."),
  rejectUnauthorized: z
    .boolean()
    .default(true)
    .describe("Leave it true. False accepts a certificate that nobody signed."),
  keepaliveS: z
    .int()
    .min(5)
    .max(3600)
    .default(30)
    .describe("How often the connection is checked, and so how soon a dead one is noticed."),
  receiveMaximum: z
    .int()
    .min(1)
    .max(65_535)
    .default(500)
    .describe("How many messages may be in flight to the gateway and not stored yet."),
  maximumPacketBytes: bytes
    .max(268_435_455)
    .default(262_144)
    .describe("A longer payload is counted, acknowledged and not decoded."),
  sessionExpiryS: z
    .int()
    .min(60)
    .max(4_294_967_295)
    .default(604_800)
    .describe("How long the broker keeps messages while the gateway is away (MQTT 5)."),
});

/** A login at the embedded broker. */
export const deviceSchema = z.strictObject({
  // It stands for `%u` in topics, so it must not open a filter or a level of its own.
  username: z
    .string()
    .regex(
      /^[^+#/$\s\p{Cc}\p{Cf}\p{Cs}]{1,128}$/u,
      "must be 1 to 128 characters without space, +, #, / and $, and nothing invisible",
    )
    .describe("One login for each device."),
  password: secret.describe("Its password."),
  source: nameSchema.describe("The source its messages belong to."),
  topics: z
    .array(topicFilter)
    .min(1)
    .default(["%u/#"])
    .describe("What it may publish to; `%u` is its username. Nobody may subscribe."),
  speaksFor,
});

export const listenSchema = z.strictObject({
  host: text.default("0.0.0.0").describe("The address to listen on."),
  port: port.default(1883).describe("8883 is usual with `tls`."),
  tls: tls("Devices, beside their password,").optional().describe("TLS for `mqtts`. Left out: none."),
  maxUnacked: z
    .int()
    .min(1)
    .default(1000)
    .describe(
      "When this many messages of one source are not stored yet, the sockets of its devices are no longer read.",
    ),
  maxConnections: z
    .int()
    .min(1)
    .optional()
    .describe("Devices at a time. Default and upper bound as with `http`."),
  maxConnectionsPerAddress: z
    .int()
    .min(1)
    .optional()
    .describe("Connections of one address that have not logged in. Default as with `http`."),
  maximumPacketBytes: bytes
    .max(268_435_455)
    .default(262_144)
    .describe("A longer payload is counted, acknowledged and not decoded."),
  devices: z.array(deviceSchema).prefault([]),
});
