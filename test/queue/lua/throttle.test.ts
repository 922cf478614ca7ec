/** The throttle keeps its log in order, and the rate in every window, while gates make the rate fall and rise. */

import { setTimeout as pause } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PrivateRedis, startPrivateRedis } from "../../../sandbox/redis.ts";
import { runScript, scriptOf } from "../../../src/queue/redis/script.ts";

const TAKE = scriptOf(`
--- @include "throttle"
local _, slot = reserveSlot(tonumber(ARGV[1]), 20, 1050, 250)
return { slot or '' }
`);

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

describe("slots", () => {
  it("are not given for a window after Redis was emptied: nobody knows what was sent in the last one", async () => {
    await db.rpush("w:{emptied}:slots", 0);
    const take = async () => Number((await runScript(db, TAKE, ["w:{emptied}"], [20]))[0]);
    const before = [await take(), await take()];
    await db.flushall();
    const emptiedAt = before[1] ?? 0;
    let after = 0;
    while (after === 0) after = await take();
    expect(before.every((slot) => slot > 0)).toBe(true);
    expect(after - emptiedAt).toBeGreaterThanOrEqual(1050);
  });

  it("stay in order and under the rate while gates make it fall and rise", async () => {
    const taken: number[] = [];
    // Open, probing, ramping, open again: the rates the gates allow one after the other.
    const rates = [20, 20, 20, 1, 1, 2, 3, 4, 8, 12, 16, 19, 20, 20, 20];
    for (const rate of rates) {
      for (let i = 0; i < 8; i++) {
        const [slot] = await runScript(db, TAKE, ["w:{slots}"], [rate]);
        if (slot !== "") taken.push(Number(slot));
        await pause(30);
      }
    }
    expect(taken.length).toBeGreaterThan(20);
    expect(taken).toEqual([...taken].sort((a, b) => a - b));
    for (const [i, slot] of taken.entries()) {
      const twentieth = taken[i + 20];
      if (twentieth !== undefined) expect(twentieth - slot).toBeGreaterThanOrEqual(1050);
    }
  });
});
