/** Joins devices to units, technicians and destinations by an operator's file, and follows its changes. */

import { stat } from "node:fs/promises";
import { z } from "zod";
import type { Unit } from "../servicetitan/ping.ts";
import type { MappingProblem } from "../status/process.ts";
import { type FileRow, type MappingForm, readRows, withTexts } from "./rows.ts";
import { createScopes, type Known, type Scope, type Scopes } from "./scope.ts";

/** Where a device's readings go, and as which unit. */
export interface Route {
  /** Null: the source's own destination. */
  destination: string | null;
  unit: Unit;
}

export interface Mapping {
  /** The number of rows in the file. */
  readonly rows: number;
  /** Null for a file without any row or heading. */
  readonly form: MappingForm | null;
  /** Empty for a device that no row names; the source's policy decides about such readings. */
  routes(source: string, deviceId: string): readonly Route[];
  /** The units of a technician at a destination, for the read-back: another tenant's technician may have the same id. */
  unitsOf(destination: string, technician: string): readonly string[];
  /** The devices that rows name for this source or its tenant, whether it has them or not. */
  devicesOf(source: string): Iterable<string>;
}

export type LoadedMapping =
  | { kind: "loaded"; mapping: Mapping }
  /** Every problem at once, each with its line. */
  | { kind: "broken"; problems: string[] };

/** A cell of a spreadsheet: white space around its text is never intended. */
const cell = z.string().trim();
/** Longer than any id or name seen; a waiting ping's head has room for 999 bytes of it. */
const MAX_CELL_CHARS = 200;
const orNull = (text: string) => text || null;
const optional = cell.max(MAX_CELL_CHARS).transform(orNull).optional();
/**
 * Long numbers as Excel writes them (`3.52094E+14`, with a comma in other countries), and columns of numbers with gaps as
 * other programs write them (`352094000000000.0`). An id such as `12E4` is accepted: no spreadsheet writes an exponent
 * with neither a decimal mark before it nor a plus after it.
 */
const ROUNDED = /^[+-]?\d+(?:[.,]\d+E[+-]?\d+|E\+\d+|[.,]0+)$/i;
const id = cell
  .max(MAX_CELL_CHARS)
  .refine(
    (text) => !ROUNDED.test(text),
    "is a rounded number: its digits are lost. Format the column as text in the spreadsheet and enter it again",
  );
const row = z.strictObject({
  source: optional,
  device: id.min(1, "is missing"),
  unit: id.transform(orNull).optional(),
  name: optional,
  technician: id.transform(orNull).optional(),
  destination: optional,
});
type Row = z.output<typeof row>;

/** Rows that stand in a tenant's document itself, with the columns of a file. */
export type GivenRows = readonly Readonly<Record<string, unknown>>[];

/** Reads a file, or given rows, once. Never rejects: a file that cannot be read is a problem like any other. */
export async function loadMapping(from: string | GivenRows, known: Known): Promise<LoadedMapping> {
  const place = typeof from === "string" ? "line" : "row";
  const problems: string[] = [];
  let rows = 0;
  let form: MappingForm | null = null;
  const scopes = createScopes(known);
  const table = createTable(scopes);
  /** Scope, device and destination → the first line with them. */
  const lines = new Map<string, number>();

  for await (const found of typeof from === "string" ? readRows(from) : given(from)) {
    if (found.kind === "problem") {
      problems.push(found.problem);
      continue;
    }
    if (found.kind === "form") {
      form = found.form;
      continue;
    }
    rows++;
    const { line } = found;
    const parsed = row.safeParse(found.cells);
    if (!parsed.success) {
      problems.push(...describe(parsed.error, found.cells).map((text) => `${place} ${line}: ${text}`));
      continue;
    }
    const { device, source = null, destination = null } = parsed.data;
    const scope = scopes.scopeOf(source, destination);
    if (scope.kind === "problems") {
      problems.push(...scope.problems.map((text) => `${place} ${line}: ${text}`));
      continue;
    }

    const goesTo = destination ?? (source === null ? null : (known.sources[source]?.destination ?? null));
    const key = JSON.stringify([scope, device, goesTo]);
    const first = lines.get(key);
    if (first !== undefined) {
      problems.push(`${place} ${line}: device "${device}" goes there already by ${place} ${first}`);
      continue;
    }
    lines.set(key, line);
    table.add(scope, parsed.data);
  }
  if (problems.length > 0) return { kind: "broken", problems: firstOf(problems) };
  const { routes, unitsOf, devicesOf } = table;
  return { kind: "loaded", mapping: { rows, form, routes, unitsOf, devicesOf } };
}

function* given(rows: GivenRows): Generator<FileRow> {
  for (const [i, cells] of rows.entries()) yield { kind: "row", line: i + 1, cells: withTexts(cells) };
}

interface Table extends Omit<Mapping, "rows" | "form"> {
  add(scope: Scope, row: Row): void;
}

