/** A problem, as the API answers it. */

import { PROBLEM_KINDS, type ProblemKind, type Whose } from "../../diagnose/problem.ts";
import { at, count, z } from "./fields.ts";

// The keys of an object, whose type TypeScript widens to string.
const KINDS = Object.keys(PROBLEM_KINDS) as ProblemKind[];
const WHOSE = [
  "vendor",
  "device",
  "configuration",
  "servicetitan",
  "machines",
  "waypost",
] as const satisfies Whose[];

export const severitySchema = z.enum(["error", "warning"]);
export const kindSchema = z.enum(KINDS);
export const whoseSchema = z
  .enum(WHOSE)
  .openapi({ description: "Who has to act. `machines` and `configuration` are ours." });

export const problemSchema = z
  .object({
    id: z.string().openapi({ description: "The same as long as the problem lasts." }),
    kind: kindSchema,
    severity: severitySchema,
    where: z.string().openapi({ description: "What it is about, by the name people know." }),
    whose: whoseSchema,
    what: z.string(),
    doNext: z.string(),
    since: at("When it began."),
    subjects: z.array(z.string()).openapi({ description: "The devices, units, logins or topics concerned." }),
    tenant: z.string().nullable().openapi({ description: "Null where it belongs to no single tenant." }),
    source: z.string().nullable(),
    destination: z.string().nullable(),
  })
  .openapi("Problem");

export type ApiProblem = z.output<typeof problemSchema>;

export const severitiesSchema = z
  .object({ error: count(), warning: count() })
  .openapi("Severities", { description: "How many problems there are of each severity." });

export type Severities = z.output<typeof severitiesSchema>;
