/** Every setting there is, with its bounds, its default and its description: `npm run docs` writes docs/configuration.md from it. */

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
/** TLS that the gateway itself ends. */
const tls = (clients: string) =>
  z.strictObject({
    cert: file.describe("The certificate with its chain, PEM."),
    key: file.describe("Its private key, PEM."),
    ca: file.optional().describe(`${clients} must show a certificate that this authority signed.`),
  });

/** Ids, or patterns in which `*` stands for any run of characters; matched to the letter. */
const speaksFor = z
  .array(
    text.max(128).regex(/^[^\p{Cc}\p{Cf}\p{Cs}]*$/u, "must hold no control characters and nothing invisible"),
  )
  .min(1)
  .optional()
  .describe("The device ids this login may report for, see [Logins](#logins). Left out: its own.");

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

const pullSource = z.strictObject({
  intervalMs: ms
    .optional()
    .describe("How long to wait when nothing is left to fetch. Left out: the vendor's usual interval."),
  baseUrl: url(["http", "https"])
    .optional()
    .describe("Another of the vendor's regions, such as `https://api.eu.samsara.com`."),
  database: text.optional().describe("Geotab's database."),
});

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
  devices: z
    .array(
      z.strictObject({
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
      }),
    )
    .min(1),
});

const named = <Entry extends z.ZodType>(entry: Entry) =>
  z.record(nameSchema, entry).refine((entries) => Object.keys(entries).length > 0, "must name at least one");

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
  sources: named(sourceSchema).describe("Who sends. At least one."),
  destinations: named(destinationSchema).describe("Where pings go: ServiceTitan tenants. At least one."),
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
        .describe("Of the JSON lines on standard output."),
    })
    .prefault({}),
  shutdownMs: ms
    .optional()
    .describe(
      "After SIGTERM: how long requests and deliveries may take to end. Left out: 5 s more than the longest `requestTimeoutMs`, so 25000.",
    ),
});
