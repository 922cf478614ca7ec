/** Says which tenant, source and destination a problem belongs to, and ranks by how bad things are. */

import type { Topology } from "../access/sight.ts";
import type { Problem } from "../diagnose/problem.ts";
import type { NoStatus, StatusDocument } from "../status-document.ts";
import type { ApiProblem, Severities } from "./schema/problem.ts";

/** One status is shared by all who ask within a second, and by every page that follows. */
const placedOf = new WeakMap<StatusDocument | NoStatus, readonly ApiProblem[]>();

/** The problems of a status with their places, the worst first, otherwise in the order of the diagnosis. */
export function placedProblems(status: StatusDocument | NoStatus, topology: Topology): readonly ApiProblem[] {
  const known = placedOf.get(status);
  if (known) return known;
  const placed = placeAll(status, topology);
  placedOf.set(status, placed);
  return placed;
}

function placeAll(status: StatusDocument | NoStatus, topology: Topology): ApiProblem[] {
  const tenants = tenantsByDestination(status, topology);
  const placed = status.problems.map((problem) => ({ ...problem, subjects: [...problem.subjects] }));
  return placed
    .map((problem) => ({ ...problem, ...placeOf(problem, topology, tenants) }))
    .sort((a, b) => Number(b.severity === "error") - Number(a.severity === "error"));
}

/** A tenant with a document of its own goes by the document's name, any other by its number at ServiceTitan. */
export function tenantsByDestination(
  status: StatusDocument | NoStatus,
  { tenants = new Map() }: Pick<Topology, "tenants">,
): ReadonlyMap<string, string> {
  const named = new Map(
    [...tenants].flatMap(([name, { destinations }]) =>
      destinations.map((each): [string, string] => [each, name]),
    ),
  );
  const all = "destinations" in status ? status.destinations : [];
  return new Map(all.map(({ name, tenant }) => [name, named.get(name) ?? tenant]));
}

export function severitiesOf(problems: readonly Pick<Problem, "severity">[]): Severities {
  const error = problems.filter(({ severity }) => severity === "error").length;
  return { error, warning: problems.length - error };
}

type Place = Pick<ApiProblem, "tenant" | "source" | "destination">;

/** `source vans`, `destination acme`, `tenant 1000001 (acme)`; anything else belongs to no single tenant. */
function placeOf({ where }: Problem, topology: Topology, tenants: ReadonlyMap<string, string>): Place {
  const [, kind, name = ""] = /^(source|destination|tenant) (\S+)/.exec(where) ?? [];
  const tenantOf = (destination: string | null) => tenants.get(destination ?? "") ?? null;
  switch (kind) {
    case "source": {
      const destination = topology.sources.get(name)?.destination ?? null;
      return { source: name, destination, tenant: tenantOf(destination) };
    }
    case "destination":
      return { source: null, destination: name, tenant: tenantOf(name) };
    case "tenant":
      return { source: null, destination: null, tenant: name };
    default:
      return { source: null, destination: null, tenant: null };
  }
}
