/** The throttle keeps its log in order, and the rate in every window, while gates make the rate fall and rise. */

import { setTimeout as pause } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PrivateRedis, startPrivateRedis } from "../../../sandbox/redis.ts";
import { runScript, scriptOf } from "../../../src/queue/redis/script.ts";

const RESERVE = scriptOf(`
--- @include "throttle"
local _, slot = reserveSlot(tonumber(ARGV[1]), 20, 1050, 250)
return { slot or '' }
`);

/** A request is answered well: the rate that the gate allows from then on, and its state. */
const ANSWERED_WELL = scriptOf(`
--- @include "gates"
--- @include "gate-changes"
openGate(KEYS[1], 20)
return { rateOf(KEYS[1], 20), redis.call('HGET', KEYS[1], 'state') or 'open' }
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

describe("the ramp of a gate", () => {
  const gate = "w:{ramp}:gate";
  const answeredWell = () => runScript(db, ANSWERED_WELL, [gate], []);
  const secondLater = () => db.hincrby(gate, "raisedAt", -1000);

  it("grows by one for every success, once a second, however fast the answers come", async () => {
    await db.hset(gate, { state: "probing", until: 0, since: Date.now() });
    for (let i = 0; i < 4; i++) expect(await answeredWell()).toEqual([2, "ramping"]);
    await secondLater();
    expect(await answeredWell()).toEqual([6, "ramping"]);
    for (let i = 0; i < 14; i++) expect(await answeredWell()).toEqual([6, "ramping"]);
    await secondLater();
    expect(await answeredWell()).toEqual([20, "open"]);
  });

  it("ends after ten seconds without a complaint, also where Redis's clock was set back", async () => {
    for (const at of [Date.now() - 10_100, Date.now() + 3_600_000]) {
      await db.hset(gate, { state: "ramping", ramp: 2, earned: 2, since: at, raisedAt: Date.now() });
      expect(await answeredWell()).toEqual([20, "open"]);
    }
  });
});

describe("slots", () => {
  it("are not given for a window after Redis was emptied: what was sent in the last window is unknown", async () => {
    await db.rpush("w:{emptied}:slots", 0);
    const reserve = async () => Number((await runScript(db, RESERVE, ["w:{emptied}"], [20]))[0]);
    const before = [await reserve(), await reserve()];
    await db.flushall();
    const emptiedAt = before[1] ?? 0;
    let after = 0;
    while (after === 0) after = await reserve();
    expect(before.every((slot) => slot > 0)).toBe(true);
    expect(after - emptiedAt).toBeGreaterThanOrEqual(1050);
  });

  it("stay in order and under the rate while gates make it fall and rise", async () => {
    const reserved: number[] = [];
    // Open, probing, ramping, open again: the rates the gates allow one after the other.
    const rates = [20, 20, 20, 1, 1, 2, 3, 4, 8, 12, 16, 19, 20, 20, 20];
    for (const rate of rates) {
      for (let i = 0; i < 8; i++) {
        const [slot] = await runScript(db, RESERVE, ["w:{slots}"], [rate]);
        if (slot !== "") reserved.push(Number(slot));
        await pause(30);
      }
    }
    expect(reserved.length).toBeGreaterThan(20);
    expect(reserved).toEqual([...reserved].sort((a, b) => a - b));
    for (const [i, slot] of reserved.entries()) {
      const twentieth = reserved[i + 20];
      if (twentieth !== undefined) expect(twentieth - slot).toBeGreaterThanOrEqual(1050);
    }
  });
});