function createTable(scopes: Scopes): Table {
  /** The devices of a source, and of a tenant, each with its routes. */
  const ofSource = new Map<string, Map<string, Route[]>>();
  const ofTenant = new Map<string, Map<string, Route[]>>();
  /** Destination → technician → units. */
  const driven = new Map<string, Map<string, Set<string>>>();

  return {
    add(scope, { device, destination = null, technician = null, ...cells }) {
      const unitId = cells.unit ?? device;
      const devices =
        scope.kind === "source"
          ? entry(ofSource, scope.source, () => new Map())
          : entry(ofTenant, scope.tenant, () => new Map());
      const unit: Unit = { unitId, unitName: cells.name ?? unitId, technician };
      entry(devices, device, () => []).push({ destination, unit });
      if (technician === null) return;
      for (const place of destination === null ? scopes.ownDestinations(scope) : [destination]) {
        const technicians = entry(driven, place, () => new Map());
        entry(technicians, technician, () => new Set()).add(unitId);
      }
    },
    routes(source, device) {
      // A row that names the source takes precedence over one that names none.
      const named = ofSource.get(source)?.get(device);
      if (named) return named;
      const tenant = scopes.tenantOfSource(source);
      return (tenant === undefined ? undefined : ofTenant.get(tenant)?.get(device)) ?? NO_ROUTES;
    },
    unitsOf: (destination, technician) => [...(driven.get(destination)?.get(technician) ?? [])],
    devicesOf(source) {
      const tenant = scopes.tenantOfSource(source);
      const ofIts = tenant === undefined ? undefined : ofTenant.get(tenant);
      return [...(ofSource.get(source)?.keys() ?? []), ...(ofIts?.keys() ?? [])];
    },
  };
}

function entry<Value>(map: Map<string, Value>, key: string, create: () => Value): Value {
  const found = map.get(key);
  if (found !== undefined) return found;
  const created = create();
  map.set(key, created);
  return created;
}

/** Enough to see what is wrong with the file; a hundred thousand problems would only flood the log. */
const MAX_PROBLEMS = 100;

function firstOf(problems: string[]): string[] {
  const more = problems.length - MAX_PROBLEMS;
  return more > 0 ? [...problems.slice(0, MAX_PROBLEMS), `and ${more} more`] : problems;
}

const NO_ROUTES: readonly Route[] = [];

function describe({ issues }: z.ZodError, cells: unknown): string[] {
  return issues.map((issue) => {
    if (issue.code === "unrecognized_keys") {
      return `unknown column ${issue.keys.map((key) => `"${key}"`).join(", ")}`;
    }
    const [column] = issue.path;
    if (column === undefined) return "must be a row of columns";
    if (issue.code !== "invalid_type") return `${String(column)} ${issue.message}`;
    const value: unknown = Object.entries(Object(cells)).find(([name]) => name === column)?.[1];
    if (value === undefined) return `${String(column)} is missing`;
    // Long ids lose digits when parsed as numbers.
    return `${String(column)} must be text${typeof value === "number" ? ", in quotes" : ""}`;
  });
}

export interface MappingEvents {
  mappingReloaded(event: { file: string; rows: number }): void;
  /** The new file could not be used; the last good mapping stays. */
  mappingProblem(event: { file: string; problems: string[] }): void;
}

export interface WatchedMapping extends Mapping {
  /** Why the file as it is now is not used; null while it is. */
  problem(): MappingProblem | null;
  stop(): void;
}

/** Reads the file and then polls it every few seconds: mounted volumes and network drives send no change events. */
export async function watchMapping(
  file: string,
  known: Known,
  { events, pollMs = 1500, now = Date.now }: { events: MappingEvents; pollMs?: number; now?: () => number },
): Promise<{ kind: "loaded"; mapping: WatchedMapping } | { kind: "broken"; problems: string[] }> {
  let inUse = await stampOf(file);
  const loaded = await loadMapping(file, known);
  if (loaded.kind === "broken") return loaded;
  let current = loaded.mapping;
  let rowsReadAtMs = now();
  let problem: MappingProblem | null = null;
  let seen = inUse;

  async function poll(): Promise<void> {
    const stamp = await stampOf(file);
    const settled = stamp === seen;
    seen = stamp;
    // A file that is being written may be valid and lack half its rows: two polls have to see the same state.
    if (!settled || stamp === inUse) return;
    inUse = stamp;
    const next = await loadMapping(file, known);
    if (stopped) return;
    if (next.kind === "broken") {
      const { problems } = next;
      problem = { file, sinceMs: problem?.sinceMs ?? now(), problems, rowsReadAtMs };
      events.mappingProblem({ file, problems });
      return;
    }
    current = next.mapping;
    rowsReadAtMs = now();
    problem = null;
    events.mappingReloaded({ file, rows: current.rows });
  }

  let stopped = false;
  let timer = setTimeout(again, pollMs).unref();
  async function again(): Promise<void> {
    await poll();
    if (!stopped) timer = setTimeout(again, pollMs).unref();
  }

  return {
    kind: "loaded",
    mapping: {
      get rows() {
        return current.rows;
      },
      get form() {
        return current.form;
      },
      problem: () => problem,
      routes: (source, deviceId) => current.routes(source, deviceId),
      unitsOf: (destination, technician) => current.unitsOf(destination, technician),
      devicesOf: (source) => current.devicesOf(source),
      stop() {
        stopped = true;
        clearTimeout(timer);
      },
    },
  };
}

/** Distinguishes states of the file. The inode is for files replaced by renaming within one tick of the clock. */
async function stampOf(file: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(file);
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    return "gone";
  }
}
