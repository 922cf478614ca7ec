/** The small status document: what is true of the whole gateway, of a size that does not grow with its tenants. */

import { at, atOrNull, count, policySchema, z } from "./fields.ts";
import { problemSchema, severitiesSchema } from "./problem.ts";
import { accountingSchema, identitySchema } from "./source.ts";

const processSchema = z
  .object({
    version: z.string(),
    node: z.string(),
    pid: count(),
    startedAt: at("When this process started."),
    uptimeS: count(),
  })
  .openapi("Process", { description: "The process that answers." });

const brokerSchema = z
  .object({
    name: z.string(),
    kind: z.enum(["client", "embedded"]),
    state: z.enum(["connected", "connecting", "disconnected", "refused", "standby"]),
    since: at("Since when it is in this state."),
    reason: z.string().nullable(),
    unacked: count("Messages received and not yet stored."),
    clients: count("Embedded: devices connected now.").nullable(),
  })
  .openapi("Broker");

const pollerSchema = z
  .object({
    name: z.string().openapi({ description: "The source's." }),
    state: z.enum(["starting", "polling", "throttled", "failing", "refused", "standby"]),
    since: at("Since when it is in this state."),
    reason: z.string().nullable(),
    detail: z.string(),
    lastSuccessAt: atOrNull("When a page was last fetched and stored."),
    cursorAt: atOrNull("When the vendor last answered where the cursor stands."),
    gap: z.object({ from: z.string(), to: z.string() }).nullable(),
    reads: z.object({
      pages: count("Fetched since this process began to ask."),
      rows: count("Readings in them, where the vendor shows all vehicles in each round."),
      unchanged: count("Readings that said nothing new and were not sent on."),
      emptyRounds: count("Rounds in a row without any vehicle."),
    }),
  })
  .openapi("Poller");

const spoolSchema = z
  .object({
    messages: count(),
    bytes: count(),
    maxBytes: count(),
    oldestAt: atOrNull("When the oldest of them arrived."),
    spooled: count(),
    replayed: count(),
  })
  .openapi("Spool", { description: "Messages on the local disk while Redis is away." });

const incidentSchema = z
  .object({
    kind: z.string(),
    where: z.string(),
    since: z.string(),
    lastAt: z.string(),
    count: count(),
    subjects: z.array(
      z.object({
        name: z.string(),
        since: z.string(),
        lastAt: z.string(),
        until: z.string(),
        count: count(),
        facts: z.record(z.string(), z.string()).readonly(),
      }),
    ),
  })
  .openapi("Incident");

const redisSchema = z
  .object({
    reachable: z.boolean(),
    version: z.string().nullable(),
    aof: z.enum(["off", "everysec", "always", "no", "unknown"]),
    maxmemoryPolicy: z.string().nullable(),
    usedMemoryBytes: count().nullable(),
    maxMemoryBytes: count().nullable(),
    writable: z.boolean(),
    problems: z.array(z.string()),
  })
  .openapi("Redis");

const runningSchema = z
  .object({
    name: z.string().openapi({ description: "Host, process id, and a random part." }),
    isThis: z.boolean().openapi({ description: "The one that answers." }),
    version: z.string(),
    startedAt: z.string(),
    configuration: z.object({
      fingerprint: z
        .string()
        .openapi({ description: "The same in processes whose configurations mean the same." }),
      appliedAt: at("Since when it is in force."),
      refused: z.object({ since: z.string(), problems: z.array(z.string()) }).nullable(),
      restart: z.array(z.string()).openapi({ description: "Settings that wait for a restart." }),
      leftOut: z
        .array(z.string())
        .openapi({ description: "Problems of tenants of the API that are left out." }),
    }),
    leaving: z
      .array(z.object({ destination: z.string(), since: z.string(), waiting: z.number().nullable() }))
      .openapi({ description: "Destinations that were removed and still have pings." }),
  })
  .openapi("RunningProcess");

/** What one process knows by itself, whether Redis answers or not. */
const always = {
  at: at("When this was found out."),
  process: processSchema,
  processes: z
    .array(runningSchema)
    .openapi({ description: "All that run. Empty for a token that sees some tenants only." }),
  problemCounts: severitiesSchema,
  problems: z.array(problemSchema).openapi({ description: "The 50 worst; GET problems lists all." }),
  brokers: z.array(brokerSchema),
  pollers: z.array(pollerSchema),
  spool: spoolSchema.nullable().openapi({ description: "Null: no spool is configured." }),
  incidents: z
    .array(incidentSchema)
    .openapi({ description: "What went wrong at the ports of this process." }),
};

const whole = z
  .object({
    available: z.literal(true),
    ...always,
    redis: redisSchema,
    jobs: z.object({ waiting: count(), active: count(), delayed: count(), failed: count() }),
    totals: z.object({ accounting: accountingSchema, identity: identitySchema }),
    counts: z.object({ tenants: count(), sources: count(), destinations: count(), unitsKnown: count() }),
    oldestWaitingAgeMs: z.number().nullable(),
    newestAcceptedAgeMs: z.number().nullable(),
    quarantine: z.object({ count: count(), bytes: count(), oldestAt: z.string().nullable() }),
    deadLetters: z.object({ count: count(), bytes: count() }),
    ledger: z.object({ batches: count(), bytes: count(), reachesBackTo: z.string().nullable() }),
    orphans: z
      .array(z.object({ destination: z.string(), waiting: count() }))
      .openapi({ description: "Pings that wait for a destination that the configuration no longer names." }),
    policies: z.array(policySchema).openapi({ description: "Those of the gateway." }),
  })
  .openapi("Status");

const without = z
  .object({ available: z.literal(false), ...always })
  .openapi("StatusWithoutRedis", { description: "While Redis does not answer." });

/** No OpenAPI discriminator: those are texts, and this is a boolean. */
export const statusSchema = z.union([whole, without]);

export type SmallStatus = z.output<typeof statusSchema>;
