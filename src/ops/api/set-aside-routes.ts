/** Routes about what was set aside: lists of the quarantine and the dead letters, exports, and redrives. */

import type { Context } from "hono";
import { stream } from "hono/streaming";
import type { z } from "zod";
import type { OperatorOutcome } from "../../status/operators.ts";
import { iso } from "../../time.ts";
import type { OpsEnv, Sight } from "../access/sight.ts";
import { operationOf } from "../access/trail.ts";
import { cursorOf, isPlaceOf, type Place, placeIn } from "./cursors.ts";
import { badCursor, methodNotAllowed, refused } from "./errors.ts";
import { type Api, type ApiDeps, unavailable, wholeStatus } from "./routes.ts";
import type { redriveRequestSchema } from "./schema/set-aside.ts";
import {
  deadLettersRoute,
  exportDeadLettersRoute,
  exportQuarantineRoute,
  quarantinedMessageRoute,
  quarantineRoute,
  redriveDeadLettersRoute,
  redriveQuarantineRoute,
} from "./set-aside-documents.ts";

type Wanted = Omit<z.output<typeof redriveRequestSchema>, "mode">;
type What = "dead-letters" | "quarantine";

export function serveSetAside(api: Api, deps: ApiDeps): void {
  serveLists(api, deps);
  serveExports(api, deps);
  serveRedrives(api, deps);
  // After the others, whose paths have the form of an id.
  api.all(redriveQuarantineRoute.path, (c) => methodNotAllowed(c, ["POST"]));
  serveMessage(api, deps);
}

function serveLists(api: Api, deps: ApiDeps): void {
  const { redrive } = deps;

  api.openapi(quarantineRoute, async (c) => {
    const { limit, cursor, ...wanted } = c.req.valid("query");
    const list = { name: "quarantine", filter: wanted };
    const after = placeIn(list, cursor, isStreamPlace);
    if (after === null) return badCursor(c);
    if (asksForOthers(c.var.sight, wanted)) return refused(c, "not_found");
    const status = await wholeStatus(c, deps);
    if (status === null) return unavailable(c);
    const found = await redrive.listQuarantine({
      filter: filterOf(c, wanted),
      after: streamPlaceOf(after),
      limit,
    });
    const { recent: _, ...totals } = status.quarantine;
    const items = found.items.map(({ id, receivedAt, source, reason, problems }) => ({
      id,
      at: iso(receivedAt),
      source,
      reason,
      problem: problems[0] ?? "",
    }));
    const next = found.more && cursorOf(list, [found.more.id, found.more.scope]);
    return c.json({ ...totals, items, next }, 200);
  });

  api.openapi(deadLettersRoute, async (c) => {
    const { limit, cursor, ...wanted } = c.req.valid("query");
    const list = { name: "dead-letters", filter: wanted };
    const after = placeIn(list, cursor, isStreamPlace);
    if (after === null) return badCursor(c);
    if (asksForOthers(c.var.sight, wanted)) return refused(c, "not_found");
    const status = await wholeStatus(c, deps);
    if (status === null) return unavailable(c);
    const found = await redrive.listDeadLetters({
      filter: filterOf(c, wanted),
      after: streamPlaceOf(after),
      limit,
    });
    const { recent: _, ...totals } = status.deadLetters;
    const items = found.items.map((letter) => {
      const { id, at, destination, source, unit, externalId, fixTime, reason, message } = letter;
      return { id, at: iso(at), destination, source, unit, externalId, fixAt: iso(fixTime), reason, message };
    });
    const next = found.more && cursorOf(list, [found.more.id, found.more.scope]);
    return c.json({ ...totals, items, next }, 200);
  });
}

