/** Decides to whose devices a mapping row applies, so that no row reaches a device of another tenant unasked. */

import { type TenantSettings, tenantOf } from "../config/tenant.ts";

/** The names that the file may use: records of the configuration. */
export interface Known {
  destinations: Readonly<Record<string, TenantSettings>>;
  sources: Readonly<Record<string, { destination: string }>>;
}

export type Scope =
  /** The devices of this source. */
  | { kind: "source"; source: string }
  /** The devices of every source whose own destination belongs to this tenant. */
  | { kind: "tenant"; tenant: string };

export interface Scopes {
  /**
   * A row that names its source applies to that source, whatever the destination. Any other row applies to the sources of
   * its destination's tenant: a second customer's device may have the same id. A row that names neither has a tenant only
   * where all destinations share one.
   */
  scopeOf(
    source: string | null,
    destination: string | null,
  ): Scope | { kind: "problems"; problems: string[] };
  /** Undefined for a source that is not configured. */
  tenantOfSource(source: string): string | undefined;
  /** The destinations of a row that names none: the own destinations of the sources it applies to. */
  ownDestinations(scope: Scope): readonly string[];
}

export function createScopes({ destinations, sources }: Known): Scopes {
  const tenantOfDestination = new Map(
    Object.entries(destinations).map(([name, settings]) => [name, tenantOf(settings)]),
  );
  const tenants = new Set(tenantOfDestination.values());
  const tenantOfSource = new Map<string, string>();
  const ownDestinations = new Map<string, string[]>();
  for (const [source, { destination }] of Object.entries(sources)) {
    const tenant = tenantOfDestination.get(destination);
    if (tenant === undefined) continue;
    tenantOfSource.set(source, tenant);
    const own = ownDestinations.get(tenant) ?? [];
    if (!own.includes(destination)) own.push(destination);
    ownDestinations.set(tenant, own);
  }

  function unknownNames(source: string | null, destination: string | null): string[] {
    const problems: string[] = [];
    if (source !== null && !Object.hasOwn(sources, source)) {
      problems.push(`source "${source}" is not configured`);
    }
    if (destination !== null && !tenantOfDestination.has(destination)) {
      problems.push(`destination "${destination}" is not configured`);
    }
    return problems;
  }

  return {
    scopeOf(source, destination) {
      const problems = unknownNames(source, destination);
      if (problems.length > 0) return { kind: "problems", problems };
      if (source !== null) return { kind: "source", source };
      const [onlyTenant] = tenants.size === 1 ? tenants : [];
      const tenant = destination === null ? onlyTenant : tenantOfDestination.get(destination);
      if (tenant === undefined) {
        const problem = `names no source and no destination; with ${tenants.size} tenants say whose device it is: name one of the two`;
        return { kind: "problems", problems: [problem] };
      }
      if (!ownDestinations.has(tenant)) {
        const problem = `destination "${destination}" is of a tenant that no source sends to by itself: name the source whose device it is`;
        return { kind: "problems", problems: [problem] };
      }
      return { kind: "tenant", tenant };
    },
    tenantOfSource: (source) => tenantOfSource.get(source),
    ownDestinations: (scope) =>
      scope.kind === "tenant"
        ? (ownDestinations.get(scope.tenant) ?? [])
        : [sources[scope.source]?.destination ?? ""],
  };
}
