/** Checks the secrets that authenticate others to us; those that authenticate us to others are for the others to check. */

import { isRecord } from "../untrusted.ts";
import { type AdapterFacts, EMBEDDED, type Report } from "./check-sources.ts";
import { isGuessable, withoutRepetition } from "./guessable.ts";
import type { SettingPath } from "./problems.ts";
import { tenantOf } from "./tenant.ts";
import type { ValidSettings } from "./valid-settings.ts";
import { secretsIn } from "./values.ts";

/** What makes a secret hard to guess through our ports, which answer some hundred guesses a second at most. */
interface Strength {
  characters: number;
  /** How many of them must differ; a random text of decimal digits nearly always has as many. */
  distinct: number;
}
/** Chosen by a program, at no cost. */
const CHOSEN: Strength = { characters: 16, distinct: 6 };
/** Chosen by a person who types it into a phone or a tracker. */
const TYPED: Strength = { characters: 12, distinct: 6 };
/** Handed out by a vendor in a form the customer cannot choose. */
const HANDED_OUT: Strength = { characters: 8, distinct: 4 };
/** By authentication method; every other method uses what the vendor hands out. */
const BY_METHOD: Readonly<Record<string, Strength>> = {
  bearer: CHOSEN,
  "custom-header": CHOSEN,
  "url-token": CHOSEN,
  basic: TYPED,
};

/** Printed in an example that was shipped once, so they are public. */
const PRINTED: ReadonlySet<string> = new Set(["unused-until-rotation"]);

/** What a secret is used for. */
export interface Use {
  /** Null: it does not authenticate anybody to us. */
  strength: Strength | null;
  owner: "ops" | "elsewhere" | { tenant: string };
  /** Public names, which a guesser tries. */
  names: readonly string[];
}

/** A secret of one document, and what it is used for. */
export interface SecretUse {
  path: SettingPath;
  value: string;
  use: Use;
  /** Whose it is, and whether it lets anybody in. */
  owner: string;
}

/** The secrets of one document. `raw`: its settings with references replaced. */
export function secretUses(
  raw: unknown,
  schema: Parameters<typeof secretsIn>[1],
  valid: ValidSettings,
  adapters: readonly AdapterFacts[],
): SecretUse[] {
  return [...secretsIn(raw, schema)].flatMap(({ path, value }) => {
    const use = useOf(path, valid, adapters);
    if (!use) return [];
    const owner = JSON.stringify([use.owner, use.strength !== null]);
    return [{ path, value, use, owner }];
  });
}

/** Secrets of one document that are weak in themselves. */
export function checkStrength(
  raw: unknown,
  uses: readonly SecretUse[],
  valid: ValidSettings,
  report: Report,
): void {
  for (const { path, value, use } of uses) {
    const names = [...use.names, ...namesBeside(raw, path)];
    const weakness = use.strength && weaknessOf(value, use.strength, names);
    if (weakness !== null) report(path, weakness);
  }
  for (const [name, { auth }] of valid.sources) {
    const [first, second] = auth?.secrets ?? [];
    if (first !== undefined && first === second)
      report(
        ["sources", name, "auth", "secrets", 1],
        "is the same as the first: leave it out until you change it",
      );
  }
}

/** Why a secret is weak; null where it is not. Never repeats the secret. */
export function weaknessOf(
  secret: string,
  { characters, distinct }: Strength = CHOSEN,
  names: readonly string[] = [],
): string | null {
  const make = "openssl rand -hex 24 makes one";
  if (PRINTED.has(secret)) return `is printed in an example, so that everybody knows it; ${make}`;
  if (secret.length < characters) return `must have at least ${characters} characters; ${make}`;
  const plain = secret.toLowerCase();
  const name = names.find((known) => known.length >= MIN_NAME && plain.includes(known.toLowerCase()));
  if (name !== undefined && plain.replaceAll(name.toLowerCase(), "").length < characters)
    return `is little more than a name that everybody knows (its user, source, tenant or destination); ${make}`;
  if (new Set(secret).size < distinct) return `has fewer than ${distinct} different characters; ${make}`;
  if (withoutRepetition(secret).length < characters) return `repeats itself; ${make}`;
  return isGuessable(plain) ? `is made of words and runs that are guessed first; ${make}` : null;
}

