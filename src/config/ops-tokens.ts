/** The tokens of the ops endpoint, from either form of `ops`, and the checks on them. */

import type { Report } from "./check-sources.ts";
import type { Config } from "./config.ts";
import type { ValidSettings } from "./valid-settings.ts";

export type OpsRole = "read" | "operate";

export interface OpsToken {
  /** Its name in the trail. */
  name: string;
  token: string;
  /** `read` only looks; `operate` also changes things. */
  role: OpsRole;
  /** The destinations it may see; null: all. */
  destinations: readonly string[] | null;
}

/** The short form means one token of this name that may do everything. */
const SHORT_FORM = "token";

export function opsTokensOf({ token, tokens = [] }: Config["ops"]): OpsToken[] {
  if (token !== undefined) return [{ name: SHORT_FORM, token, role: "operate", destinations: null }];
  return tokens.map(({ destinations = null, ...rest }) => ({ ...rest, destinations }));
}

/** Only one of the two forms: with both, it would be unclear whose `token` is. */
export function checkOpsTokens({ ops, named }: ValidSettings, report: Report): void {
  if (!ops) return;
  const { token, tokens } = ops;
  if (token === undefined && tokens === undefined) {
    report(["ops", "token"], "is required");
  }
  if (token !== undefined && tokens !== undefined) {
    report(["ops", "token"], "must be left out where ops.tokens is given: move it there");
  }
  const names = new Set<string>();
  const secrets = new Map<string, string>();
  for (const [index, each] of (tokens ?? []).entries()) {
    const at = ["ops", "tokens", index];
    if (names.has(each.name)) report([...at, "name"], "is given twice");
    names.add(each.name);
    const other = secrets.get(each.token);
    if (other !== undefined) {
      report([...at, "token"], `is also that of ${other}: the trail could not tell the two apart`);
    }
    secrets.set(each.token, each.name);
    for (const [i, destination] of (each.destinations ?? []).entries()) {
      if (named.destinations.has(destination)) continue;
      report([...at, "destinations", i], "names no destination of this configuration");
    }
  }
}

/** A token for a command: the named one, or the first with the role that sees everything. Throws an error that says what to do. */
export function opsTokenFor(ops: Config["ops"], role: OpsRole, name: string | undefined): OpsToken {
  const tokens = opsTokensOf(ops);
  const isEnough = (token: OpsToken) => token.role === "operate" || role === "read";
  const known = tokens.map((each) => `${each.name} (${each.role}${each.destinations ? ", limited" : ""})`);
  if (name !== undefined) {
    const found = tokens.find((token) => token.name === name);
    if (!found) throw new Error(`ops.tokens has no token "${name}"; there are ${known.join(", ")}.`);
    if (!isEnough(found))
      throw new Error(`This needs a token with role ${role}; "${name}" has ${found.role}.`);
    return found;
  }
  const found = tokens.find((token) => isEnough(token) && token.destinations === null);
  if (found) return found;
  throw new Error(
    `No token of ops.tokens has role ${role} and sees all destinations; name one with --token. There are ${known.join(", ")}.`,
  );
}
