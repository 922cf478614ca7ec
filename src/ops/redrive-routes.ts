/** Lists, exports and redrives what was set aside, behind the same token as the rest. */

import type { Hono } from "hono";
import { stream } from "hono/streaming";
import { z } from "zod";
import type { OperatorOutcome } from "../status.ts";
import { iso } from "../time.ts";
import type { Guards } from "./access/door.ts";
import type { OpsEnv, Sight } from "./access/sight.ts";
import { deedOf } from "./access/trail.ts";

const time = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text));
const filter = z.strictObject({
  source: z.string().optional(),
  destination: z.string().optional(),
  unit: z.string().optional(),
  reason: z.string().optional(),
  from: time.optional(),
  to: time.optional(),
});
const request = filter.extend({ mode: z.enum(["dry_run", "do"]) });

type Filter = z.output<typeof filter>;
type Mode = z.output<typeof request>["mode"];

/** What is another tenant's counts as not there. */
export type LimitedFilter = Filter & { within?: NonNullable<Sight["within"]> };

export interface RedriveRoutesParts {
  redriveDeadLetters(filter: LimitedFilter, mode: Mode): Promise<object>;
  redriveQuarantine(filter: LimitedFilter, mode: Mode): Promise<object>;
  /** Everything that fits, the oldest first, one plain object each. */
  exportDeadLetters(filter: LimitedFilter): AsyncIterable<object>;
  exportQuarantine(filter: LimitedFilter): AsyncIterable<object>;
}

export function serveRedrives(app: Hono<OpsEnv>, parts: RedriveRoutesParts, guards: Guards): void {
  const { trail, refuse } = guards;
  const kinds = [
    ["dead-letters", parts.redriveDeadLetters, parts.exportDeadLetters],
    ["quarantine", parts.redriveQuarantine, parts.exportQuarantine],
  ] as const;
  for (const [name, redrive, all] of kinds) {
    app.post(`/${name}/redrive`, async (c) => {
      const parsed = request.safeParse(await c.req.json().catch(() => null));
      if (!parsed.success) return c.json({ error: "bad_request", problems: problemsOf(parsed.error) }, 400);
      const { mode, ...wanted } = parsed.data;
      if (asksForOthers(c.var.sight, wanted)) return c.json(NOT_THERE, 404);
      const deed = deedOf(c, "redrive", written(name, { ...wanted, mode }));
      if (mode === "do" && c.var.token.role !== "operate") {
        trail.record({ ...deed, count: null, outcome: "refused" });
        return refuse(c, "role");
      }
      return c.json(await trail.during(deed, () => redrive(limit(c.var.sight, wanted), mode), matchedIn));
    });
    app.get(`/${name}/export`, (c) => {
      const parsed = filter.safeParse(c.req.query());
      if (!parsed.success) return c.json({ error: "bad_query", problems: problemsOf(parsed.error) }, 400);
      if (asksForOthers(c.var.sight, parsed.data)) return c.json(NOT_THERE, 404);
      const deed = deedOf(c, "export", written(name, parsed.data));
      c.header("content-type", "application/x-ndjson");
      c.header("content-disposition", `attachment; filename="${name}.jsonl"`);
      return stream(c, async (out) => {
        let count = 0;
        let outcome: OperatorOutcome = "failed";
        try {
          for await (const each of all(limit(c.var.sight, parsed.data))) {
            if (out.aborted) break;
            await out.write(`${JSON.stringify(each)}\n`);
            count += 1;
          }
          outcome = out.aborted ? "cut_off" : "done";
        } finally {
          trail.record({ ...deed, count, outcome });
        }
      });
    });
  }
}

/** Said of what does not exist and of what is another tenant's. */
const NOT_THERE = { error: "not_found" };

function asksForOthers(sight: Sight, { source, destination }: Filter): boolean {
  return (
    (source !== undefined && !sight.seesSource(source)) ||
    (destination !== undefined && !sight.seesDestination(destination))
  );
}

function limit(sight: Sight, wanted: Filter): LimitedFilter {
  return sight.within === null ? wanted : { ...wanted, within: sight.within };
}

/** The filter as the trail shows it, times as they were given. */
function written(what: string, { from, to, ...given }: Filter & { mode?: Mode }): Record<string, string> {
  const all = { what, ...given, from: isoOf(from), to: isoOf(to) };
  return Object.fromEntries(
    Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

function isoOf(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : iso(ms);
}

function matchedIn(answer: object): number | null {
  return "matched" in answer && typeof answer.matched === "number" ? answer.matched : null;
}

function problemsOf({ issues }: z.ZodError): string[] {
  return issues.map(({ path, message }) => `${path.join(".") || "request"}: ${message}`);
}
