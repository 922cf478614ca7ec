/** Where a reading goes: to which destination and lane, as which unit, and in which form it waits there. */

import type { Reading } from "../../reading.ts";
import type { Unit } from "../../servicetitan/ping.ts";
import type { QueueDestination } from "../redis/destination.ts";
import { recordEncoder } from "../redis/record.ts";

/** One destination of a device's readings. */
export interface Route {
  destination: string;
  /** Key prefix of the destination's scope. */
  keyPrefix: string;
  unit: string;
  /** `destination|lane|source`: where it waits. */
  backlog: string;
  /** Null when a mapping row names the device or no mapping is configured; else the source's policy. */
  unmapped: "forward" | "hold" | null;
  /** The reading as it waits in Redis. */
  record(reading: Reading): string;
}

export interface RoutedReading {
  reading: Reading;
  routes: readonly Route[];
}

/** One row of the mapping file about a device, which may have none, one or several. */
export interface MappingRow {
  /** Null: the source's own destination. */
  destination: string | null;
  unit: Unit;
}

export interface RouteSource {
  name: string;
  destination: string;
  unmapped: "forward" | "hold";
}

export interface RoutesOptions {
  destinations: ReadonlyMap<string, QueueDestination>;
  sources: ReadonlyMap<string, RouteSource>;
  /** Null where no mapping is configured for the source: then every device is its own unit and none counts as unmapped. */
  mapping: ((source: string, device: string) => readonly MappingRow[] | null) | null;
}

export type Routes = ReturnType<typeof createRoutes>;

/** A bound for the memory below; beyond it routes are simply worked out again. */
const MAX_REMEMBERED_DEVICES = 100_000;

export function createRoutes({ destinations, sources, mapping }: RoutesOptions) {
  let remembered = new Map<string, readonly Route[]>();
  let limitsOf = limitsIn(destinations);

  function of(source: string, device: string): readonly Route[] {
    const key = `${source}|${device}`;
    let found = remembered.get(key);
    if (!found) {
      found = workOut(source, device);
      if (remembered.size >= MAX_REMEMBERED_DEVICES) remembered = new Map();
      remembered.set(key, found);
    }
    return found;
  }

  function workOut(name: string, device: string): readonly Route[] {
    const source = sources.get(name);
    if (!source) throw new Error(`Source "${name}" is not configured.`);
    const rows = mapping?.(name, device) ?? null;
    if (rows !== null && rows.length > 0) {
      const routes = rows.map((row) =>
        route(name, device, row.destination ?? source.destination, row.unit, null),
      );
      // Two rows may lead to one destination, the one by its name and the other as the source's own: it is sent to once.
      return routes.filter(({ backlog }, i) => routes.findIndex((each) => each.backlog === backlog) === i);
    }
    const unit = { unitId: device, unitName: device, technician: null };
    return [route(name, device, source.destination, unit, rows === null ? null : source.unmapped)];
  }

  function route(
    source: string,
    device: string,
    name: string,
    unit: Unit,
    unmapped: Route["unmapped"],
  ): Route {
    const destination = destinations.get(name);
    if (!destination) throw new Error(`Destination "${name}" is not configured.`);
    return {
      destination: name,
      keyPrefix: destination.keyPrefix,
      unit: unit.unitId,
      backlog: `${name}|${laneOf(unit.unitId, destination.lanes)}|${source}`,
      unmapped,
      record: recordEncoder(source, device, unit),
    };
  }

  /** The readings of one message by the scope they are stored in, each with its routes there, in the message's order. */
  function group(source: string, readings: readonly Reading[]): Map<string, RoutedReading[]> {
    const byScope = new Map<string, RoutedReading[]>();
    for (const reading of readings) {
      const all = of(source, reading.deviceId);
      const scopes = all.length === 1 ? all : uniqueScopes(all);
      for (const { keyPrefix } of scopes) {
        const routes = all.length === 1 ? all : all.filter((each) => each.keyPrefix === keyPrefix);
        const list = byScope.get(keyPrefix);
        if (list) list.push({ reading, routes });
        else byScope.set(keyPrefix, [{ reading, routes }]);
      }
    }
    return byScope;
  }

  /** For the script: number of destinations in the scope, then name and byte limit of each. */
  function limits(keyPrefix: string): (string | number)[] {
    return limitsOf.get(keyPrefix) ?? [0];
  }

  /** To be called when the mapping or the configuration changed. */
  function recompute(): void {
    remembered = new Map();
    limitsOf = limitsIn(destinations);
  }

  return { of, group, limits, recompute };
}

function limitsIn(destinations: RoutesOptions["destinations"]): Map<string, (string | number)[]> {
  const limits = new Map<string, (string | number)[]>();
  for (const { name, keyPrefix, bufferBytes } of destinations.values()) {
    const [n = 0, ...pairs] = limits.get(keyPrefix) ?? [0];
    limits.set(keyPrefix, [Number(n) + 1, ...pairs, name, bufferBytes]);
  }
  return limits;
}

function uniqueScopes(routes: readonly Route[]): readonly { keyPrefix: string }[] {
  return [...new Set(routes.map(({ keyPrefix }) => keyPrefix))].map((keyPrefix) => ({ keyPrefix }));
}

/** FNV-1a over the unit's text: the same unit takes the same lane in every process, so its pings stay in order. */
export function laneOf(unit: string, lanes: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < unit.length; i++) hash = Math.imul(hash ^ unit.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % lanes;
}
