/** What a device's timeline tells beside deliveries, named once for TypeScript and Lua. */

/** One character each, to save memory. Characters are for ever: timelines of an older gateway hold them. */
export const TIMELINE_KIND = {
  // Of a device
  rejected: "r",
  duplicate: "d",
  /** The same fix time as an earlier reading, at another place. */
  conflict: "c",
  superseded: "s",
  /** Too old before it became part of a batch. */
  expired: "e",
  held: "h",
  dropped: "p",
  redriven: "v",
  /** Refused for good, on grounds that only Redis knows: the ledger has all others. */
  deadLettered: "x",
  // Of a source: messages that name no device
  refused: "f",
  malformed: "m",
  ignored: "i",
  handshake: "k",
} as const;

export type TimelineKind = keyof typeof TIMELINE_KIND;

/** The table as Lua reads it. */
export function luaTimelineKinds(): string {
  const lines = Object.entries(TIMELINE_KIND).map(([name, character]) => `  ${name} = '${character}',`);
  return ["local EVENT = {", ...lines, "}"].join("\n");
}
