/** Joins devices to units, technicians and destinations, as an operator's file says, and follows its changes. */

import { stat } from "node:fs/promises";
import { z } from "zod";
import { readRows } from "./mapping-file.ts";
import type { Unit } from "./servicetitan/ping.ts";

/** One way a device's readings take. */
export interface Route {
  /** Null: the source's own destination. */
  destination: string | null;
  unit: Unit;
}

export interface Mapping {
  /** How many rows it was made from. */
  readonly rows: number;
  /** Empty for a device that no row names; whoever asks decides by the source's policy. */
  routes(source: string, deviceId: string): readonly Route[];
  /** The units a technician drives, for the read-back. */
  unitsOf(technician: string): readonly string[];
}

/** What the file's names must fit: the configuration's own records will do. */
export interface Known {
  destinations: Readonly<Record<string, unknown>>;
  sources: Readonly<Record<string, { destination: string }>>;
}

export type LoadedMapping =
  | { kind: "loaded"; mapping: Mapping }
  /** Every problem at once, each with its line. */
  | { kind: "broken"; problems: string[] };

/** An identifier of a spreadsheet row: white space around it is nobody's intention. */
const cell = z.string().trim();
/** Longer than any id or name seen; a waiting ping's head has room for 999 bytes of it. */
const MAX_CELL_CHARS = 200;
const optional = cell
  .max(MAX_CELL_CHARS)
  .transform((text) => text || null)
  .optional();
const row = z.strictObject({
  source: optional,
  device: cell.min(1, "is missing").max(MAX_CELL_CHARS),
  unit: optional,
  name: optional,
  technician: optional,
  destination: optional,
});

/** Reads the file once. Never rejects: a file that cannot be read is a problem like any other. */
export async function loadMapping(file: string, known: Known): Promise<LoadedMapping> {
  const problems: string[] = [];
  let rows = 0;
  /** Device → its routes; under the source's name, and under ANY_SOURCE for rows that name none. */
  const bySource = new Map<string, Map<string, Route[]>>();
  /** Source, device and destination → the line that said it first. */
  const lines = new Map<string, number>();
  const byTechnician = new Map<string, Set<string>>();

  for await (const found of readRows(file)) {
    if (found.kind === "problem") {
      problems.push(found.problem);
      continue;
    }
    rows++;
    const { line } = found;
    const parsed = row.safeParse(found.cells);
    if (!parsed.success) {
      problems.push(...describe(parsed.error, found.cells).map((text) => `line ${line}: ${text}`));
      continue;
    }
    const { device, source = null, destination = null, technician = null } = parsed.data;
    const before = problems.length;
    if (source !== null && !Object.hasOwn(known.sources, source)) {
      problems.push(`line ${line}: source "${source}" is not configured`);
    }
    if (destination !== null && !Object.hasOwn(known.destinations, destination)) {
      problems.push(`line ${line}: destination "${destination}" is not configured`);
    }
    if (problems.length > before) continue;

    const place = destination ?? (source === null ? null : (known.sources[source]?.destination ?? null));
    const key = JSON.stringify([source, device, place]);
    const first = lines.get(key);
    if (first !== undefined) {
      problems.push(`line ${line}: device "${device}" goes there already by line ${first}`);
      continue;
    }
    lines.set(key, line);

    const unitId = parsed.data.unit ?? device;
    const unit: Unit = { unitId, unitName: parsed.data.name ?? unitId, technician };
    if (technician !== null) {
      const units = byTechnician.get(technician) ?? new Set();
      byTechnician.set(technician, units.add(unitId));
    }
    const devices = bySource.get(source ?? ANY_SOURCE) ?? new Map<string, Route[]>();
    bySource.set(source ?? ANY_SOURCE, devices);
    const routes = devices.get(device);
    if (routes === undefined) devices.set(device, [{ destination, unit }]);
    else routes.push({ destination, unit });
  }
  if (problems.length > 0) return { kind: "broken", problems: firstOf(problems) };

  const anySource = bySource.get(ANY_SOURCE);
  return {
    kind: "loaded",
    mapping: {
      rows,
      // A row that names the source knows better than one that names none.
      routes: (source, deviceId) =>
        bySource.get(source)?.get(deviceId) ?? anySource?.get(deviceId) ?? NO_ROUTES,
      unitsOf: (technician) => [...(byTechnician.get(technician) ?? [])],
    },
  };
}

/** Enough to see what is wrong with the file; a hundred thousand of them would only bury the log. */
const MAX_PROBLEMS = 100;

function firstOf(problems: string[]): string[] {
  const more = problems.length - MAX_PROBLEMS;
  return more > 0 ? [...problems.slice(0, MAX_PROBLEMS), `and ${more} more`] : problems;
}

/** No source can have this name: names begin with a letter or digit. */
const ANY_SOURCE = "*";
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
    // Long ids lose digits when they are read as numbers.
    return `${String(column)} must be text${typeof value === "number" ? ", in quotes" : ""}`;
  });
}

export interface MappingEvents {
  mappingReloaded(event: { file: string; rows: number }): void;
  /** The new file could not be used; the last good mapping stays. */
  mappingProblem(event: { file: string; problems: string[] }): void;
}

export interface WatchedMapping extends Mapping {
  stop(): void;
}

/** Reads the file and then follows it: by asking every few seconds, for mounted volumes and network drives tell nothing. */
export async function watchMapping(
  file: string,
  known: Known,
  { events, pollMs = 2000 }: { events: MappingEvents; pollMs?: number },
): Promise<{ kind: "loaded"; mapping: WatchedMapping } | { kind: "broken"; problems: string[] }> {
  let inUse = await stampOf(file);
  const loaded = await loadMapping(file, known);
  if (loaded.kind === "broken") return loaded;
  let current = loaded.mapping;
  let seen = inUse;

  async function poll(): Promise<void> {
    const stamp = await stampOf(file);
    const settled = stamp === seen;
    seen = stamp;
    // A file that is being written may read well and lack half its rows: it has to look the same twice.
    if (!settled || stamp === inUse) return;
    inUse = stamp;
    const next = await loadMapping(file, known);
    if (stopped) return;
    if (next.kind === "broken") {
      events.mappingProblem({ file, problems: next.problems });
      return;
    }
    current = next.mapping;
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
      routes: (source, deviceId) => current.routes(source, deviceId),
      unitsOf: (technician) => current.unitsOf(technician),
      stop() {
        stopped = true;
        clearTimeout(timer);
      },
    },
  };
}

/** Tells two states of the file apart. The inode is there for files replaced by renaming within one tick of the clock. */
async function stampOf(file: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(file);
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    return "gone";
  }
}
