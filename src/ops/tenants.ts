/** What the ops endpoint does with tenants that came through the API; the composition root hands it over. */

import type { TenantChanges } from "../tenants/changes.ts";
import type { TenantDocuments } from "../tenants/documents.ts";

export interface Tenants {
  changes: TenantChanges;
  documents: Pick<TenantDocuments, "refresh">;
  /** The document as it may be shown. */
  hide(document: unknown): unknown;
}