function serveExports(api: Api, { redrive, guards: { trail } }: ApiDeps): void {
  function exported(c: Context<OpsEnv>, what: What, wanted: Wanted): Response {
    const filter = filterOf(c, wanted);
    const all = what === "quarantine" ? redrive.exportQuarantine(filter) : redrive.exportDeadLetters(filter);
    const operation = operationOf(c, "export", filterText(what, wanted));
    c.header("content-type", "application/x-ndjson");
    c.header("content-disposition", `attachment; filename="${what}.jsonl"`);
    return stream(c, async (out) => {
      let count = 0;
      let outcome: OperatorOutcome = "failed";
      try {
        for await (const each of all) {
          if (out.aborted) break;
          await out.write(`${JSON.stringify(each)}\n`);
          count += 1;
        }
        outcome = out.aborted ? "cut_off" : "done";
      } finally {
        trail.record({ ...operation, count, outcome });
      }
    });
  }

  api.openapi(exportQuarantineRoute, (c) => {
    const wanted = c.req.valid("query");
    if (asksForOthers(c.var.sight, wanted)) return refused(c, "not_found");
    return exported(c, "quarantine", wanted);
  });
  api.openapi(exportDeadLettersRoute, (c) => {
    const wanted = c.req.valid("query");
    if (asksForOthers(c.var.sight, wanted)) return refused(c, "not_found");
    return exported(c, "dead-letters", wanted);
  });
}

function serveRedrives(api: Api, { redrive, guards: { trail, refuse } }: ApiDeps): void {
  api.openapi(redriveQuarantineRoute, async (c) => {
    const { mode, ...wanted } = c.req.valid("json");
    if (asksForOthers(c.var.sight, wanted)) return refused(c, "not_found");
    const operation = operationOf(c, "redrive", filterText("quarantine", { ...wanted, mode }));
    if (mode === "do" && c.var.token.role !== "operate") {
      trail.record({ ...operation, count: null, outcome: "refused" });
      return refuse(c, "role");
    }
    const run = () => redrive.quarantine(filterOf(c, wanted), mode);
    return c.json(await trail.during(operation, run, ({ matched }) => matched), 200);
  });

  api.openapi(redriveDeadLettersRoute, async (c) => {
    const { mode, ...wanted } = c.req.valid("json");
    if (asksForOthers(c.var.sight, wanted)) return refused(c, "not_found");
    const operation = operationOf(c, "redrive", filterText("dead-letters", { ...wanted, mode }));
    if (mode === "do" && c.var.token.role !== "operate") {
      trail.record({ ...operation, count: null, outcome: "refused" });
      return refuse(c, "role");
    }
    const run = () => redrive.deadLetters(filterOf(c, wanted), mode);
    return c.json(await trail.during(operation, run, ({ matched }) => matched), 200);
  });
}

function serveMessage(api: Api, { queryMessage, guards: { trail } }: ApiDeps): void {
  api.openapi(quarantinedMessageRoute, async (c) => {
    const { id } = c.req.valid("param");
    const { source = null } = c.req.valid("query");
    const message = await trail.during(
      operationOf(c, "quarantined_message", { id, ...(source === null ? {} : { source }) }),
      () => queryMessage(id, source, c.var.sight.within?.sources),
      (found) => (found ? 1 : 0),
    );
    return message ? c.json(message, 200) : refused(c, "not_found");
  });
}

const isStreamPlace = (place: Place): place is readonly [string, string] =>
  isPlaceOf("string", "string")(place) && /^\d{1,20}-\d{1,20}$/.test(String(place[0]));

function streamPlaceOf(place: readonly [string, string] | undefined) {
  return place && { id: place[0], scope: place[1] };
}

function asksForOthers(sight: Sight, { source, destination }: Wanted): boolean {
  return (
    (source !== undefined && !sight.seesSource(source)) ||
    (destination !== undefined && !sight.seesDestination(destination))
  );
}

function filterOf(c: Context<OpsEnv>, { from, to, ...wanted }: Wanted) {
  const { within } = c.var.sight;
  return { ...wanted, from: msOf(from), to: msOf(to), ...(within === null ? {} : { within }) };
}

function msOf(time: string | undefined): number | undefined {
  return time === undefined ? undefined : Date.parse(time);
}

/** The filter as the trail shows it. */
function filterText(what: What, { from, to, ...given }: Wanted & { mode?: string }): Record<string, string> {
  const all = { what, ...given, from: utc(from), to: utc(to) };
  return Object.fromEntries(
    Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

function utc(time: string | undefined): string | undefined {
  return time === undefined ? undefined : iso(Date.parse(time));
}
