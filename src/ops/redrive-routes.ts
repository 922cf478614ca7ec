/** Lists, exports and redrives what was set aside, behind the same token as the rest. */

import { Hono } from "hono";
import { stream } from "hono/streaming";
import { z } from "zod";

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

export interface RedriveRoutesParts {
  redriveDeadLetters(filter: Filter, mode: Mode): Promise<object>;
  redriveQuarantine(filter: Filter, mode: Mode): Promise<object>;
  /** Everything that fits, the oldest first, one plain object each. */
  exportDeadLetters(filter: Filter): AsyncIterable<object>;
  exportQuarantine(filter: Filter): AsyncIterable<object>;
}

export function createRedriveRoutes(parts: RedriveRoutesParts): Hono {
  const app = new Hono();
  const kinds = [
    ["dead-letters", parts.redriveDeadLetters, parts.exportDeadLetters],
    ["quarantine", parts.redriveQuarantine, parts.exportQuarantine],
  ] as const;
  for (const [name, redrive, all] of kinds) {
    app.post(`/${name}/redrive`, async (c) => {
      const parsed = request.safeParse(await c.req.json().catch(() => null));
      if (!parsed.success) return c.json({ error: "bad_request", problems: problemsOf(parsed.error) }, 400);
      const { mode, ...wanted } = parsed.data;
      return c.json(await redrive(wanted, mode));
    });
    app.get(`/${name}/export`, (c) => {
      const parsed = filter.safeParse(c.req.query());
      if (!parsed.success) return c.json({ error: "bad_query", problems: problemsOf(parsed.error) }, 400);
      c.header("content-type", "application/x-ndjson");
      c.header("content-disposition", `attachment; filename="${name}.jsonl"`);
      return stream(c, async (out) => {
        for await (const each of all(parsed.data)) await out.write(`${JSON.stringify(each)}\n`);
      });
    });
  }
  return app;
}

function problemsOf({ issues }: z.ZodError): string[] {
  return issues.map(({ path, message }) => `${path.join(".") || "request"}: ${message}`);
}
