/** A stand-in for Samsara's vehicle stats feed, written from its documentation. */

import { randomUUID } from "node:crypto";
import {
  type PolledVendor,
  startPolledVendor,
  type VendorAnswer,
  type VendorRequest,
} from "./polled-vendor.ts";

export const SAMSARA_TOKEN = "samsara-token-for-tests";

export interface SamsaraFix {
  vehicle: string;
  time: string;
  latitude: number;
  longitude: number;
  speedMilesPerHour?: number;
}

export interface Samsara extends PolledVendor {
  report(...fixes: SamsaraFix[]): void;
  /** As after 30 days: it knows none of the cursors it gave. */
  forgetCursors(): void;
}

/**
 * The first call gives the newest fix of every vehicle, however old; later ones everything since. `repeats`: how many
 * fixes of a page come again on the next one, for nothing promises that none do.
 */
export async function startSamsara({ pageFixes = 100, repeats = 0 } = {}): Promise<Samsara> {
  const log: SamsaraFix[] = [];
  /** Cursor to the fixes still to come on further pages, and the place in the log that follows. */
  const cursors = new Map<string, { rest: SamsaraFix[]; from: number }>();

  function answer({ method, path, headers }: VendorRequest): VendorAnswer {
    const { pathname, searchParams } = new URL(path, "http://samsara");
    if (method !== "GET" || pathname !== "/fleet/vehicles/stats/feed") return refusal(404);
    if (headers.authorization !== `Bearer ${SAMSARA_TOKEN}`) return refusal(401);
    if (searchParams.get("types") !== "gps") return refusal(400);
    const after = searchParams.get("after") ?? "";
    const known = cursors.get(after);
    if (after !== "" && known === undefined) return refusal(400);
    const start = known ?? { rest: newestOfEach(log), from: log.length };
    const coming = [...start.rest, ...log.slice(start.from)];
    const page = coming.slice(0, pageFixes);
    const rest = coming.slice(Math.max(page.length - (coming.length > page.length ? repeats : 0), 1));
    const hasNextPage = coming.length > page.length;
    const endCursor = page.length === 0 && after !== "" ? after : randomUUID();
    cursors.set(endCursor, { rest: hasNextPage ? rest : [], from: log.length });
    return { status: 200, body: { data: byVehicle(page), pagination: { endCursor, hasNextPage } } };
  }

  const vendor = await startPolledVendor(answer);
  return {
    ...vendor,
    report: (...fixes) => void log.push(...fixes),
    forgetCursors: () => cursors.clear(),
  };
}

function refusal(status: number): VendorAnswer {
  return { status, body: { message: "no", requestId: randomUUID() } };
}

function newestOfEach(log: readonly SamsaraFix[]): SamsaraFix[] {
  const newest = new Map<string, SamsaraFix>();
  for (const fix of log) if ((newest.get(fix.vehicle)?.time ?? "") <= fix.time) newest.set(fix.vehicle, fix);
  return [...newest.values()];
}

function byVehicle(fixes: readonly SamsaraFix[]): object[] {
  const vehicles = [...new Set(fixes.map(({ vehicle }) => vehicle))];
  return vehicles.map((id) => ({
    id,
    name: `Vehicle ${id}`,
    externalIds: { "samsara.serial": `S${id}` },
    gps: fixes.filter(({ vehicle }) => vehicle === id).map(({ vehicle: _, ...gps }) => gps),
  }));
}
