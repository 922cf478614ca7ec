/** Routes that create, read, replace, pause, resume and delete tenants. */

import type { Context } from "hono";
import { stringify } from "yaml";
import type { OperatorAction } from "../../status/operators.ts";
import type { Change, Changed } from "../../tenants/changes.ts";
import type { OpsEnv } from "../access/sight.ts";
import { operationOf } from "../access/trail.ts";
import { refused } from "./errors.ts";
import { type Api, type ApiDeps, unavailable } from "./routes.ts";
import {
  NO_SEAL_KEY,
  notReadable,
  refuseChange,
  revisionOf,
  shownTenant,
  tagOf,
} from "./tenant-change-answers.ts";
import {
  createTenantRoute,
  deleteTenantRoute,
  exportTenantRoute,
  getDocumentRoute,
  pauseTenantRoute,
  replaceTenantRoute,
  resealRoute,
  resumeTenantRoute,
} from "./tenant-change-descriptions.ts";

const ALL_ONLY = "Tenants are added, changed and deleted with a token that sees all of them.";

export function serveTenantChanges(api: Api, deps: ApiDeps): void {
  const { tenants, guards, topology, events } = deps;

  /** Null while Redis does not answer. */
  async function apply(
    c: Context<OpsEnv>,
    { name, change, action }: { name: string; change: Change; action: OperatorAction },
  ): Promise<Changed | null> {
    const key = c.req.header("idempotency-key");
    try {
      const request = key === undefined ? undefined : `${c.var.token.name} ${key}`;
      const changed = await tenants.changes.apply(name, change, request);
      const isNew = (changed.kind === "done" || changed.kind === "deleted") && !changed.isRepeated;
      if (isNew)
        guards.trail.record({ ...operationOf(c, action, { tenant: name }), count: null, outcome: "done" });
      return changed;
    } catch (error) {
      events.failed({ where: "tenants", error });
      return null;
    }
  }

  function answer(c: Context<OpsEnv>, name: string, changed: Changed | null) {
    if (changed === null) return unavailable(c);
    if (changed.kind === "deleted") return refused(c, "not_found");
    if (changed.kind !== "done") return refuseChange(c, name, changed);
    c.header("etag", tagOf(changed.tenant.revision));
    return c.json({ ...shownTenant(name, changed.tenant, tenants), secrets: changed.generated }, 200);
  }

  /** A token that is limited to some destinations has to see all of the tenant's. */
  function sees(c: Context<OpsEnv>, name: string): boolean {
    const { sight } = c.var;
    const own = topology.tenants?.get(name)?.destinations;
    return sight.within === null || (own?.every((each) => sight.seesDestination(each)) ?? false);
  }

  async function documentOf(name: string) {
    const { documents, closed } = await tenants.documents.refresh();
    const tenant = documents.get(name);
    if (tenant) return { kind: "found", tenant } as const;
    const why = closed.get(name)?.why;
    if (why !== undefined) return { kind: "closed", why } as const;
    return { kind: topology.tenants?.has(name) ? "of_file" : "missing" } as const;
  }

  /** The tenant's document, or the answer that there is none to be read. */
  async function read(c: Context<OpsEnv>, name: string) {
    if (!sees(c, name)) return { refusal: refused(c, "not_found") };
    try {
      const found = await documentOf(name);
      if (found.kind === "found") return { tenant: found.tenant };
      if (found.kind === "missing") return { refusal: refused(c, "not_found") };
      return {
        refusal: refused(c, "not_ours", notReadable(name, found.kind === "closed" ? found.why : null)),
      };
    } catch (error) {
      events.failed({ where: "tenants", error });
      return { refusal: unavailable(c) };
    }
  }

  api.openapi(createTenantRoute, async (c) => {
    const { tenant: name, document } = c.req.valid("json");
    if (c.var.sight.within !== null) return refused(c, "role", ALL_ONLY);
    const change = { kind: "create", document } as const;
    return answer(c, name, await apply(c, { name, change, action: "tenant_created" }));
  });

  api.openapi(getDocumentRoute, async (c) => {
    const { tenant: name } = c.req.valid("param");
    const { tenant, refusal } = await read(c, name);
    if (!tenant) return refusal;
    c.header("etag", tagOf(tenant.revision));
    return c.json(shownTenant(name, tenant, tenants), 200);
  });

  api.openapi(exportTenantRoute, async (c) => {
    const { tenant: name } = c.req.valid("param");
    const { tenant, refusal } = await read(c, name);
    if (!tenant) return refusal;
    const { document } = shownTenant(name, tenant, tenants);
    const text = stringify(document).replaceAll("(set)", "(sealed)");
    return c.body(text, 200, { "content-type": "application/yaml" });
  });

  api.openapi(replaceTenantRoute, async (c) => {
    const { tenant: name } = c.req.valid("param");
    if (c.var.sight.within !== null) return refused(c, "role", ALL_ONLY);
    const condition = conditionIn(c);
    if (condition.kind === "refused") return condition.answer;
    const change = { kind: "replace", document: c.req.valid("json"), revision: condition.revision } as const;
    return answer(c, name, await apply(c, { name, change, action: "tenant_replaced" }));
  });

  for (const [route, kind, action] of [
    [pauseTenantRoute, "pause", "tenant_paused"],
    [resumeTenantRoute, "resume", "tenant_resumed"],
  ] as const) {
    api.openapi(route, async (c) => {
      const { tenant: name } = c.req.valid("param");
      if (!sees(c, name)) return refused(c, "not_found");
      const change = { kind, revision: null };
      return answer(c, name, await apply(c, { name, change, action }));
    });
  }

  api.openapi(deleteTenantRoute, async (c) => {
    const { tenant: name } = c.req.valid("param");
    if (c.var.sight.within !== null) return refused(c, "role", ALL_ONLY);
    const condition = conditionIn(c);
    if (condition.kind === "refused") return condition.answer;
    const change = { kind: "delete", revision: condition.revision } as const;
    const changed = await apply(c, { name, change, action: "tenant_deleted" });
    if (changed?.kind === "deleted") return c.json({ tenant: name, state: "deleted" } as const, 200);
    return changed === null || changed.kind === "done" ? unavailable(c) : refuseChange(c, name, changed);
  });

  api.openapi(resealRoute, async (c) => {
    if (c.var.sight.within !== null) return refused(c, "role", ALL_ONLY);
    try {
      const done = await tenants.changes.reseal();
      if (done.kind === "no_key") return refused(c, "no_seal_key", NO_SEAL_KEY);
      if (done.kind === "busy") return unavailable(c);
      const { resealed } = done;
      guards.trail.record({ ...operationOf(c, "tenants_resealed", {}), count: resealed, outcome: "done" });
      return c.json({ resealed }, 200);
    } catch (error) {
      events.failed({ where: "tenants", error });
      return unavailable(c);
    }
  });
}

/** A change of what somebody else has changed meanwhile would undo it, so the version that is meant has to be said. */
function conditionIn(c: Context<OpsEnv>) {
  const tag = c.req.header("if-match");
  if (tag === undefined) {
    const detail = "Send If-Match with the ETag of the document as you read it, or * for any.";
    return { kind: "refused", answer: refused(c, "no_condition", detail) } as const;
  }
  const revision = revisionOf(tag.trim());
  if (revision === undefined) {
    const detail = "If-Match is no ETag that a tenant's document has had.";
    return { kind: "refused", answer: refused(c, "changed", detail) } as const;
  }
  return { kind: "given", revision } as const;
}
