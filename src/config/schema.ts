/** Every setting there is, with its bounds and its default. */

import { z } from "zod";
import { parseRange } from "../addresses.ts";
import { SPEED_UNITS } from "../reading.ts";
import { marks } from "./values.ts";

/** What a type says of a wrong value must not be said of a missing one. */
const unlessMissing = (message: string) => (issue: { input?: unknown }) =>
  issue.input === undefined || issue.input === null ? undefined : message;

export const nameSchema = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9-]{0,39}$/,
    "must be lower-case letters, digits and dashes, at most 40, for example acme-vans",
  );
const port = z.int().min(0).max(65_535);
/** setTimeout holds no more: a longer time would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;
const ms = z.int().positive().max(MAX_TIMER_MS);
/** An age, compared and never waited for. */
const ageMs = z.int().positive();
const bytes = z.int().positive();
const text = z.string().min(1, "must not be empty");
const secret = text
  .refine(
    (value) => value === value.trim(),
    "begins or ends with white space; a pasted newline is the usual cause",
  )
  .register(marks, { is: "secret" });
const opsToken = secret.min(16, "must have at least 16 characters; openssl rand -hex 24 makes one");
const hostName = z
  .string()
  .regex(
    /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?)*$/,
    "must be a host name without scheme and port, for example waypost.example.com",
  );
/** Relative to the configuration file. */
const file = text.clone().register(marks, { is: "file" });
const directory = text.clone();
const url = (protocols: readonly string[]) =>
  z
    .url({
      protocol: new RegExp(`^(${protocols.join("|")})$`),
      error: unlessMissing(
        `must be a URL that begins with ${protocols.map((word) => `${word}://`).join(" or ")}`,
      ),
    })
    .register(marks, { is: "url" });
const addressRange = z
  .string()
  .refine(
    (value) => parseRange(value) !== null,
    "must be an address or a range, for example 203.0.113.7 or 10.0.0.0/8",
  );
/** MQTT 3.1.1 §4.7.1: `+` takes a whole level, `#` the last ones. */
const topicFilter = text.refine(
  (value) =>
    value
      .split("/")
      .every(
        (level, at, all) =>
          level === "+" || (level === "#" && at === all.length - 1) || !/[+#\0]/.test(level),
      ),
  "must be an MQTT topic filter: + stands for one whole level, # for all that follow",
);
const tls = z.strictObject({ cert: file, key: file, ca: file.optional() });

/** Ids, or patterns in which `*` stands for any run of characters; matched to the letter. */
const speaksFor = z
  .array(
    text.max(128).regex(/^[^\p{Cc}\p{Cf}\p{Cs}]*$/u, "must hold no control characters and nothing invisible"),
  )
  .min(1)
  .optional();

/** A person or device with a login of its own at a webhook. */
const user = z.strictObject({
  // RFC 7617 §2: what follows a colon is the password.
  username: z
    .string()
    .regex(
      /^(?!\s)[^:\p{Cc}\p{Cf}\p{Cs}]{1,128}(?<!\s)$/u,
      "must be 1 to 128 characters without colon, control characters, and white space at its ends",
    ),
  secret: secret.optional(),
  secrets: z.array(secret).min(1).max(2).optional(),
  speaksFor,
});

const auth = z.strictObject({
  /** Which of the adapter's proofs; may be left out where it offers only one. */
  method: text.optional(),
  secret: secret.optional(),
  /** While rotating: both are accepted. */
  secrets: z.array(secret).min(1).max(2).optional(),
  username: text.optional(),
  /** For `basic`, in place of username and secret: several logins, each of which speaks for its own devices only. */
  users: z.array(user).min(1).optional(),
  /** Where the vendor lets the customer choose it. RFC 9110 §5.6.2 says what a name may hold. */
  header: z
    .string()
    .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "must be the name of an HTTP header")
    .optional(),
  /** Addresses and ranges, for proofs by address. */
  allow: z.array(addressRange).min(1).optional(),
});

const mqttSource = z.strictObject({
  /** Name of a broker below, or `listen` for the embedded one. */
  broker: text,
  /** Default: the adapter's. */
  topics: z.array(topicFilter).min(1).optional(),
});

const pullSource = z.strictObject({
  /** Wait when nothing is left to fetch. Default: the adapter's. */
  intervalMs: ms.optional(),
  /** Another region of the vendor's. Default: the adapter's. */
  baseUrl: url(["http", "https"]).optional(),
  /** Where the vendor has many under one address (Geotab). */
  database: text.optional(),
});

