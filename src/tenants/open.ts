/** Opens what handles tenants of the API: their documents, and the changes of them. */

import type { ConfigReader } from "../config/load.ts";
import type { TenantStore } from "../queue/redis/tenant-store.ts";
import { createTenantChanges, type TenantChanges, type Validate } from "./changes.ts";
import { createTenantDocuments, type TenantDocuments } from "./documents.ts";
import { createSeal } from "./seal.ts";
import type { Hide } from "./secrets.ts";

export interface OpenedTenants {
  documents: TenantDocuments;
  changes: TenantChanges;
  hide: Hide;
}

export interface TenantsOptions {
  store: TenantStore;
  sealKeys: readonly Buffer[];
  hide: Hide;
  validate: Validate;
  isOfFile(name: string): boolean;
  failed(error: unknown): void;
}

export function openTenants({ store, sealKeys, failed, ...rest }: TenantsOptions): OpenedTenants {
  const seal = createSeal(sealKeys);
  const documents = createTenantDocuments({ store, seal, failed });
  return { documents, hide: rest.hide, changes: createTenantChanges({ store, documents, seal, ...rest }) };
}

/** By the very reading that files go through. */
export function validatorOf(reader: Pick<ConfigReader, "read">): Validate {
  return (documents) => {
    const tenants = new Map(
      [...documents].map(([name, { document, isPaused }]) => [name, { settings: document, isPaused }]),
    );
    const loaded = reader.read(tenants);
    const problems = "problems" in loaded ? loaded.problems : loaded.leftOut;
    return problems.length === 0 ? { kind: "right" } : { kind: "wrong", problems };
  };
}
