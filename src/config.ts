/** Every setting there is, as one schema; reads the file and the environment, and reports every problem at once. */

import { readFileSync } from "node:fs";
import { parseDocument } from "yaml";
import { z } from "zod";
import { SPEED_UNITS } from "./reading.ts";

const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,39}$/, "must be lower-case letters, digits and dashes, at most 40, for example acme-vans");
const port = z.int().min(0).max(65_535);
const ms = z.int().positive();
const bytes = z.int().positive();
const secret = z
  .string()
  .min(1, "must not be empty")
  .refine((text) => text === text.trim(), "begins or ends with white space; a pasted newline is the usual cause");
const tls = z.strictObject({ cert: z.string().min(1), key: z.string().min(1), ca: z.string().min(1).optional() });

const auth = z.strictObject({
  /** Which of the adapter's proofs; may be left out where it offers only one. */
  proof: z.string().optional(),
  secret: secret.optional(),
  /** While rotating: both are accepted. */
  secrets: z.array(secret).min(1).max(2).optional(),
  username: z.string().min(1).optional(),
  header: z.string().min(1).optional(),
  allow: z.array(z.string().min(1)).min(1).optional(),
});

const mqttSource = z.strictObject({
  /** Name of a broker below, or `listen` for the embedded one. */
  broker: z.string().min(1),
  topics: z.array(z.string().min(1)).min(1).optional(),
});

const source = z.strictObject({
  vendor: z.string().min(1),
  destination: name,
  auth: auth.optional(),
  mqtt: mqttSource.optional(),
  speedUnit: z.enum(SPEED_UNITS).optional(),
  options: z.unknown().optional(),
  /** Drops a fix that implies a faster straight line from the device's last one; metres per second. */
  maxImpliedMps: z.number().positive().optional(),
  /** Drops a fix closer in time to the device's last kept one. */
  minIntervalMs: ms.optional(),
  /** For devices that no mapping row names. */
  unmapped: z.enum(["forward", "hold"]).default("forward"),
});

const destination = z.strictObject({
  /** ServiceTitan's environment; `custom` needs apiUrl and authUrl. */
  environment: z.enum(["production", "integration", "custom"]).default("production"),
  apiUrl: z.url({ protocol: /^https?$/ }).optional(),
  authUrl: z.url({ protocol: /^https?$/ }).optional(),
  tenant: z
    .union([z.string(), z.int().nonnegative().transform(String)])
    .pipe(z.string().regex(/^\d{1,19}$/, "must be the numeric tenant id, not the tenant's name")),
  provider: z.string().min(1).max(100),
  appKey: secret,
  clientId: secret,
  clientSecret: secret,
  ratePerSecond: z.number().int().min(1).max(1000).default(20),
  /** Added to the throttle's one-second window: jitter between our clock and the receiver's door. */
  guardMs: z.int().min(26).max(1000).default(50),
  maxBatchPings: z.int().min(1).max(5000).default(100),
  maxBatchBytes: bytes.min(1024).default(64_000),
  maxBatchAgeMs: ms.default(1000),
  lanes: z.int().min(1).max(64).default(4),
  /** Older pings are never sent; 0 switches the limit off. */
  maxAgeMs: z.int().min(0).default(600_000),
  backfill: z.enum(["drop", "deliver"]).default("drop"),
  /** `first`: true on a unit's first ping; how ServiceTitan uses it is undocumented. */
  isNew: z.enum(["first", "always", "never"]).default("first"),
  speedUnit: z.enum(SPEED_UNITS).default("mph"),
  requestTimeoutMs: ms.default(20_000),
  bufferBytes: bytes.default(256_000_000),
});

