/** Finds devices by what people know of them: unit, name, device, technician or externalId, in any case and by part. */

import { setImmediate as nextTurn } from "node:timers/promises";
import type { MappingRow } from "../store/routes.ts";
import type { DeviceNames, NamedSource } from "./device-names.ts";

/** A device that fits, once per destination it leads to. */
export interface Candidate {
  source: string;
  device: string;
  unit: string;
  unitName: string;
  technician: string | null;
  destination: string;
}

/** Nothing else is shown: what leads to these destinations, of these sources. */
export interface Sight {
  destinations: ReadonlySet<string>;
  sources: ReadonlySet<string>;
}

export interface SearchOptions {
  sources: readonly (NamedSource & { destination: string })[];
  names: DeviceNames;
  /** Empty for a device that no row names; null without a mapping. */
  rowsOf: ((source: string, device: string) => readonly MappingRow[] | null) | null;
  /** Devices that rows name for a source, seen or not. */
  mappedDevices(source: string): Iterable<string>;
}

/** More than a person reads; another letter makes it fewer. */
const MAX_CANDIDATES = 50;
/** Devices looked at in one turn of the event loop: about 2 ms. */
const DEVICES_AT_ONCE = 2000;

/** How well a device fits: the same text, its beginning, or a part of it. */
const RANKS = ["same", "beginning", "part"] as const;
type Rank = (typeof RANKS)[number];

/** The best first. */
export async function searchDevices(
  { sources, names, rowsOf, mappedDevices }: SearchOptions,
  text: string,
  within?: Sight,
): Promise<Candidate[]> {
  const wanted = text.trim().toLowerCase();
  if (wanted === "") return [];
  const visible = sources.filter(({ name }) => within?.sources.has(name) !== false);
  const known = await names(visible);
  const found: Record<Rank, Candidate[]> = { same: [], beginning: [], part: [] };
  let looked = 0;
  for (const { name: source, destination: own } of visible) {
    for (const device of new Set([...(known.get(source) ?? []), ...mappedDevices(source)])) {
      looked += 1;
      if (looked % DEVICES_AT_ONCE === 0) await nextTurn();
      for (const candidate of candidatesOf(source, device, own, rowsOf?.(source, device) ?? [])) {
        if (within?.destinations.has(candidate.destination) === false) continue;
        const rank = rankOf(candidate, wanted);
        if (rank !== null && found[rank].length < MAX_CANDIDATES) found[rank].push(candidate);
      }
    }
    if (found.same.length === MAX_CANDIDATES) break;
  }
  return RANKS.flatMap((rank) => found[rank]).slice(0, MAX_CANDIDATES);
}

export function candidatesOf(
  source: string,
  device: string,
  own: string,
  rows: readonly MappingRow[],
): Candidate[] {
  if (rows.length === 0) {
    return [{ source, device, unit: device, unitName: device, technician: null, destination: own }];
  }
  return rows.map(({ destination, unit: { unitId, unitName, technician } }) => {
    return { source, device, unit: unitId, unitName, technician, destination: destination ?? own };
  });
}

/** Whether a device fits at all. */
export function fitsText(candidate: Candidate, text: string): boolean {
  return rankOf(candidate, text.trim().toLowerCase()) !== null;
}

/** Of those that fit, the one device that is exactly what was asked for, or the only one; else null. */
export function theOneIn(found: readonly Candidate[], text: string): Candidate | null {
  const wanted = text.trim().toLowerCase();
  for (const some of [found.filter((candidate) => rankOf(candidate, wanted) === "same"), found]) {
    const [first] = some;
    // A device that leads to two destinations is one device.
    if (first && some.every(({ source, device }) => source === first.source && device === first.device))
      return first;
  }
  return null;
}

/** An externalId, or its beginning, ends in a fix time or a part of it. */
const FIX_TIME = /:\d*$/;

function rankOf({ source, device, unit, unitName, technician }: Candidate, wanted: string): Rank | null {
  let best: Rank | null = null;
  for (const each of [device, unit, unitName, technician]) {
    const text = each?.toLowerCase() ?? "";
    if (text === wanted) return "same";
    if (text.startsWith(wanted)) best = "beginning";
    else if (best === null && text.includes(wanted)) best = "part";
  }
  if (best !== null || !wanted.includes(":")) return best;
  const id = `${source}:${device}`.toLowerCase();
  const withoutTime = wanted.replace(FIX_TIME, "");
  if (withoutTime === id || wanted === id) return "same";
  if (id.startsWith(wanted)) return "beginning";
  const isPart = id.includes(wanted) || (withoutTime.length > 1 && id.endsWith(withoutTime));
  return isPart ? "part" : null;
}
