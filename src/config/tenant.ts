/** Names the tenant of a destination, by which data that must not cross is kept apart. */

export interface TenantSettings {
  tenant: string;
  environment?: string;
  apiUrl?: string | undefined;
}

/** ServiceTitan's environments number their tenants separately, so the same number may be another customer. */
export function tenantOf({ tenant, environment = "production", apiUrl = "" }: TenantSettings): string {
  return environment === "custom" ? `${tenant} at ${apiUrl}` : `${tenant} (${environment})`;
}