const broker = z.strictObject({
  url: z.url({ protocol: /^(mqtt|mqtts|ws|wss|tcp|ssl)$/ }),
  clientId: z.string().min(1).max(128),
  protocolVersion: z.union([z.literal(4), z.literal(5)]).default(5),
  username: z.string().optional(),
  password: secret.optional(),
  ca: z.string().optional(),
  cert: z.string().optional(),
  key: z.string().optional(),
  /** Only for a broker with a certificate of its own making; leave true. */
  rejectUnauthorized: z.boolean().default(true),
  keepaliveS: z.int().min(5).max(3600).default(30),
  receiveMaximum: z.int().min(1).max(65_535).default(500),
  maximumPacketBytes: bytes.default(262_144),
  sessionExpiryS: z.int().min(60).default(604_800),
});

const listen = z.strictObject({
  host: z.string().default("0.0.0.0"),
  port: port.default(1883),
  tls: tls.optional(),
  /** Un-kept messages at which sockets are no longer read. */
  maxUnkept: z.int().min(1).default(1000),
  maximumPacketBytes: bytes.default(262_144),
  /** A device may publish under `topics` only; `%u` stands for its username. */
  devices: z
    .array(
      z.strictObject({
        username: z.string().min(1).max(128),
        password: secret,
        source: name,
        topics: z.array(z.string().min(1)).min(1).default(["%u/#"]),
      }),
    )
    .min(1),
});

const schema = z.strictObject({
  redis: z
    .strictObject({
      url: z.url({ protocol: /^rediss?$/ }).default("redis://127.0.0.1:6379"),
      /** Every key begins with it; several gateways may share a Redis under different prefixes. */
      prefix: z.string().regex(/^[A-Za-z0-9_-]{1,40}$/).default("waypost"),
      commandTimeoutMs: ms.default(2000),
    })
    .prefault({}),
  http: z
    .strictObject({
      host: z.string().default("0.0.0.0"),
      port: port.default(8080),
      tls: tls.optional(),
      bodyLimitBytes: bytes.max(64_000_000).default(2_000_000),
      /** Addresses and CIDR ranges whose X-Forwarded-For is believed. */
      trustedProxies: z.array(z.string().min(1)).default([]),
      /** A webhook must be answered in this time, storage included; Motive gives up after 3 s. */
      answerWithinMs: ms.default(2500),
    })
    .prefault({}),
  ops: z
    .strictObject({
      host: z.string().default("127.0.0.1"),
      port: port.default(9090),
      token: secret.min(16, "must have at least 16 characters; openssl rand -hex 24 makes one"),
    }),
  mqtt: z
    .strictObject({ brokers: z.record(name, broker).default({}), listen: listen.optional() })
    .prefault({}),
  mapping: z
    .strictObject({
      /** CSV, JSON or YAML with rows of device, unit, name, technician, destination, source. */
      file: z.string().min(1),
    })
    .optional(),
  sources: z.record(name, source),
  destinations: z.record(name, destination),
  queue: z
    .strictObject({
      /** Messages and readings are written to Redis together, waiting at most this long for company. */
      groupCommitMs: z.int().min(0).max(100).default(0),
      concurrency: z.int().min(1).max(1000).default(100),
      lockMs: ms.default(2000),
      stalledCheckMs: ms.default(1500),
      /** The longest stall of the event loop that must not cost a batch its lock. */
      toleratedStallMs: ms.default(1000),
      ledgerBytes: bytes.default(256_000_000),
      ledgerMaxAgeMs: ms.default(7 * 86_400_000),
      quarantineBytes: bytes.default(64_000_000),
      quarantineMaxAgeMs: ms.default(14 * 86_400_000),
      deadLetterBytes: bytes.default(64_000_000),
      deadLetterMaxAgeMs: ms.default(14 * 86_400_000),
    })
    .prefault({}),
  log: z
    .strictObject({ level: z.enum(["debug", "info", "warn", "error"]).default("info") })
    .prefault({}),
  /** After SIGTERM: how long requests and deliveries under way may take to end. */
  shutdownMs: ms.default(10_000),
});

export type Config = z.output<typeof schema>;
export type SourceConfig = Config["sources"][string];
export type DestinationConfig = Config["destinations"][string];
export type BrokerConfig = Config["mqtt"]["brokers"][string];
export type ListenConfig = NonNullable<Config["mqtt"]["listen"]>;
