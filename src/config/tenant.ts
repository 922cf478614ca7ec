/** Says which tenant a destination belongs to: what must not cross is told apart by it. */

export interface TenantSettings {
  tenant: string;
  environment?: string;
  apiUrl?: string | undefined;
}

/** ServiceTitan's tenant. Its environments give out their numbers separately, so the same number may be another customer. */
export function tenantOf({ tenant, environment = "production", apiUrl = "" }: TenantSettings): string {
  return environment === "custom" ? `${tenant} at ${apiUrl}` : `${tenant} (${environment})`;
}
