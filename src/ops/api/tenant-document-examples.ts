/** The tenant of the examples, and what its changes answer. */

import type { z } from "zod";
import type { changedTenantSchema, newTenantSchema, tenantDocumentSchema } from "./schema/tenant-document.ts";

const settings = (name: string, tenant: string, secret: string, clientSecret: string) => ({
  sources: { [`${name}-trucks`]: { vendor: "bouncie", destination: name, auth: { secret } } },
  destinations: {
    [name]: {
      ...{ tenant, provider: "waypost_gps", appKey: "ak1.example" },
      ...{ clientId: "cid.example", clientSecret },
    },
  },
});

export const EXAMPLE_SETTINGS = settings("zephyr", "1000003", "(set)", "(set)");
export const EXAMPLE_NEW: z.output<typeof newTenantSchema> = {
  tenant: "bolt",
  document: settings("bolt", "1000004", "(generate)", "cs2.example"),
};
export const EXAMPLE_DOCUMENT: z.output<typeof tenantDocumentSchema> = {
  ...{ tenant: "zephyr", state: "active", revision: 7 },
  document: EXAMPLE_SETTINGS,
};
export const EXAMPLE_CHANGED: z.output<typeof changedTenantSchema> = { ...EXAMPLE_DOCUMENT, secrets: [] };
export const EXAMPLE_CREATED: z.output<typeof changedTenantSchema> = {
  ...{ tenant: "bolt", state: "active", revision: 8 },
  document: settings("bolt", "1000004", "(set)", "(set)"),
  secrets: [
    {
      pointer: "/sources/bolt-trucks/auth/secret",
      secret: "3d1f0a9c5b7e2f4860a1c3e5d7f9b2a4c6e8f0123456789a",
    },
  ],
};
