/** The one list of names under which configurable formats find the fields of a position, and what two of them at once mean. */

import { MPS_PER, SPEED_UNITS, type SpeedUnit } from "../../reading.ts";
import { compass, isRecord, isUnsaid, number, toMps, UNREADABLE } from "./fields.ts";
import { anyTimeAssumedUtc } from "./time-formats.ts";

/**
 * Names without their case, and without anything but letters and digits: `Latitude_Deg` is `latitudedeg`. The first of them
 * that is there is read. Not here: `acc` (in many trackers the ignition), `speedOverGround`, `sog` and `courseOverGround`
 * (their units differ by vendor), `angle` (of a tilted device).
 */
export const SYNONYMS = {
  latitude: names("latitude lat latitudedeg latdeg latitudedegrees gpslatitude gpslat latitud"),
  // `Longitud` is how the TTN decoder of Dragino's TrackerD spells it.
  longitude: names(
    "longitude lon lng long longitudedeg londeg longitudedegrees gpslongitude gpslon longitud",
  ),
  /** Degrees or a wind. */
  heading: names("heading course bearing direction cog headingdeg coursedeg bearingdeg hdg"),
  /** Metres. */
  altitude: names("altitude alt altitudem altm elevation ele"),
  /** Metres. */
  accuracy: names("accuracy accuracym horizontalaccuracy hacc gpsaccuracy gpsaccm"),
  /** Of the fix by their name: they count before those of `time`, which may be of the message. */
  fixTime: names("fixtime gpstime gnsstime fixtimestamp gpstimestamp positiontime"),
  time: names("time timestamp ts tst datetime timeutc utctime timestamputc"),
};

/** Bare, a speed is in the unit that the source states; with one of the words behind it, in that. */
export const SPEED_NAMES = ["speed", "velocity", "vel", "spd", "groundspeed", "gpsspeed"] as const;

/** How units are written, in names and beside values. */
export const UNIT_WORDS = {
  kph: ["kmh", "kph", "kmph", "kmhr", "kmperhour", "kilometersperhour", "kilometresperhour"],
  mph: ["mph", "mih", "milesperhour"],
  mps: ["mps", "ms", "meterspersecond", "metrespersecond"],
  knots: ["knots", "knot", "kn", "kt", "kts"],
} as const satisfies Record<SpeedUnit, readonly string[]>;

/** Units that are a name by themselves. `ms` could be milliseconds. */
const NAMES_BY_UNIT = ["kph", "kmh", "kmph", "mph"];

function names(list: string): readonly string[] {
  return list.split(" ");
}

export type Field = keyof typeof SYNONYMS | "speed";

interface Meaning {
  field: Field;
  /** The lowest is read. */
  rank: number;
  unit?: SpeedUnit;
}

interface Candidate extends Meaning {
  value: unknown;
}

/** The fields that an object has under any of their names. */
export interface Named {
  /** The names are there, also with null under them. */
  has(field: Field): boolean;
  /**
   * Undefined where nothing is said; UNREADABLE where two names say different things. A time that is there and blank is
   * null: it does not mean now.
   */
  value(field: Exclude<Field, "speed">): unknown;
  /** Metres per second; `assumed` is the unit of a bare speed where the source states none. */
  speed(stated: SpeedUnit | undefined, assumed?: SpeedUnit): number | null;
}

/** The unit in the last name of a path to a speed: `now.speed_kmh`, `kph`; undefined where it has none. */
export function unitInPath(path: string): SpeedUnit | undefined {
  return meaningOf(path.split(".").at(-1) ?? "")?.unit;
}

/** The unit of a word beside a value: `km/h`, `MPH`. */
export function unitOfWord(word: unknown): SpeedUnit | undefined {
  const plain = typeof word === "string" ? plainOf(word) : "";
  return SPEED_UNITS.find((unit) => UNIT_WORDS[unit].some((each) => each === plain));
}

export function namedIn(value: unknown): Named {
  const candidates = isRecord(value) ? candidatesIn(value) : {};
  const said = (field: Field): readonly Candidate[] => {
    const all = candidates[field];
    if (all === undefined) return [];
    const some = all.filter((each) => !isUnsaid(each.value) && !isLamp(each.value));
    return some.length > 1 ? some.sort((a, b) => a.rank - b.rank) : some;
  };
  return {
    has: (field) => candidates[field] !== undefined,
    value: (field) => {
      const [first, ...others] = said(field);
      if (first === undefined) return isTime(field) && candidates[field]?.some(isBlank) ? null : undefined;
      return others.every((other) => isSame(field, first.value, other.value)) ? first.value : UNREADABLE;
    },
    speed: (stated, assumed) => speedOf(said("speed"), stated, assumed),
  };
}

