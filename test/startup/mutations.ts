/** Damages a configuration as operators and disks do: one seeded fault at a time, in the settings, their text or their files. */

import { stringify } from "yaml";
import { isRecord } from "../../src/untrusted.ts";

export type Settings = Record<string, unknown>;

export interface Mutant {
  kind: string;
  /** The YAML file. */
  text: string;
  /** Content of files beside it, by name, in place of what stands there. */
  files: Readonly<Record<string, string>>;
}

type Random = () => number;

/** mulberry32: small, and the same numbers everywhere. */
export function randomFrom(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function pick<Item>(random: Random, items: readonly Item[]): Item {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new Error("There is nothing to pick from.");
  return item;
}

interface Place {
  parent: Record<string | number, unknown>;
  key: string | number;
}

/** Every place below a section or in a list. */
function placesIn(value: unknown): Place[] {
  if (Array.isArray(value)) {
    const parent = value as unknown as Place["parent"];
    return value.flatMap((item, key) => [{ parent, key }, ...placesIn(item)]);
  }
  if (!isRecord(value)) return [];
  return Object.entries(value).flatMap(([key, item]) => [{ parent: value, key }, ...placesIn(item)]);
}

// biome-ignore lint/suspicious/noTemplateCurlyInString: a reference of the configuration
const OTHER_VALUES = [7, -1, 0, true, "", " x", "nobody", null, [], {}, "${NOT_SET}", "a\nb", 1e15];
const OTHER_NAMES = ["nobody", "listen", "acme", "house", "Bad Name", "-"];
const CONTENTS = [
  "",
  "garbage",
  "\u0000\u0001\u0002",
  "device,unit\n1\n1\n,x\n",
  "-----BEGIN CERTIFICATE-----\nAAAA\n",
];
const FILES = ["mapping.csv", "server.crt", "server.key", "broker.crt"];

/** By kind; each may give nothing where the configuration has no place for it. */
const KINDS: Readonly<Record<string, (settings: Settings, random: Random) => Partial<Mutant>>> = {
  none: () => ({}),
  drop_key(settings, random) {
    const { parent, key } = pick(random, placesIn(settings));
    if (Array.isArray(parent)) parent.splice(Number(key), 1);
    else delete parent[key];
    return {};
  },
  change_value(settings, random) {
    const { parent, key } = pick(random, placesIn(settings));
    parent[key] = pick(random, OTHER_VALUES);
    return {};
  },
  wrong_name(settings, random) {
    const named = placesIn(settings).filter(({ key }) =>
      ["destination", "source", "broker", "vendor", "method"].includes(String(key)),
    );
    if (named.length === 0) return {};
    const { parent, key } = pick(random, named);
    parent[key] = pick(random, OTHER_NAMES);
    return {};
  },
  unknown_key(settings, random) {
    const groups = placesIn(settings).filter(({ parent, key }) => isRecord(parent[key]));
    const { parent, key } = pick(random, groups);
    Object.assign(Object(parent[key]), { [pick(random, ["prot", "secert", "x y"])]: 1 });
    return {};
  },
  same_port(settings) {
    Object.assign(Object(settings.http), { port: 18080 });
    Object.assign(Object(settings.ops), { port: 18080 });
    return {};
  },
  file_content(_settings, random) {
    return { files: { [pick(random, FILES)]: pick(random, CONTENTS) } };
  },
  file_gone(settings, random) {
    const named = placesIn(settings).filter(({ parent, key }) => FILES.includes(String(parent[key])));
    if (named.length === 0) return {};
    const { parent, key } = pick(random, named);
    parent[key] = pick(random, ["gone.csv", "gone.pem", "."]);
    return {};
  },
  mapping_rows(_settings, random) {
    const rows = ["1,u", "1,u", "3.5E+14,u", ",u", "2", "x\u0000y,u", '"open', "3,u,extra"];
    return { files: { "mapping.csv": `device,unit\n${pick(random, rows)}\n${pick(random, rows)}\n` } };
  },
  spool_place(settings, random) {
    settings.spool = {
      dir: pick(random, [
        "mapping.csv",
        "mapping.csv/in",
        "/proc/waypost",
        "/dev/null/x",
        "open-to-all",
        "new/deep",
      ]),
    };
    return {};
  },
  bad_yaml(settings, random) {
    const text = stringify(settings);
    const at = Math.floor(random() * text.length);
    return {
      text: `${text.slice(0, at)}${pick(random, ["\t", ": :", "[", "'", "\n- x\n", "&a *b", "---\n"])}${text.slice(at)}`,
    };
  },
  cut_short(settings, random) {
    const text = stringify(settings);
    return { text: text.slice(0, Math.floor(random() * text.length)) };
  },
};

export const MUTATIONS = Object.keys(KINDS);

export function mutantOf(settings: Settings, random: Random): Mutant {
  const kind = pick(random, MUTATIONS);
  const own = structuredClone(settings);
  const { text, files = {} } = KINDS[kind]?.(own, random) ?? {};
  return { kind, text: text ?? stringify(own), files };
}
