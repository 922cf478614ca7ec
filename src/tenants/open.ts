/** Opens what handles tenants of the API: their documents, and the changes of them. */

import type { Config } from "../config/config.ts";
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
export function validatorOf(
  reader: Pick<ConfigReader, "read">,
  /** Why a configuration that is right in itself cannot follow the one in force. */
  problemsOf: (config: Config) => readonly { destination: string; message: string }[],
): Validate {
  return (documents) => {
    const tenants = new Map(
      [...documents].map(([name, { document, isPaused }]) => [name, { settings: document, isPaused }]),
    );
    const loaded = reader.read(tenants);
    const problems =
      "problems" in loaded ? loaded.problems : [...loaded.leftOut, ...following(loaded.config, problemsOf)];
    return problems.length === 0 ? { kind: "right" } : { kind: "wrong", problems };
  };
}

function following(config: Config, problemsOf: Parameters<typeof validatorOf>[1]) {
  return problemsOf(config).map(({ destination, message }) => {
    const [tenant] =
      Object.entries(config.tenants).find(([, { destinations }]) => destinations.includes(destination)) ?? [];
    const path = `destinations.${destination}`;
    return { path, message, ...(tenant !== undefined && { tenant, steps: ["destinations", destination] }) };
  });
}
