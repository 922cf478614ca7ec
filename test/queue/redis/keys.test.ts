/** Every Redis key is spelled in keys.ts alone, every key of the table is used, and Lua spells them as TypeScript does. */

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { type PrivateRedis, startPrivateRedis } from "../../../sandbox/redis.ts";
import {
  keyOf,
  luaKeys,
  PROCESS_KEYS,
  SCOPE_KEYS,
  SHARED_KEYS,
  scopeIn,
  scopePrefix,
} from "../../../src/queue/redis/keys.ts";
import { runScript, scriptOf } from "../../../src/queue/redis/script.ts";

const queue = fileURLToPath(new URL("../../../src/queue/", import.meta.url));
const filesOf = (extension: string) =>
  readdirSync(queue, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(extension))
    .map((file) => ({ file, text: readFileSync(queue + file, "utf8") }));
const lua = filesOf(".lua").map(({ file, text }) => ({ file, code: text.replace(/--.*$/gm, "") }));
const typescript = filesOf(".ts").filter(({ file }) => file !== "redis/keys.ts");

describe("a Lua file", () => {
  it("is found by this test", () => {
    expect(lua.length).toBeGreaterThan(20);
  });

  it.each(lua)("names keys by the table only: $file", ({ code }) => {
    expect(code).not.toMatch(/\bprefix\b|\bKEYS\[\d\]\s*\.\./);
    // A literal that begins with a colon and a name is the middle of a key.
    expect(code.match(/['"]:\w[^'"]*['"]/g) ?? []).toEqual([]);
    for (const pattern of Object.values(SCOPE_KEYS)) {
      const [name = ""] = pattern.split("<");
      if (name.endsWith(":")) expect(code).not.toMatch(new RegExp(`['"]:?${name}['"]`));
    }
  });

  it.each(lua)("gives every command a key of the table, of KEYS, or a local name: $file", ({ code }) => {
    const keys = [...code.matchAll(/redis\.call\('[A-Z]+',\s*([^,)]+)/g)].map(([, key = ""]) => key);
    expect(keys.filter((key) => !/^(KEY\.\w+(\(|$)|KEYS\[\d\]$|[a-z]\w*(\(|$))/.test(key))).toEqual([]);
  });
});

test.each([
  ...Object.keys(SCOPE_KEYS).map((name) => ["SCOPE_KEYS", name] as const),
  ...Object.keys(SHARED_KEYS).map((name) => ["SHARED_KEYS", name] as const),
  ...Object.keys(PROCESS_KEYS).map((name) => ["PROCESS_KEYS", name] as const),
])("%s.%s is used", (table, name) => {
  const inLua =
    table === "SCOPE_KEYS" && lua.some(({ code }) => new RegExp(`\\bKEY\\.${name}\\b`).test(code));
  const inTypeScript = typescript.some(({ text }) => new RegExp(`\\b${table}\\.${name}\\b`).test(text));
  expect(inLua || inTypeScript).toBe(true);
});

test("no two keys of a scope can be the same", () => {
  const names = Object.values(SCOPE_KEYS).map((pattern) => pattern.replace(/<.*/, ""));
  expect(new Set(names).size).toBe(names.length);
});

test("a key that is not in the table is no script", () => {
  expect(() => luaKeys(new Set(["lanes", "nowhere"]))).toThrow("knows no key nowhere");
  expect(() => scriptOf('--- @include "keys"\nreturn { KEY.nowhere }')).toThrow("knows no key nowhere");
});

describe("in Redis", () => {
  let server: PrivateRedis;
  let db: Redis;
  beforeAll(async () => {
    server = await startPrivateRedis();
    db = new Redis(server.url);
  });
  afterAll(async () => {
    db.disconnect();
    await server.stop();
  });

  it("Lua spells every key as TypeScript does", async () => {
    const prefix = scopePrefix("waypost", "12ab-1");
    const holes = ["1", "2", "3"];
    const names = Object.entries(SCOPE_KEYS);
    const spelled = names.map(([name, pattern]) => {
      const count = pattern.split("<").length - 1;
      return `KEY.${name}${count > 0 ? `(${holes.slice(0, count).join(", ")})` : ""}`;
    });
    const script = scriptOf(`--- @include "keys"\nreturn { ${spelled.join(", ")} }`);
    const found = await runScript(db, script, [prefix], []);
    const expected = names.map(([, pattern]) => {
      let next = 0;
      return `${prefix}:${pattern.replace(/<\w+>/g, () => holes[next++] ?? "")}`;
    });
    expect(found).toEqual(expected);
    expect(keyOf(prefix, SCOPE_KEYS.moved, "vans", 17, "d")).toBe("waypost:{12ab-1}:moved:vans:17:d");
    expect(scopeIn(prefix)).toBe("12ab-1");
  });
});
