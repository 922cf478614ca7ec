/** What becomes of one ping of a batch, named once for TypeScript, Lua and the ledger. */

/**
 * One character each, so that a batch's dispositions are a string as long as the batch. Characters are for ever: ledger
 * entries of an older gateway hold them.
 */
export const DISPOSITION = {
  delivered: "d",
  deadLettered: "x",
  expired: "e",
  /** Back to the backlog. */
  returned: "b",
  firstPiece: "1",
  secondPiece: "2",
  /** Refused alone (see poison.lua). */
  isolated: "q",
} as const;

export type Disposition = (typeof DISPOSITION)[keyof typeof DISPOSITION];

/** The table as Lua reads it. */
export function luaDispositions(): string {
  const lines = Object.entries(DISPOSITION).map(([name, character]) => `  ${name} = '${character}',`);
  return ["local DISPOSITION = {", ...lines, "}"].join("\n");
}