function candidatesIn(value: Record<string, unknown>): Partial<Record<Field, Candidate[]>> {
  const found: Partial<Record<Field, Candidate[]>> = {};
  for (const key of Object.keys(value)) {
    const meaning = meaningOf(key);
    if (meaning === null) continue;
    const { field, rank, unit } = meaning;
    const candidate = { field, rank, ...(unit && { unit }), value: value[key] };
    const others = found[field];
    if (others) others.push(candidate);
    else found[field] = [candidate];
  }
  return found;
}

function isTime(field: Field): boolean {
  return field === "time" || field === "fixTime";
}

function isBlank({ value }: Candidate): boolean {
  return typeof value === "string" && isUnsaid(value);
}

/** `LON: "ON"` of Dragino's codecs is a lamp. */
function isLamp(value: unknown): boolean {
  return typeof value === "string" && /^(?:on|off)$/i.test(value.trim());
}

/** A named unit is a statement; an assumed one is not, and is not compared with it. */
function speedOf(
  said: readonly Candidate[],
  stated: SpeedUnit | undefined,
  assumed: SpeedUnit | undefined,
): number | null {
  const named = said.filter(({ unit }) => unit !== undefined);
  const read = named.length === 0 || stated !== undefined ? said : named;
  const [first, ...others] = read.map(({ value, unit = stated ?? assumed }) => ({
    mps: toMps(number.parse(value), unit),
    // Each of two units may have been rounded.
    half: MPS_PER[unit ?? "mps"] / 2,
  }));
  if (first === undefined) return null;
  const isOne = others.every(
    ({ mps, half }) => Math.abs((mps ?? Number.NaN) - (first.mps ?? Number.NaN)) <= half + first.half,
  );
  return isOne ? first.mps : Number.NaN;
}

/** How far apart two ways of writing the same value may be. */
const TOLERANCES = {
  // A tenth of a metre: half of a float's noise.
  latitude: 1e-6,
  longitude: 1e-6,
  heading: 1,
  altitude: 1,
  accuracy: 1,
  // Cut to the second.
  fixTime: 1000,
  time: 1000,
} as const satisfies Record<keyof typeof SYNONYMS, number>;

const HALF_WIND_DEG = 11.25;

function isSame(field: keyof typeof SYNONYMS, one: unknown, other: unknown): boolean {
  if (one === other) return true;
  const reader = isTime(field) ? anyTimeAssumedUtc : field === "heading" ? compass : number;
  const apart = Math.abs((reader.parse(one) ?? Number.NaN) - (reader.parse(other) ?? Number.NaN));
  if (field !== "heading") return apart <= TOLERANCES[field];
  // A wind stands for a sixteenth of the circle, a number for its rounding.
  const isWind = [one, other].filter((value) => Number.isNaN(number.parse(value))).length === 1;
  return Math.min(apart, 360 - apart) <= (isWind ? HALF_WIND_DEG : TOLERANCES.heading);
}

const MEANINGS: ReadonlyMap<string, Meaning> = new Map([
  ...Object.entries(SYNONYMS).flatMap(([field, names]) =>
    names.map((name, rank): [string, Meaning] => [name, { field: field as keyof typeof SYNONYMS, rank }]),
  ),
  ...SPEED_NAMES.map((name, rank): [string, Meaning] => [name, { field: "speed", rank: 100 + rank }]),
  ...SPEED_UNITS.flatMap((unit) =>
    UNIT_WORDS[unit].flatMap((word, at) => [
      ...SPEED_NAMES.map((name, rank): [string, Meaning] => [
        `${name}${word}`,
        { field: "speed", rank: 10 * rank + at, unit },
      ]),
      ...(NAMES_BY_UNIT.includes(word)
        ? [[word, { field: "speed", rank: 90, unit }] satisfies [string, Meaning]]
        : []),
    ]),
  ),
]);

/** Longer than any name above with separators in it. */
const MAX_NAME_CHARS = 40;
/** Names recur in every message; a sender of ever new ones fills no more than this. */
const MAX_REMEMBERED = 4000;
const remembered = new Map<string, { plain: string; meaning: Meaning | null }>();

/** A name as it stands in the list: `Latitude_Deg` is `latitudedeg`; empty where it is longer than any name. */
export function plainOf(name: string): string {
  return known(name).plain;
}

function meaningOf(name: string): Meaning | null {
  return known(name).meaning;
}

function known(name: string): { plain: string; meaning: Meaning | null } {
  const before = remembered.get(name);
  if (before !== undefined) return before;
  const plain = name.length > MAX_NAME_CHARS ? "" : name.toLowerCase().replace(/[^a-z0-9]/g, "");
  const now = { plain, meaning: MEANINGS.get(plain) ?? null };
  if (remembered.size < MAX_REMEMBERED && name.length <= MAX_NAME_CHARS) remembered.set(name, now);
  return now;
}
