/** Every setting there is: `npm run docs` writes docs/configuration.md from the descriptions. */

import { z } from "zod";
import { destinationSchema } from "./destination-schema.ts";
import { brokerSchema, listenSchema } from "./mqtt-schema.ts";
import {
  addressRange,
  ageMs,
  bytes,
  directory,
  file,
  hostName,
  ms,
  nameSchema,
  opsToken,
  port,
  text,
  tls,
  url,
} from "./setting-types.ts";
import { sourceSchema } from "./source-schema.ts";

export const configSchema = z.strictObject({
  redis: z
    .strictObject({
      url: url(["redis", "rediss"])
        .default("redis://127.0.0.1:6379")
        .describe("`rediss://` for TLS; user and password stand in it."),
      prefix: z
        .string()
        .regex(/^[A-Za-z0-9_-]{1,40}$/, "must be letters, digits, dashes and underscores, at most 40")
        .default("waypost")
        .describe("Every key begins with it. Gateways that share a Redis need different ones."),
      commandTimeoutMs: ms
        .default(2000)
        .describe("After this time a write counts as failed and the sender gets 503."),
    })
    .prefault({})
    .describe("Redis 7 or Valkey, with an AOF and `maxmemory-policy noeviction`."),
  http: z
    .strictObject({
      host: text.default("0.0.0.0").describe("The address to listen on."),
      port: port.default(8080).describe("0 lets the system choose."),
      publicUrl: url(["https"])
        .optional()
        .describe(
          "Under which address vendors reach the webhooks, for what `check --show` says to enter there: `https://gps.example.com`. Left out: shown as `https://<your host>`.",
        ),
      tls: tls("Senders").optional().describe("TLS of the gateway's own, where no proxy does it."),
      bodyLimitBytes: bytes
        .max(64_000_000)
        .default(2_000_000)
        .describe("The longest body as sent, and the longest when inflated."),
      trustedProxies: z
        .array(addressRange)
        .default([])
        .describe("Addresses and ranges of the proxies whose `X-Forwarded-For` counts."),
      answerWithinMs: ms
        .default(2500)
        .describe(
          "A webhook is answered within this time, storage included. It must be less than the vendors of your sources wait: Motive 3 s, Traccar and The Things Stack 5 s, DIMO 10 s, Smartcar and Verizon Connect 15 s.",
        ),
      maxConnections: z
        .int()
        .min(1)
        .optional()
        .describe(
          "Connections at a time. Default and upper bound: what the process's limit of open files leaves, at most 10,000.",
        ),
      maxConnectionsPerAddress: z
        .int()
        .min(1)
        .optional()
        .describe(
          "Connections of one address (IPv6: one /64) whose sender is not authenticated yet. Default: a quarter of `maxConnections`, at most 250.",
        ),
    })
    .prefault({})
    .describe("Where vendors send: `POST /webhooks/<source>`."),
  ops: z
    .strictObject({
      host: text
        .default("127.0.0.1")
        .describe("The ops endpoint stays on this machine unless told otherwise."),
      port: port.default(9090).describe("Must differ from the other ports."),
      // Any other name could be another website's (DNS rebinding).
      hosts: z
        .array(hostName)
        .default([])
        .describe(
          "Host names it is reached by, beside `host`, `localhost` and addresses. Requests by another name are refused.",
        ),
      token: opsToken
        .optional()
        .describe(
          "The one token, which may do everything: at least 16 characters; `openssl rand -hex 24` makes one.",
        ),
      tokens: z
        .array(
          z.strictObject({
            name: nameSchema.describe(
              "Instead of `token`, one token for each person or program: the trail uses this name.",
            ),
            token: opsToken.describe("At least 16 characters, and different from every other token."),
            role: z
              .enum(["read", "operate"])
              .describe("`read` asks, dry runs included. `operate` also redrives what was set aside."),
            destinations: z
              .array(nameSchema)
              .min(1)
              .optional()
              .describe(
                "It sees only these destinations, and the sources whose `destination` they are. Left out: all.",
              ),
          }),
        )
        .min(1)
        .optional(),
      metrics: z
        .strictObject({
          perDestination: z
            .boolean()
            .optional()
            .describe(
              "Whether the histograms of batches, attempts and latency have a series for each destination, 45 lines of `/metrics` each. Default: up to 100 destinations.",
            ),
        })
        .prefault({}),
    })
    .describe("The [ops endpoint](operations.md#the-ops-endpoint). Keep it off the internet."),
  mqtt: z
    .strictObject({
      brokers: z
        .record(nameSchema, brokerSchema)
        .default({})
        .describe("Brokers the gateway connects to, each under a name of your choice. Optional."),
      listen: listenSchema
        .optional()
        .describe("The embedded broker, to which devices connect themselves. Left out: there is none."),
    })
    .prefault({}),
  mapping: z
    .strictObject({
      file: file.describe("CSV, JSON or YAML. It is read again whenever it changes."),
    })
    .optional()
    .describe(
      "Which device is which unit, see [the mapping file](#the-mapping-file). Left out: a device is its own unit.",
    ),
  sources: z
    .record(nameSchema, sourceSchema)
    .default({})
    .describe("Who sends. At least one, here or with a [tenant](tenants.md)."),
  destinations: z
    .record(nameSchema, destinationSchema)
    .default({})
    .describe("Where pings go: ServiceTitan tenants. At least one, here or with a [tenant](tenants.md)."),
  queue: z
    .strictObject({
      groupCommitMs: z
        .int()
        .min(0)
        .max(100)
        .default(0)
        .describe(
          "How long a message may wait to be written together with others. 0 writes what arrived in one turn of the event loop.",
        ),
      concurrency: z
        .int()
        .min(1)
        .max(100_000)
        .optional()
        .describe(
          "Batches in flight in one process. Default: as many as all destinations have lanes, at least 100. Fewer than lanes are refused, because requests that hang at some tenants would delay the others.",
        ),
      lockMs: ms
        .default(2000)
        .describe(
          "`lockMs` + 2 × `stalledCheckMs` is the time after which the batches of a crashed process are taken over, at most 5000.",
        ),
      stalledCheckMs: ms.default(1500).describe("How often such batches are looked for."),
      toleratedStallMs: ms
        .default(1000)
        .describe("The longest stall of a process that does not cost it its batches. Less than `lockMs`."),
      ledgerBytes: bytes
        .default(256_000_000)
        .describe("What happened to each batch, for each app and tenant: at most this much,"),
      ledgerMaxAgeMs: ageMs.default(7 * 86_400_000).describe("and at most this long: 7 days."),
      quarantineBytes: bytes
        .default(64_000_000)
        .describe("Messages that could not be decoded, for each app and tenant: at most this much,"),
      quarantineMaxAgeMs: ageMs.default(14 * 86_400_000).describe("and at most this long: 14 days."),
      deadLetterBytes: bytes
        .default(64_000_000)
        .describe("Pings that ServiceTitan refused, for each app and tenant: at most this much,"),
      deadLetterMaxAgeMs: ageMs.default(14 * 86_400_000).describe("and at most this long: 14 days."),
    })
    .prefault({})
    .describe("The queue in Redis, and how long it remembers."),
  limits: z
    .strictObject({
      maxReadingsPerMessage: z
        .int()
        .min(1)
        .max(100_000)
        .default(5000)
        .describe(
          "A message with more is `malformed` and goes to quarantine: decoding it would hold up other senders.",
        ),
    })
    .prefault({}),
  diagnosis: z
    .strictObject({
      silentFloorMs: ms
        .default(300_000)
        .describe(
          "A source that sends nothing is a problem after five times its usual pause, and never before this: 5 minutes. Nights and weekends are learned.",
        ),
      staleAfterMs: ms
        .default(120_000)
        .describe(
          "A destination whose newest accepted positions are older than this at half of its units, while its sources send: 2 minutes.",
        ),
    })
    .prefault({})
    .describe("When something counts as a problem on the ops page."),
  spool: z
    .strictObject({
      dir: directory.describe(
        "Where webhook messages wait while Redis is away. It belongs to one process alone and must outlive it.",
      ),
      maxBytes: bytes
        .default(1_000_000_000)
        .describe("Of everything in the directory. Above it senders get 503."),
    })
    .optional()
    .describe(
      "With it, authenticated webhooks are answered 200 while Redis is away, see [the spool](guarantees.md#the-spool). Left out: senders get 503.",
    ),
  log: z
    .strictObject({
      level: z
        .enum(["debug", "info", "warn", "error"])
        .default("info")
        .describe("The least important lines that are written to standard output."),
      format: z
        .enum(["auto", "json", "pretty"])
        .default("auto")
        .describe("`pretty` is for reading on a terminal. `auto`: `pretty` on a terminal, `json` elsewhere."),
    })
    .prefault({}),
  shutdownMs: ms
    .optional()
    .describe(
      "After SIGTERM: how long requests and deliveries may take to end. Left out: 5 s more than the longest `requestTimeoutMs`, so 25000.",
    ),
});
