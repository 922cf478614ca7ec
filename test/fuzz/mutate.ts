/** Damages a valid message in one to three places, the same way for the same stream of random numbers. */

import type { Random } from "../../sandbox/random.ts";
import type { Message } from "../../src/adapters/kit/adapter.ts";

/** Stands for numbers that only JSON text can hold; put back when the text is made. */
const RAW = "\u0001raw:";
const raw = (text: string) => `${RAW}${text}\u0001`;

const VALUES: readonly [unknown, ...unknown[]] = [
  null,
  true,
  false,
  "",
  " ",
  "null",
  "NaN",
  "Infinity",
  "٣",
  "１２",
  "0x10",
  "1_000",
  "1e999",
  "-0",
  0,
  -1,
  1e-12,
  90.0000001,
  -180.0000001,
  255,
  1023,
  4294967295,
  8.64e15,
  [],
  {},
  [[]],
  "2026-13-45T99:99:99Z",
  "0000-00-00 00:00:00",
  "2026-10-26T18:00:00",
  "\u0000",
  "\ud800",
  "a".repeat(5000),
  "1,".repeat(2000),
  raw("1e999"),
  raw("-1e999"),
  raw("9007199254740993"),
  raw(`1${"0".repeat(400)}`),
];

/** Keys that are not data to JavaScript. */
const KEYS: readonly [string, ...string[]] = ["__proto__", "constructor", "toString", "length", "then", ""];

/** A mutated copy; the original is left as it is. */
export function mutate(message: Message, random: Random): Message {
  // Bytes first in a tenth of the cases: most of what this makes is not even JSON, which proves little.
  if (random.chance(0.1)) return { ...message, body: withFlippedBytes(message.body, random) };
  const what = random.next();
  if (what < 0.1) return { ...message, ...beside(message, random) };
  const text = Buffer.from(message.body).toString();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ...message, body: Buffer.from(withMutatedText(text, random)) };
  }
  for (let n = random.integer(1, 3); n > 0; n--) value = withMutatedNode(value, random);
  return { ...message, body: Buffer.from(textOf(value)) };
}

function withFlippedBytes(body: Uint8Array, random: Random): Uint8Array {
  const copy = Buffer.from(body);
  for (let n = random.integer(1, 4); n > 0 && copy.length > 0; n--) {
    copy[random.integer(0, copy.length - 1)] = random.integer(0, 255);
  }
  return random.chance(0.3) ? copy.subarray(0, random.integer(0, copy.length)) : copy;
}

/** What stands beside the body can be wrong too. */
function beside({ query, topic, headers }: Message, random: Random): Partial<Message> {
  if (topic !== undefined) {
    const levels = topic.split("/");
    levels[random.integer(0, levels.length - 1)] = random.pick([
      "",
      "+",
      "#",
      "..",
      "__proto__",
      "a".repeat(500),
    ]);
    return { topic: levels.join("/") };
  }
  const [name] = Object.keys(query);
  if (name !== undefined)
    return { query: { ...query, [name]: random.pick(["", "NaN", "1e999", "٣", "\u0000"]) } };
  return {
    headers: {
      ...headers,
      "content-type": random.pick(["", "text/html", "application/x-www-form-urlencoded"]),
    },
  };
}

/** For CSV, sentences, forms and single values: one field becomes another one. */
function withMutatedText(text: string, random: Random): string {
  const parts = text.split(/([,&=*;\s])/);
  const at = random.integer(0, parts.length - 1);
  parts[at] = String(random.pick(VALUES)).replaceAll(RAW, "");
  return parts.join("");
}

function withMutatedNode(value: unknown, random: Random): unknown {
  if (typeof value !== "object" || value === null || random.chance(0.15)) return random.pick(VALUES);
  if (Array.isArray(value)) {
    if (value.length === 0) return random.chance(0.5) ? value : [random.pick(VALUES)];
    const copy = [...value];
    const at = random.integer(0, copy.length - 1);
    const what = random.next();
    if (what < 0.1) copy.splice(at, 1);
    else if (what < 0.2) copy.splice(at, 0, copy[random.integer(0, copy.length - 1)]);
    else copy[at] = withMutatedNode(copy[at], random);
    return copy;
  }
  const entries = Object.entries(value);
  const at = random.integer(0, Math.max(0, entries.length - 1));
  const what = random.next();
  if (entries.length === 0 || what < 0.08) entries.push([random.pick(KEYS), random.pick(VALUES)]);
  else if (what < 0.16) entries.splice(at, 1);
  else if (what < 0.2) [entries[at], entries[0]] = swapped(entries[0], entries[at]);
  else {
    const [key, inner] = entries[at] ?? ["", null];
    entries[at] = [key, withMutatedNode(inner, random)];
  }
  // Not Object.fromEntries of a literal: a key named __proto__ has to stay a key.
  return Object.fromEntries(entries);
}

/** Two keys with each other's values: right types in the wrong places. */
function swapped(
  [a, ofA]: [string, unknown] = ["", null],
  [b, ofB]: [string, unknown] = ["", null],
): [[string, unknown], [string, unknown]] {
  return [
    [b, ofA],
    [a, ofB],
  ];
}

function textOf(value: unknown): string {
  return (JSON.stringify(value) ?? "null").replace(/"\\u0001raw:([^"\\]*)\\u0001"/g, "$1");
}
