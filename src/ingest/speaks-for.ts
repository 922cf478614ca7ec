/** Decides which devices a login may speak for, and separates their raw readings from those of other devices. */

import type { RawReading } from "../reading.ts";

/** Compares a device's id, as the adapter returns it, to the letter. */
export type SpeaksFor = (deviceId: string) => boolean;

/** By username. */
export type Logins = ReadonlyMap<string, SpeaksFor>;

/**
 * In a pattern `*` stands for any run of characters, slashes included. Without patterns a login speaks for the ids that
 * are its username, or have it as a whole level: `van-41` for `van-41/phone`, and not for `van-410`.
 */
export function speaksForOf(username: string, patterns?: readonly string[]): SpeaksFor {
  if (patterns === undefined) return (id) => id === username || `/${id}/`.includes(`/${username}/`);
  const exact = new Set(patterns.filter((pattern) => !pattern.includes("*")));
  const wild = patterns.filter((pattern) => pattern.includes("*")).map((pattern) => pattern.split("*"));
  return (id) => exact.has(id) || wild.some((pieces) => fits(id, pieces));
}

/**
 * The raw readings of devices that the message's login may speak for, and the rest. A message without a login comes from
 * the vendor's own account, which speaks for all. A login that is no longer configured gets the default.
 */
export function partForeign(
  rawReadings: RawReading[],
  login: string | undefined,
  logins: Logins | undefined,
): { own: RawReading[]; foreign: readonly RawReading[] } {
  if (login === undefined) return { own: rawReadings, foreign: NONE };
  const speaksFor = logins?.get(login) ?? speaksForOf(login);
  // A raw reading without an id belongs to no device; validate rejects it as such.
  const isForeign = ({ deviceId }: RawReading) =>
    deviceId !== null && deviceId !== "" && !speaksFor(deviceId);
  if (!rawReadings.some(isForeign)) return { own: rawReadings, foreign: NONE };
  return {
    own: rawReadings.filter((rawReading) => !isForeign(rawReading)),
    foreign: rawReadings.filter(isForeign),
  };
}

const NONE: readonly RawReading[] = [];

/** No regular expression: an id comes from the sender, and several `.*` take ages over a long one. */
function fits(id: string, [first = "", ...rest]: readonly string[]): boolean {
  const last = rest.pop() ?? "";
  if (id.length < first.length + last.length || !id.startsWith(first) || !id.endsWith(last)) return false;
  const end = id.length - last.length;
  let at = first.length;
  for (const piece of rest) {
    const found = id.indexOf(piece, at);
    if (found === -1 || found + piece.length > end) return false;
    at = found + piece.length;
  }
  return true;
}
