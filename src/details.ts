/** What vendors say beside the position, and what of it can be stored and shown. */

/**
 * What vendors say beside the position and operators want to see. Nothing here can reject a raw reading, but for
 * the accuracy where a source sets a limit. `null` and `undefined` both mean "did not say".
 */
export interface Details {
  /** The device as the vendor's customer calls it: "Van 12". */
  deviceName?: string | null | undefined;
  /** Parts of a postal address, as the vendor's reverse geocoding has them; a one-line address goes into `street`. */
  street?: string | null | undefined;
  city?: string | null | undefined;
  region?: string | null | undefined;
  postalCode?: string | null | undefined;
  ignition?: boolean | null | undefined;
  /** Metres. */
  odometerM?: number | null | undefined;
  /** Horizontal, metres, as the vendor means it (usually 68 %). */
  accuracyM?: number | null | undefined;
  /** Metres above sea level. */
  altitudeM?: number | null | undefined;
  /** Of the device, 0 to 100. */
  batteryPct?: number | null | undefined;
  driver?: string | null | undefined;
  /** The vendor's word for why it reported: `ignition_on`, `Moving`, … */
  vendorEvent?: string | null | undefined;
}

/** Details as an adapter hands them over: NaN in any of them means that something is there but cannot be read. */
export type SaidDetails = { [Name in keyof Details]: Details[Name] | number };

/** The fields of `Details` that are texts. */
export const DETAIL_TEXTS = [
  "deviceName",
  "street",
  "city",
  "region",
  "postalCode",
  "driver",
  "vendorEvent",
] as const satisfies readonly (keyof Details)[];

/** The fields of `Details` that are numbers, with the lowest and the highest that can be meant. */
export const DETAIL_NUMBERS = [
  ["odometerM", 0, Number.MAX_VALUE],
  ["accuracyM", 0, Number.MAX_VALUE],
  // The Dead Sea lies at −430 m, airliners fly at 12 km.
  ["altitudeM", -1000, 20_000],
  ["batteryPct", 0, 100],
] as const satisfies readonly (readonly [keyof Details, number, number])[];

/** Longer than any address or name; what is longer still is cut, because every ping carries it. */
const MAX_LINE_CHARS = 200;
/** What would break a line or cannot be stored; half of a character among them. */
const BREAKS = /[\s\p{Cc}\p{Cs}]+/gu;

/** The same as they are stored and shown, and how many of them cannot be read. */
export function storableDetails(said: SaidDetails): { stored: Details | undefined; unreadable: number } {
  const stored: Details = {};
  let unreadable = 0;
  for (const name of DETAIL_TEXTS) {
    const value = said[name];
    if (typeof value === "number") {
      unreadable += 1;
      continue;
    }
    const text = oneLine(value);
    if (text !== "") stored[name] = text;
  }
  if (typeof said.ignition === "boolean") stored.ignition = said.ignition;
  if (typeof said.ignition === "number") unreadable += 1;
  for (const [name, lowest, highest] of DETAIL_NUMBERS) {
    const value = said[name];
    if (value === null || value === undefined) continue;
    // Written so that NaN fails it.
    if (value >= lowest && value <= highest) stored[name] = value;
    else unreadable += 1;
  }
  return { stored: Object.keys(stored).length > 0 ? stored : undefined, unreadable };
}

function oneLine(text: string | null | undefined): string {
  if (text === null || text === undefined) return "";
  const line = text.replace(BREAKS, " ").trim();
  if (line.length <= MAX_LINE_CHARS) return line;
  // The cut may go through a character of two halves.
  return line.slice(0, MAX_LINE_CHARS).replace(BREAKS, " ").trim();
}
