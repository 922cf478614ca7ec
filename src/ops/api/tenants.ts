/** Groups the status by tenant: one row for each, and everything of one. */

import type { DestinationStatus, SourceStatus } from "../../status/queue.ts";
import { iso } from "../../time.ts";
import type { Topology } from "../access/sight.ts";
import type { StatusDocument } from "../status-document.ts";
import { placedProblems, severitiesOf, tenantsByDestination } from "./places.ts";
import type { DestinationDetail } from "./schema/destination.ts";
import type { ApiProblem } from "./schema/problem.ts";
import type { SourceDetail, SourceRow } from "./schema/source.ts";
import type { TenantDetail, TenantRow } from "./schema/tenant.ts";
import { highest, lowest } from "./small-status.ts";

interface Group {
  destinations: DestinationStatus[];
  sources: SourceStatus[];
  problems: ApiProblem[];
}

export function tenantRows(status: StatusDocument, topology: Topology): TenantRow[] {
  return [...grouped(status, topology)].map(([tenant, group]) => rowOf(tenant, group, topology));
}

/** Null: there is no such tenant in this status. */
export function tenantDetail(
  status: StatusDocument,
  topology: Topology,
  tenant: string,
): Omit<TenantDetail, "instructions"> | null {
  const group = grouped(status, topology).get(tenant);
  if (!group) return null;
  const { destinations, sources, problems } = group;
  return {
    at: status.at,
    tenant: rowOf(tenant, group, topology),
    problems,
    destinations: destinations.map((each) => destinationDetail(status, each, problems)),
    sources: sources.map((each) => sourceDetail(status, each, problems)),
  };
}

/** With times as ISO text, as everywhere in the API. */
export function sourceRow(source: SourceStatus): SourceRow {
  const troubled = source.troubled.map(({ since, lastAt, goodAt, ...device }) => ({
    ...device,
    since: iso(since),
    lastAt: iso(lastAt),
    goodAt: goodAt === null ? null : iso(goodAt),
  }));
  return { ...source, troubled };
}

export function sourceDetail(
  status: StatusDocument,
  source: SourceStatus,
  problems: readonly ApiProblem[],
): SourceDetail {
  const { name } = source;
  const isOfIt = (each: { source: string | null }) => each.source === name;
  return {
    ...sourceRow(source),
    problems: problems.filter(isOfIt),
    policies: status.policies.filter(({ where }) => where === `source ${name}`),
    clocks: status.clocks.filter(isOfIt),
    unmapped: status.unmapped.filter(isOfIt),
  };
}

/** With the problems of its tenant as a whole, which are its own too. */
export function destinationDetail(
  status: StatusDocument,
  destination: DestinationStatus,
  problems: readonly ApiProblem[],
): DestinationDetail {
  const { name, tenant } = destination;
  return {
    ...destination,
    problems: problems.filter(
      (each) => each.source === null && (each.destination ?? (each.tenant === tenant ? name : null)) === name,
    ),
    policies: status.policies.filter(({ where }) => where === `destination ${name}`),
  };
}

/** A source belongs to the tenant of its default destination. */
function grouped(status: StatusDocument, topology: Topology): Map<string, Group> {
  const tenants = tenantsByDestination(status, topology);
  const groups = new Map<string, Group>();
  for (const tenant of tenants.values()) groups.set(tenant, { destinations: [], sources: [], problems: [] });
  for (const each of status.destinations) groups.get(tenants.get(each.name) ?? "")?.destinations.push(each);
  for (const each of status.sources) groups.get(tenants.get(each.destination) ?? "")?.sources.push(each);
  for (const each of placedProblems(status, topology)) groups.get(each.tenant ?? "")?.problems.push(each);
  return groups;
}

function rowOf(tenant: string, { destinations, sources, problems }: Group, { tenants }: Topology): TenantRow {
  const place = tenants?.get(tenant);
  const lastMessages = sources.flatMap(({ lastMessageAt }) => lastMessageAt ?? []).sort();
  return {
    tenant,
    origin: place?.origin ?? "main",
    state: place?.isPaused ? "paused" : "active",
    destinations: destinations.map(({ name }) => name),
    sources: sources.map(({ name }) => name),
    problems: severitiesOf(problems),
    waiting: destinations.reduce((sum, { waiting }) => sum + waiting, 0),
    inFlight: destinations.reduce((sum, { inFlight }) => sum + inFlight, 0),
    oldestWaitingAgeMs: highest(destinations.map(({ oldestWaitingAgeMs }) => oldestWaitingAgeMs)),
    newestAcceptedAgeMs: lowest(destinations.map(({ newestAcceptedAgeMs }) => newestAcceptedAgeMs)),
    freshnessP50AgeMs: highest(destinations.map(({ freshness }) => freshness?.p50AgeMs ?? null)),
    lastMessageAt: lastMessages.at(-1) ?? null,
  };
}
