/** What operators did and may set, as the API answers it. */

import { OPERATOR_ACTIONS } from "../../../status/operators.ts";
import { nextSchema } from "../cursors.ts";
import { at, count, page, z } from "./fields.ts";

export const auditSchema = page(
  z
    .object({
      at: at("When it was done."),
      action: z.enum(OPERATOR_ACTIONS),
      by: z.string().nullable().openapi({ description: "The token's name; null where none was shown." }),
      from: z.string().nullable().openapi({ description: "The address asked from." }),
      filter: z.record(z.string(), z.string()),
      count: count("How many came out of it.").nullable(),
      outcome: z.enum(["done", "refused", "failed", "cut_off"]),
    })
    .openapi("AuditEntry"),
  nextSchema,
).openapi("Audit");

export const reloadSchema = z
  .object({
    result: z.enum(["applied", "unchanged", "refused", "not_possible"]),
    changes: z.array(z.string()).openapi({ description: "What has come, changed and gone, by name." }),
    restart: z.array(z.string()).openapi({ description: "Settings that differ and wait for a restart." }),
    problems: z.array(z.string()).openapi({ description: "Why it was refused, each with its place." }),
  })
  .openapi("Reload");

export const logLevelSchema = z.object({ level: z.string() }).openapi("LogLevel");

export const newLogLevelSchema = z
  .strictObject({ level: z.enum(["debug", "info", "warn", "error"]) })
  .openapi("NewLogLevel");

export type LogLevel = z.output<typeof newLogLevelSchema>["level"];
