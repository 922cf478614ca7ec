/** Judges the secrets that open our own doors; those we show at other people's doors are theirs to judge. */

import { type AdapterFacts, EMBEDDED, type Report } from "./check-sources.ts";
import { isGuessable, withoutRepetition } from "./guessable.ts";
import { isMap, pathText, type SettingPath } from "./problems.ts";
import { configSchema } from "./schema.ts";
import { tenantOf } from "./tenant.ts";
import type { Parts } from "./valid-parts.ts";
import { secretsIn } from "./values.ts";

/** What a secret must have to be hard to guess through our doors, which answer some hundred guesses a second at most. */
interface Strength {
  characters: number;
  /** Of them different; a random text of decimal digits has as many nearly always. */
  distinct: number;
}
/** Chosen by a program, at no cost. */
const CHOSEN: Strength = { characters: 16, distinct: 6 };
/** Chosen by a person who types it into a phone or a tracker. */
const TYPED: Strength = { characters: 12, distinct: 6 };
/** Handed out by a vendor in a form the customer cannot choose. */
const HANDED_OUT: Strength = { characters: 8, distinct: 4 };
/** By proof; every other one works with what the vendor hands out. */
const BY_METHOD: Readonly<Record<string, Strength>> = {
  bearer: CHOSEN,
  "custom-header": CHOSEN,
  "url-token": CHOSEN,
  basic: TYPED,
};

/** Printed in what was shipped once, so that everybody may know them. */
const PRINTED: ReadonlySet<string> = new Set(["unused-until-rotation"]);

interface Holder {
  /** Null: not a door of ours. */
  strength: Strength | null;
  owner: "ops" | "elsewhere" | { tenant: string };
  /** What everybody may know, and a guesser tries. */
  names: readonly string[];
}

/** `raw`: the settings with references replaced. */
export function checkSecrets(
  raw: unknown,
  parts: Parts,
  adapters: readonly AdapterFacts[],
  report: Report,
): void {
  const twins = createTwins();
  for (const { path, value } of secretsIn(raw, configSchema)) {
    const holder = holderOf(path, parts, adapters);
    if (!holder) continue;
    const names = [...holder.names, ...namesBeside(raw, path)];
    const weakness = holder.strength && weaknessOf(value, holder.strength, names);
    const twin = twins.add(value, path, holder);
    const problem = weakness ?? twin;
    if (problem !== null) report(path, problem);
  }
  for (const [name, { auth }] of parts.sources) {
    const [first, second] = auth?.secrets ?? [];
    if (first !== undefined && first === second)
      report(
        ["sources", name, "auth", "secrets", 1],
        "is the same as the first: leave it out until you change it",
      );
  }
}

/** Why a secret is no secret; null where it is. Never repeats it. */
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

/** A shorter name is in many a text by chance. */
const MIN_NAME = 3;

function holderOf(path: SettingPath, parts: Parts, adapters: readonly AdapterFacts[]): Holder | null {
  const [section, name = "", , index] = path;
  switch (section) {
    case "ops":
      return { strength: CHOSEN, owner: "ops", names: [] };
    case "sources":
      return holderOfSource(String(name), parts, adapters);
    case "destinations": {
      const destination = parts.destinations.get(String(name));
      return destination ? { strength: null, owner: { tenant: tenantOf(destination) }, names: [] } : null;
    }
    case "mqtt": {
      if (name !== EMBEDDED) return ELSEWHERE;
      const device = typeof index === "number" ? parts.listen?.devices[index] : undefined;
      const holder = device && holderOfSource(device.source, parts, adapters);
      return holder ? { ...holder, strength: TYPED } : null;
    }
    default:
      return ELSEWHERE;
  }
}

const ELSEWHERE: Holder = { strength: null, owner: "elsewhere", names: [] };

function holderOfSource(name: string, parts: Parts, adapters: readonly AdapterFacts[]): Holder | null {
  const source = parts.sources.get(name);
  const adapter = adapters.find(({ vendor }) => vendor === source?.vendor);
  const destination = source && parts.destinations.get(source.destination);
  if (!source || !adapter || !destination) return null;
  const authMethod = source.auth?.method ?? adapter.auth[0]?.name ?? "";
  return {
    strength: adapter.pull ? null : (BY_METHOD[authMethod] ?? HANDED_OUT),
    owner: { tenant: tenantOf(destination) },
    names: [name, source.destination, destination.tenant],
  };
}

/** The name that stands in the same group as the secret. */
function namesBeside(raw: unknown, path: SettingPath): string[] {
  const names: string[] = [];
  let at = raw;
  for (const step of path) {
    if (Array.isArray(at)) at = at[Number(step)];
    else if (isMap(at)) {
      names.push(...[at.username, at.name].filter((name) => typeof name === "string"));
      at = at[step];
    }
  }
  return names;
}

/** Finds the secrets that stand in two places whose holders must not know each other's. */
function createTwins() {
  /** By secret, the first place of each owner. */
  const seen = new Map<string, Map<string, { path: SettingPath; holder: Holder }>>();

  return {
    add(secret: string, path: SettingPath, holder: Holder): string | null {
      const byOwner = seen.get(secret) ?? new Map<string, { path: SettingPath; holder: Holder }>();
      seen.set(secret, byOwner);
      const twin = [...byOwner.values()].find((other) => mustDiffer(holder, other.holder));
      const owner = JSON.stringify([holder.owner, holder.strength !== null]);
      if (!byOwner.has(owner)) byOwner.set(owner, { path, holder });
      if (!twin) return null;
      const isOps = holder.owner === "ops" || twin.holder.owner === "ops";
      const why = isOps ? "whoever has one has both" : "one tenant could speak for the other";
      return `is also ${pathText(twin.path)}: ${why}; openssl rand -hex 24 makes another`;
    },
  };
}

function mustDiffer(one: Holder, other: Holder): boolean {
  if (one.owner === "ops" || other.owner === "ops") return true;
  if (one.owner === "elsewhere" || other.owner === "elsewhere") return false;
  const isDoor = one.strength !== null || other.strength !== null;
  return isDoor && one.owner.tenant !== other.owner.tenant;
}