/** A shorter name occurs in many texts by chance. */
const MIN_NAME = 3;

function useOf(path: SettingPath, valid: ValidSettings, adapters: readonly AdapterFacts[]): Use | null {
  const [section, name = "", , index] = path;
  switch (section) {
    case "ops":
      return { strength: CHOSEN, owner: "ops", names: [] };
    case "sources":
      return useInSource(String(name), valid, adapters);
    case "destinations": {
      const destination = valid.destinations.get(String(name));
      return destination ? { strength: null, owner: { tenant: tenantOf(destination) }, names: [] } : null;
    }
    case "mqtt": {
      if (name !== EMBEDDED) return ELSEWHERE;
      const device = typeof index === "number" ? valid.listen?.devices[index] : undefined;
      const use = device && useInSource(device.source, valid, adapters);
      return use ? { ...use, strength: TYPED } : null;
    }
    default:
      return ELSEWHERE;
  }
}

const ELSEWHERE: Use = { strength: null, owner: "elsewhere", names: [] };

function useInSource(name: string, valid: ValidSettings, adapters: readonly AdapterFacts[]): Use | null {
  const source = valid.sources.get(name);
  const adapter = adapters.find(({ vendor }) => vendor === source?.vendor);
  const destination = source && valid.destinations.get(source.destination);
  if (!source || !adapter || !destination) return null;
  const authMethod = source.auth?.method ?? adapter.auth[0]?.name ?? "";
  return {
    strength: adapter.pull ? null : (BY_METHOD[authMethod] ?? HANDED_OUT),
    owner: { tenant: tenantOf(destination) },
    names: [name, source.destination, destination.tenant],
  };
}

/** Names in the same group of settings as the secret. */
function namesBeside(raw: unknown, path: SettingPath): string[] {
  const names: string[] = [];
  let at = raw;
  for (const step of path) {
    if (Array.isArray(at)) at = at[Number(step)];
    else if (isRecord(at)) {
      names.push(...[at.username, at.name].filter((name) => typeof name === "string"));
      at = at[step];
    }
  }
  return names;
}

/** Finds secrets that are set in two places whose owners must not know the same one; `place` names one for the operator. */
export function checkReuses<Placed extends SecretUse>(
  uses: Iterable<Placed>,
  place: (use: Placed) => string,
  report: (use: Placed, message: string) => void,
): void {
  /** By secret, the first place of each owner. */
  const seen = new Map<string, Placed[]>();
  for (const one of uses) {
    const known = seen.get(one.value);
    if (!known) {
      seen.set(one.value, [one]);
      continue;
    }
    const other = known.find((each) => mustDiffer(one.use, each.use));
    if (!known.some(({ owner }) => owner === one.owner) && known.filter(isOfKind(one)).length < 2)
      known.push(one);
    if (!other) continue;
    const isOps = one.use.owner === "ops" || other.use.owner === "ops";
    const why = isOps ? "whoever knows one knows both" : "one tenant could speak for the other";
    report(one, `is also ${place(other)}: ${why}; openssl rand -hex 24 makes another`);
  }
}

/** Of any two tenants one is another than a third, so more need not be remembered where a thousand share an app's key. */
function isOfKind({ use }: SecretUse): (other: SecretUse) => boolean {
  return ({ use: { owner, strength } }) =>
    typeof owner === typeof use.owner && (strength === null) === (use.strength === null);
}

function mustDiffer(one: Use, other: Use): boolean {
  if (one.owner === "ops" || other.owner === "ops") return true;
  if (one.owner === "elsewhere" || other.owner === "elsewhere") return false;
  const isDoor = one.strength !== null || other.strength !== null;
  return isDoor && one.owner.tenant !== other.owner.tenant;
}
