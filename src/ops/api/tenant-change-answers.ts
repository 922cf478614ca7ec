/** Says what became of a change of a tenant, and what stands in its way. */

import type { Context } from "hono";
import type { z } from "zod";
import type { Changed } from "../../tenants/changes.ts";
import type { TenantDocument } from "../../tenants/documents.ts";
import { isRecord } from "../../untrusted.ts";
import type { Tenants } from "../tenants.ts";
import { refused } from "./errors.ts";
import type { tenantDocumentSchema } from "./schema/tenant-document.ts";

export function shownTenant(
  tenant: string,
  { document, revision, isPaused }: TenantDocument,
  { hide }: Pick<Tenants, "hide">,
): z.output<typeof tenantDocumentSchema> {
  const hidden = hide(document);
  return {
    ...{ tenant, state: isPaused ? "paused" : "active", revision },
    document: isRecord(hidden) ? hidden : {},
  };
}

export function tagOf(revision: number): string {
  return `"${revision}"`;
}

/** The revision of an If-Match: null for any; undefined for what is no tag of ours. */
export function revisionOf(tag: string): number | null | undefined {
  if (tag === "*") return null;
  const [, revision] = /^"(\d{1,15})"$/.exec(tag) ?? [];
  return revision === undefined ? undefined : Number(revision);
}

type Refusal = Exclude<Changed, { kind: "done" | "deleted" }>;

export function refuseChange(c: Context, tenant: string, refusal: Refusal) {
  switch (refusal.kind) {
    case "wrong": {
      const detail = refusal.problems.map((each) => `${each.pointer || "/"} ${each.detail}`).join("; ");
      return refused(c, "wrong_document", detail, refusal.problems);
    }
    case "exists":
      return refused(c, "exists", `Tenant ${tenant} is there already${FROM[refusal.where]}.`);
    case "missing":
      return refused(c, "not_found");
    case "of_file":
      return refused(c, "not_ours", notReadable(tenant, null));
    case "stale":
      return refused(
        c,
        "changed",
        `It is at revision ${refusal.revision} by now: read it again, and send If-Match: ${tagOf(refusal.revision)}.`,
      );
    case "closed":
      return refused(c, "not_ours", notReadable(tenant, refusal.why));
    case "no_key":
      return refused(c, "no_seal_key", NO_SEAL_KEY);
    case "other_request":
      return refused(
        c,
        "other_request",
        "This Idempotency-Key came with another request before: take a new one.",
      );
    case "busy":
      return refused(c, "unavailable", "Other changes came first each time: send it again.");
    default:
      return refusal satisfies never;
  }
}

const FROM = { api: "", file: ", in a file of the configuration" };

export const NO_SEAL_KEY =
  "Secrets are stored sealed only: set WAYPOST_SEAL_KEY or WAYPOST_SEAL_KEY_FILE for every process (openssl rand -hex 32 makes a key) and restart them.";

/** `why`: what is wrong with the document; null for one that is in a file. */
export function notReadable(tenant: string, why: string | null): string {
  return why === null
    ? `Tenant ${tenant} comes from a file of the configuration: read it and change it there.`
    : `Tenant ${tenant} cannot be used: ${why}`;
}
