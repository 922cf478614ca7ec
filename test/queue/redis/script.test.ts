/** How Lua scripts are put together, and how values by name arrive in them. */

import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { type PrivateRedis, startPrivateRedis } from "../../../sandbox/redis.ts";
import { assemble, loadScript, namedArgs, runScript, scriptOf } from "../../../src/queue/redis/script.ts";

test("an include stands once, before what names it, and every line knows where it comes from", () => {
  const { lua, lines } = assemble("mine", '--- @include "throttle"\n--- @include "clock"\nreturn now');
  expect(lua.match(/local clock = redis\.call\('TIME'\)/g)).toHaveLength(1);
  expect(lua.indexOf("local now")).toBeLessThan(lua.indexOf("local function slotWait"));
  expect(lines).toHaveLength(lua.split("\n").length);
  expect(lines.at(-1)).toEqual({ file: "mine", line: 3 });
  const slotWait = lua.split("\n").findIndex((line) => line.startsWith("local function slotWait"));
  expect(lines[slotWait]?.file).toBe("include/throttle.lua");
});

test("of the keys a script gets those it uses", () => {
  const { lua } = scriptOf('--- @include "keys"\nreturn { KEY.lanes }');
  expect(lua).toContain("lanes = ");
  expect(lua).not.toContain("ledger = ");
});

test("a script or an include that is not there is an error at start", () => {
  expect(() => loadScript("nowhere")).toThrow("nowhere.lua");
  expect(() => scriptOf('--- @include "nowhere"')).toThrow("nowhere.lua");
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

  it("named values arrive as what they are; null and infinity as nil, half a surrogate pair as U+FFFD", async () => {
    const script = scriptOf(`
local args = cjson.decode(ARGV[1])
return { args.text, type(args.none), type(args.endless), args.yes and 1 or 0, string.format('%.0f', args.at), #args.list }
`);
    const text = 'Ünïcødé 🚐 "quoted" \\ \u0000 \ud800';
    const args = {
      text,
      none: null,
      endless: Number.POSITIVE_INFINITY,
      yes: true,
      at: 1764457200123,
      list: [],
    };
    const found = await runScript(db, script, [], [namedArgs(args)]);
    expect(found).toEqual([text.replace("\ud800", "\ufffd"), "nil", "nil", 1, "1764457200123", 0]);
  });

  it("a script is sent as its hash, and as a whole where Redis has forgotten it", async () => {
    const script = scriptOf("return { 'run' }");
    for (let i = 0; i < 2; i++) {
      await db.script("FLUSH");
      expect(await runScript(db, script, [], [])).toEqual(["run"]);
      expect(await db.script("EXISTS", script.sha)).toEqual([1]);
      expect(await runScript(db, script, [], [])).toEqual(["run"]);
    }
  });
});
