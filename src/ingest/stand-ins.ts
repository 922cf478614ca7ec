/** Leaves out readings that only stand in for better ones of the same device, while the device sends those, too. */

import { LRUCache } from "lru-cache";
import type { RawReading } from "../reading.ts";

/** Receivers say where they are at least once a minute; after that the better sentence is taken to be switched off. */
const LEADS_FOR_MS = 60_000;
/** About 100 bytes each. */
const MAX_DEVICES = 20_000;

/** The raw readings without those whose place another message of the device says with its speed. Changes nothing else. */
export type WithoutStandIns = (source: string, rawReadings: RawReading[], receivedAt: number) => RawReading[];

export function createStandIns(): WithoutStandIns {
  /** When the last better reading of a device came. Made when first needed: few vendors have any. */
  let leads: LRUCache<string, number> | null = null;

  return (source, rawReadings, receivedAt) => {
    if (!rawReadings.some(({ role }) => role !== undefined)) return rawReadings;
    leads ??= new LRUCache({ max: MAX_DEVICES });
    for (const { role, deviceId } of rawReadings) {
      if (role === "lead") leads.set(`${source}\0${deviceId}`, receivedAt);
    }
    return rawReadings.filter(({ role, deviceId }) => {
      const leadAt = role === "stand-in" ? leads?.get(`${source}\0${deviceId}`) : undefined;
      return leadAt === undefined || Math.abs(receivedAt - leadAt) > LEADS_FOR_MS;
    });
  };
}
