/** Routes that export and redrive dead letters and the quarantine, behind the same token as the rest. */

import type { Hono } from "hono";
import { stream } from "hono/streaming";
import { z } from "zod";
import type { OperatorOutcome } from "../status.ts";
import { iso } from "../time.ts";
import type { Guards } from "./access/door.ts";
import type { OpsEnv, Sight } from "./access/sight.ts";
import { operationOf } from "./access/trail.ts";

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

/** With `within`, everything outside it counts as not there. */
export type LimitedFilter = Filter & { within?: NonNullable<Sight["within"]> };

export interface Redriver {
  deadLetters(filter: LimitedFilter, mode: Mode): Promise<object>;
  quarantine(filter: LimitedFilter, mode: Mode): Promise<object>;
  /** Everything that matches, the oldest first, one plain object each. */
  exportDeadLetters(filter: LimitedFilter): AsyncIterable<object>;
  exportQuarantine(filter: LimitedFilter): AsyncIterable<object>;
}

export function serveRedrives(app: Hono<OpsEnv>, redriver: Redriver, { trail, refuse }: Guards): void {
  const kinds = [
    ["dead-letters", redriver.deadLetters, redriver.exportDeadLetters],
    ["quarantine", redriver.quarantine, redriver.exportQuarantine],
  ] as const;
  for (const [name, redrive, all] of kinds) {
    app.post(`/${name}/redrive`, async (c) => {
      const parsed = request.safeParse(await c.req.json().catch(() => null));
      if (!parsed.success) return c.json({ error: "bad_request", problems: problemsOf(parsed.error) }, 400);
      const { mode, ...wanted } = parsed.data;
      if (asksForOthers(c.var.sight, wanted)) return c.json(NOT_THERE, 404);
      const operation = operationOf(c, "redrive", filterText(name, { ...wanted, mode }));
      if (mode === "do" && c.var.token.role !== "operate") {
        trail.record({ ...operation, count: null, outcome: "refused" });
        return refuse(c, "role");
      }
      return c.json(
        await trail.during(operation, () => redrive(limit(c.var.sight, wanted), mode), matchedIn),
      );
    });
    app.get(`/${name}/export`, (c) => {
      const parsed = filter.safeParse(c.req.query());
      if (!parsed.success) return c.json({ error: "bad_query", problems: problemsOf(parsed.error) }, 400);
      if (asksForOthers(c.var.sight, parsed.data)) return c.json(NOT_THERE, 404);
      const operation = operationOf(c, "export", filterText(name, parsed.data));
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
          trail.record({ ...operation, count, outcome });
        }
      });
    });
  }
}

/** The answer for what does not exist and for what belongs to another tenant. */
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

/** The filter as the trail shows it. */
function filterText(what: string, { from, to, ...given }: Filter & { mode?: Mode }): Record<string, string> {
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