export const sourceSchema = z.strictObject({
  /** The adapter's name. */
  vendor: text,
  /** For devices whose mapping row names no other. */
  destination: nameSchema,
  auth: auth.optional(),
  mqtt: mqttSource.optional(),
  pull: pullSource.optional(),
  /** Where the vendor does not document the unit of its speeds. */
  speedUnit: z.enum(SPEED_UNITS).optional(),
  /** What the adapter itself lets a source say. */
  options: z.unknown().optional(),
  /** Drops a fix that implies a faster straight line from the device's last one; metres per second. */
  maxImpliedMps: z.number().positive().optional(),
  /** Drops a fix closer in time to the device's last kept one. */
  minIntervalMs: ageMs.optional(),
  /** Drops a fix that its vendor says is less accurate than this. */
  maxAccuracyM: z.number().positive().optional(),
  /** For devices that no mapping row names. */
  unmapped: z.enum(["forward", "hold"]).default("forward"),
});

export const destinationSchema = z.strictObject({
  /** ServiceTitan's environment; `custom` needs apiUrl and authUrl. */
  environment: z.enum(["production", "integration", "custom"]).default("production"),
  apiUrl: url(["http", "https"]).optional(),
  authUrl: url(["http", "https"]).optional(),
  tenant: z
    .union([z.string(), z.int().transform(String)], {
      error: unlessMissing("must be the numeric tenant id; a long one in quotes"),
    })
    .pipe(z.string().regex(/^[1-9]\d{0,18}$/, "must be the numeric tenant id, not the tenant's name")),
  /** The `gps_provider` in ServiceTitan's address. */
  provider: text
    .max(100)
    .regex(/^\S(.*\S)?$/, { error: "begins or ends with white space", abort: true })
    // RFC 3986 §2.3: these stand for themselves in an address, where a slash or a space would need another writing.
    .regex(
      /^(?!\.{1,2}$)[A-Za-z0-9._~-]+$/,
      "must be the name that stands in the address: letters, digits, -, _, . and ~",
    ),
  appKey: secret,
  clientId: secret,
  clientSecret: secret,
  ratePerSecond: z.int().min(1).max(1000).default(20),
  /** Added to the throttle's one-second window: jitter between our clock and the receiver's door. */
  guardMs: z.int().min(20).max(1000).default(40),
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

export const brokerSchema = z.strictObject({
  url: url(["mqtt", "mqtts", "ws", "wss", "tcp", "ssl"]),
  /** Fixed, and ours alone: it is the name of the session that keeps messages while we are away. */
  clientId: text.max(128),
  /** 4 is MQTT 3.1.1. */
  protocolVersion: z.literal([4, 5]).default(5),
  username: text.optional(),
  password: secret.optional(),
  ca: file.optional(),
  cert: file.optional(),
  key: file.optional(),
  /** Only for a broker with a certificate of its own making; leave true. */
  rejectUnauthorized: z.boolean().default(true),
  keepaliveS: z.int().min(5).max(3600).default(30),
  receiveMaximum: z.int().min(1).max(65_535).default(500),
  maximumPacketBytes: bytes.max(268_435_455).default(262_144),
  sessionExpiryS: z.int().min(60).max(4_294_967_295).default(604_800),
});

export const listenSchema = z.strictObject({
  host: text.default("0.0.0.0"),
  port: port.default(1883),
  tls: tls.optional(),
  /** Un-kept messages of one source at which its devices' sockets are no longer read. */
  maxUnacked: z.int().min(1).default(1000),
  /** As with `http`; an address's are those that have not logged in. */
  maxConnections: z.int().min(1).optional(),
  maxConnectionsPerAddress: z.int().min(1).optional(),
  maximumPacketBytes: bytes.max(268_435_455).default(262_144),
  /** A device may publish under `topics` only; `%u` stands for its username. */
  devices: z
    .array(
      z.strictObject({
        // It stands for `%u` in topics, so it must not open a filter or a level of its own.
        username: z
          .string()
          .regex(
            /^[^+#/$\s\p{Cc}\p{Cf}\p{Cs}]{1,128}$/u,
            "must be 1 to 128 characters without space, +, #, / and $, and nothing invisible",
          ),
        password: secret,
        source: nameSchema,
        topics: z.array(topicFilter).min(1).default(["%u/#"]),
        speaksFor,
      }),
    )
    .min(1),
});

const named = <Entry extends z.ZodType>(entry: Entry) =>
  z.record(nameSchema, entry).refine((entries) => Object.keys(entries).length > 0, "must name at least one");

export const configSchema = z.strictObject({
  redis: z
    .strictObject({
      url: url(["redis", "rediss"]).default("redis://127.0.0.1:6379"),
      /** Every key begins with it; several gateways may share a Redis under different prefixes. */
      prefix: z
        .string()
        .regex(/^[A-Za-z0-9_-]{1,40}$/, "must be letters, digits, dashes and underscores, at most 40")
        .default("waypost"),
      commandTimeoutMs: ms.default(2000),
    })
    .prefault({}),
  http: z
    .strictObject({
      host: text.default("0.0.0.0"),
      port: port.default(8080),
      tls: tls.optional(),
      bodyLimitBytes: bytes.max(64_000_000).default(2_000_000),
      /** Addresses and CIDR ranges whose X-Forwarded-For is believed. */
      trustedProxies: z.array(addressRange).default([]),
      /** A webhook must be answered in this time, storage included; Motive gives up after 3 s. */
      answerWithinMs: ms.default(2500),
      /** Connections at a time. Default, and bound: what the process's limit of open files leaves. */
      maxConnections: z.int().min(1).optional(),
      /** Of one address (IPv6: one /64) whose sender is not proven yet. Default: a quarter of them, at most 250. */
      maxConnectionsPerAddress: z.int().min(1).optional(),
    })
    .prefault({}),
  ops: z.strictObject({
    host: text.default("127.0.0.1"),
    port: port.default(9090),
    /** Names the page is reached by, beside `host`, localhost and addresses: any other could be a stranger's (DNS rebinding). */
    hosts: z.array(hostName).default([]),
    /** The short form of one token that may do everything. */
    token: opsToken.optional(),
    tokens: z
      .array(
        z.strictObject({
          name: nameSchema,
          token: opsToken,
          role: z.enum(["read", "operate"]),
          /** What it may see; left out, everything. */
          destinations: z.array(nameSchema).min(1).optional(),
        }),
      )
      .min(1)
      .optional(),
  }),
  mqtt: z
    .strictObject({
      brokers: z.record(nameSchema, brokerSchema).default({}),
      listen: listenSchema.optional(),
    })
    .prefault({}),
  mapping: z
    .strictObject({
      /** CSV, JSON or YAML with rows of device, unit, name, technician, destination, source. */
      file,
    })
    .optional(),
  sources: named(sourceSchema),
  destinations: named(destinationSchema),
  queue: z
    .strictObject({
      /** Messages and readings are written to Redis together, waiting at most this long for company. */
      groupCommitMs: z.int().min(0).max(100).default(0),
      /** Batches under way in one process. Default: as many as there are lanes, see defaults.ts. */
      concurrency: z.int().min(1).max(100_000).optional(),
      lockMs: ms.default(2000),
      stalledCheckMs: ms.default(1500),
      /** The longest stall of the event loop that must not cost a batch its lock. */
      toleratedStallMs: ms.default(1000),
      ledgerBytes: bytes.default(256_000_000),
      ledgerMaxAgeMs: ageMs.default(7 * 86_400_000),
      quarantineBytes: bytes.default(64_000_000),
      quarantineMaxAgeMs: ageMs.default(14 * 86_400_000),
      deadLetterBytes: bytes.default(64_000_000),
      deadLetterMaxAgeMs: ageMs.default(14 * 86_400_000),
    })
    .prefault({}),
  limits: z
    .strictObject({
      /** A message with more readings is set aside unread: it would hold up the messages of others. */
      maxReadingsPerMessage: z.int().min(1).max(100_000).default(5000),
    })
    .prefault({}),
  /** Where proven webhook messages wait while Redis is away; left out, senders get 503 instead. */
  spool: z
    .strictObject({
      /** On a disk that outlives the process, and for one process alone. */
      dir: directory,
      maxBytes: bytes.default(1_000_000_000),
    })
    .optional(),
  log: z.strictObject({ level: z.enum(["debug", "info", "warn", "error"]).default("info") }).prefault({}),
  /** After SIGTERM: how long requests and deliveries under way may take to end. Default: see defaults.ts. */
  shutdownMs: ms.optional(),
});
