/** Reads the Lua scripts, puts their includes in front of them, and runs them in Redis. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Redis } from "ioredis";
import { luaDispositions } from "./disposition.ts";
import { luaKeys } from "./keys.ts";
import { luaTimelineKinds } from "./timeline-kinds.ts";

/** A Lua script as Redis knows it. */
export interface Script {
  lua: string;
  sha: string;
}

/** A script's text with, for every line of it, the file and the line it comes from. */
export interface Assembled {
  lua: string;
  lines: { file: string; line: number }[];
}

const FOLDER = new URL("../lua/", import.meta.url);
const INCLUDE = /^--- @include "([\w-]+)"$/;

/** Includes that are no files: tables that TypeScript and Lua share. */
const GENERATED: Record<string, (body: string) => string> = {
  keys: (body) => luaKeys(new Set([...body.matchAll(/\bKEY\.(\w+)/g)].map(([, name = ""]) => name))),
  dispositions: luaDispositions,
  "timeline-kinds": luaTimelineKinds,
};

/** Reads a script from its file. Throws where a file is missing: at start, because modules load their scripts then. */
export function loadScript(name: string): Script {
  return scriptOf(readLua(`${name}.lua`));
}

export function scriptOf(text: string): Script {
  const { lua } = assemble("script", text);
  return { lua, sha: createHash("sha1").update(lua).digest("hex") };
}

/** Every include stands once, before the first text that names it. */
export function assemble(name: string, text: string): Assembled {
  const included = new Set<string>();
  const chunks: { file: string; text: string[] }[] = [];
  function add(file: string, fileText: string): void {
    const own = { file, text: fileText.split("\n") };
    for (const line of own.text) {
      const include = INCLUDE.exec(line)?.[1];
      if (include === undefined || included.has(include)) continue;
      included.add(include);
      if (include in GENERATED) chunks.push({ file: include, text: [] });
      else add(`include/${include}.lua`, readLua(`include/${include}.lua`));
    }
    chunks.push(own);
  }
  add(name, text);
  const body = chunks.flatMap(({ text }) => text).join("\n");
  for (const chunk of chunks) chunk.text = GENERATED[chunk.file]?.(body).split("\n") ?? chunk.text;
  return {
    lua: chunks.flatMap(({ text }) => text).join("\n"),
    lines: chunks.flatMap(({ file, text }) => text.map((_, i) => ({ file, line: i + 1 }))),
  };
}

function readLua(file: string): string {
  return readFileSync(new URL(file, FOLDER), "utf8");
}

/** What a script that runs once a batch is given: one table by name, `args` in Lua. What is null or infinite is nil there. */
export function namedArgs(args: object): string {
  return JSON.stringify(args, (_, value: unknown) => {
    if (value === null || value === Number.POSITIVE_INFINITY) return undefined;
    // Lua's JSON reader refuses half a surrogate pair, which a text from outside may hold.
    return typeof value === "string" ? value.replace(/\p{Surrogate}/gu, "\ufffd") : value;
  });
}

/** Runs a script. After a restart or FLUSHALL Redis has forgotten its text, which is then sent again. */
export async function runScript(
  redis: Redis,
  { lua, sha }: Script,
  keys: readonly string[],
  args: readonly (string | number | Buffer)[],
): Promise<unknown[]> {
  let reply: unknown;
  try {
    reply = await redis.call("EVALSHA", [sha, keys.length, ...keys, ...args]);
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
    reply = await redis.call("EVAL", [lua, keys.length, ...keys, ...args]);
  }
  return Array.isArray(reply) ? reply : [reply];
}
