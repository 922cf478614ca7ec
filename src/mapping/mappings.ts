/** Joins the mapping of the main configuration with those of tenants: each speaks for the sources of its own document. */

import { isDeepStrictEqual } from "node:util";
import type { MappingProblem } from "../status/process.ts";
import {
  type GivenRows,
  loadMapping,
  type MappingEvents,
  type Route,
  type WatchedMapping,
  watchMapping,
} from "./mapping.ts";
import type { MappingForm } from "./rows.ts";
import type { Known } from "./scope.ts";

/** The mapping of one document. */
export interface MappingPart {
  /** The tenant's name; empty for the main configuration. */
  tenant: string;
  from: { kind: "file"; file: string } | { kind: "rows"; rows: GivenRows };
  /** What its rows may name: the sources and destinations of the document. */
  known: Known;
}

/** The parts of the configuration that say which device is which unit. */
interface Configured {
  mapping?: { file: string } | undefined;
  sources: Known["sources"];
  destinations: Known["destinations"];
  tenants: Readonly<
    Record<
      string,
      {
        mapping?: { file?: string | undefined; rows?: GivenRows | undefined } | undefined;
        sources: readonly string[];
        destinations: readonly string[];
      }
    >
  >;
}

export function mappingPartsOf({ mapping, sources, destinations, tenants }: Configured): MappingPart[] {
  const parts: MappingPart[] = [];
  const ofTenants = { sources: new Set<string>(), destinations: new Set<string>() };
  for (const [tenant, own] of Object.entries(tenants)) {
    for (const name of own.sources) ofTenants.sources.add(name);
    for (const name of own.destinations) ofTenants.destinations.add(name);
    const { file, rows = [] } = own.mapping ?? {};
    if (!own.mapping) continue;
    const known = {
      sources: Object.fromEntries(
        own.sources.flatMap((name) => (sources[name] ? [[name, sources[name]]] : [])),
      ),
      destinations: Object.fromEntries(
        own.destinations.flatMap((name) => (destinations[name] ? [[name, destinations[name]]] : [])),
      ),
    };
    parts.push({ tenant, from: file === undefined ? { kind: "rows", rows } : { kind: "file", file }, known });
  }
  if (!mapping) return parts;
  const known = {
    sources: Object.fromEntries(Object.entries(sources).filter(([name]) => !ofTenants.sources.has(name))),
    destinations: Object.fromEntries(
      Object.entries(destinations).filter(([name]) => !ofTenants.destinations.has(name)),
    ),
  };
  return [{ tenant: "", from: { kind: "file", file: mapping.file }, known }, ...parts];
}

/** Reads all of them once. Each problem names its file, or the tenant whose rows they are. */
export async function checkMappings(
  parts: readonly MappingPart[],
): Promise<{ rows: number; problems: string[] }> {
  let rows = 0;
  const problems: string[] = [];
  for (const part of parts) {
    const loaded = await loadMapping(part.from.kind === "file" ? part.from.file : part.from.rows, part.known);
    if (loaded.kind === "loaded") rows += loaded.mapping.rows;
    else problems.push(...loaded.problems.map((problem) => `${placeOf(part)}: ${problem}`));
  }
  return { rows, problems };
}

function placeOf({ tenant, from }: MappingPart): string {
  return from.kind === "file" ? from.file : `tenant ${tenant}: mapping.rows`;
}

export interface Mappings {
  /** Null for a source whose document has no mapping; empty for a device that no row names. */
  routes(source: string, device: string): readonly Route[] | null;
  unitsOf(destination: string, technician: string): readonly string[];
  devicesOf(source: string): Iterable<string>;
  /** Why a file as it is now is not used; null while all are. */
  problem(): MappingProblem | null;
  /** How the main file is written, or the first there is. */
  form(): MappingForm | null;
  isConfigured(): boolean;
  /** Reads what differs from before. Nothing counts until `apply` is called; without it, `discard`. */
  prepare(parts: readonly MappingPart[]): Promise<Prepared>;
  stop(): void;
}

export type Prepared =
  | { kind: "ready"; apply(): void; discard(): void }
  | { kind: "broken"; problems: string[] };

/** A hundred files and more are looked at more rarely: each look costs some 50 µs. */
const POLL_MS = 1500;
const POLL_MS_PER_FILE = 10;

interface Running {
  part: MappingPart;
  mapping: Pick<WatchedMapping, "routes" | "unitsOf" | "devicesOf" | "form" | "problem" | "stop">;
}

export function createMappings(events: MappingEvents): Mappings {
  let running = new Map<string, Running>();
  let ofSource = new Map<string, Running>();
  let ofDestination = new Map<string, Running>();

  async function open(part: MappingPart, files: number): Promise<Running | string[]> {
    if (part.from.kind === "rows") {
      const loaded = await loadMapping(part.from.rows, part.known);
      if (loaded.kind === "broken") return loaded.problems;
      return { part, mapping: { ...loaded.mapping, problem: () => null, stop: () => {} } };
    }
    const pollMs = Math.max(POLL_MS, POLL_MS_PER_FILE * files);
    const watched = await watchMapping(part.from.file, part.known, { events, pollMs });
    return watched.kind === "broken" ? watched.problems : { part, mapping: watched.mapping };
  }

  return {
    routes: (source, device) => ofSource.get(source)?.mapping.routes(source, device) ?? null,
    unitsOf: (destination, technician) =>
      ofDestination.get(destination)?.mapping.unitsOf(destination, technician) ?? [],
    devicesOf: (source) => ofSource.get(source)?.mapping.devicesOf(source) ?? [],
    problem() {
      for (const { mapping } of running.values()) {
        const problem = mapping.problem();
        if (problem !== null) return problem;
      }
      return null;
    },
    form() {
      const [first] = running.values();
      return first?.mapping.form ?? null;
    },
    isConfigured: () => running.size > 0,
    async prepare(parts) {
      const next = new Map<string, Running>();
      const opened: Running[] = [];
      const problems: string[] = [];
      for (const part of parts) {
        const before = running.get(part.tenant);
        if (before && isDeepStrictEqual(before.part, part)) {
          next.set(part.tenant, before);
          continue;
        }
        const one = await open(part, parts.length);
        if (Array.isArray(one)) problems.push(...one.map((problem) => `${placeOf(part)}: ${problem}`));
        else {
          opened.push(one);
          next.set(part.tenant, one);
        }
      }
      const discard = () => {
        for (const { mapping } of opened) mapping.stop();
      };
      if (problems.length > 0) {
        discard();
        return { kind: "broken", problems };
      }
      return {
        kind: "ready",
        discard,
        apply() {
          for (const [tenant, { mapping, part }] of running)
            if (next.get(tenant)?.part !== part) mapping.stop();
          running = next;
          ofSource = new Map();
          ofDestination = new Map();
          for (const one of next.values()) {
            for (const name of Object.keys(one.part.known.sources)) ofSource.set(name, one);
            for (const name of Object.keys(one.part.known.destinations)) ofDestination.set(name, one);
          }
        },
      };
    },
    stop() {
      for (const { mapping } of running.values()) mapping.stop();
    },
  };
}
