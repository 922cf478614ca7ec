/** One problem as an operator reads it. */

export interface Problem {
  severity: "error" | "warning";
  where: string;
  what: string;
  doNext: string;
}

export function error(where: string, what: string, doNext: string): Problem {
  return { severity: "error", where, what, doNext };
}

export function warning(where: string, what: string, doNext: string): Problem {
  return { severity: "warning", where, what, doNext };
}

/** One sentence names at most this many units or devices. */
const MAX_NAMED = 4;

export function listed(names: readonly string[]): string {
  const more = names.length - MAX_NAMED;
  return more > 0 ? `${names.slice(0, MAX_NAMED).join(", ")} and ${more} more` : names.join(", ");
}
