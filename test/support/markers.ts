/** Secrets made up for a test, and the search for them in whatever a gateway says, stores and serves. */

import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";

export interface Markers {
  /** A new secret of this kind; `text` is for a form that its place asks for. */
  make(kind: string, text?: string): string;
  /** Looks for every secret made so far in one answer, key or text. */
  look(place: string, found: string | Uint8Array): void;
  /** For each place: how much was looked at, and which kinds of secret are there. */
  places(): Record<string, { items: number; bytes: number; found: string[] }>;
  kinds(): string[];
}

export function createMarkers(): Markers {
  const needles = new Map<string, Buffer[]>();
  const seen = new Map<string, { items: number; bytes: number; found: Set<string> }>();
  return {
    make(kind, text = `mk${randomBytes(20).toString("hex")}`) {
      if (needles.has(kind)) throw new Error(`two secrets are called ${kind}`);
      needles.set(kind, formsOf(text));
      return text;
    },
    look(place, found) {
      const counts = seen.get(place) ?? { items: 0, bytes: 0, found: new Set<string>() };
      seen.set(place, counts);
      const bytes = Buffer.from(found);
      counts.items += 1;
      counts.bytes += bytes.length;
      for (const [kind, forms] of needles)
        if (forms.some((form) => bytes.includes(form))) counts.found.add(kind);
    },
    places: () =>
      Object.fromEntries(
        [...seen].map(([place, { found, ...counts }]) => [place, { ...counts, found: [...found].sort() }]),
      ),
    kinds: () => [...needles.keys()],
  };
}

/** As it is, within a URL, in hexadecimal digits, and within a longer text in base64, which may begin at three offsets. */
function formsOf(text: string): Buffer[] {
  const bytes = Buffer.from(text);
  const encoded = [0, 1, 2].map((offset) => {
    const all = Buffer.concat([Buffer.alloc(offset), bytes])
      .toString("base64")
      .replace(/=+$/, "");
    // The characters at both ends also hold bits of what stands beside it.
    return all.slice(offset === 0 ? 0 : offset + 1, all.length - 2);
  });
  return [text, encodeURIComponent(text), bytes.toString("hex"), ...encoded].map((form) => Buffer.from(form));
}

/** Every key with its value, as Redis itself writes it to disk. */
export async function lookAtRedis(
  look: Markers["look"],
  { url, dir }: { url: string; dir: string },
): Promise<void> {
  const db = new Redis(url);
  let cursor = "0";
  do {
    const [next, keys] = await db.scan(cursor, "COUNT", 1000);
    for (const key of keys) {
      look("names of keys", key);
      for (const part of await contentOf(db, key)) look("values of Redis", part);
    }
    cursor = next;
  } while (cursor !== "0");
  db.disconnect();
  // With what was there before: an append-only file keeps every command.
  for (const name of readdirSync(dir, { recursive: true, encoding: "utf8" })) {
    const file = join(dir, name);
    if (statSync(file).isFile()) look("Redis's files", readFileSync(file));
  }
}

/** DUMP packs long texts, so each type is read by its own command. */
async function contentOf(db: Redis, key: string): Promise<Buffer[]> {
  const commands: Record<string, readonly [string, ...string[]]> = {
    ...{ string: ["GET", key], hash: ["HGETALL", key], list: ["LRANGE", key, "0", "-1"] },
    ...{ set: ["SMEMBERS", key], zset: ["ZRANGE", key, "0", "-1"], stream: ["XRANGE", key, "-", "+"] },
  };
  const [command, ...args] = commands[await db.type(key)] ?? ["DUMP", key];
  const parts = (value: unknown): Buffer[] =>
    Array.isArray(value) ? value.flatMap(parts) : Buffer.isBuffer(value) ? [value] : [];
  return parts(await db.callBuffer(command, ...args));
}
