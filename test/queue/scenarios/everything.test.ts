/** Everything that can go wrong, in random order, with two processes at work: the sums come out, and nothing is left behind. */

import { setTimeout as pause } from "node:timers/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { FaultInput } from "../../../sandbox/faults.ts";
import { readingOf, startTestQueue, type TestQueue } from "../../support/queue.ts";
import { scaled } from "../../support/speed.ts";

vi.setConfig({ testTimeout: scaled(120_000), hookTimeout: scaled(120_000) });

let rig: TestQueue;
afterEach(() => rig.close());

const FAULTS: (FaultInput | null)[] = [
  null,
  null,
  { kind: "throttle", hint: "seconds", seconds: 1, times: 2 },
  { kind: "status", status: 503, times: 3 },
  { kind: "status", status: 500, times: 5 },
  { kind: "reset", when: "before_accepting", times: 2 },
  { kind: "reset", when: "after_accepting", times: 2 },
  { kind: "hang", when: "after_accepting", times: 1 },
  { kind: "omit", match: { unitId: "v3" }, times: 1 },
  { kind: "unreadable", times: 1 },
  { kind: "fail", match: { unitId: "v4" }, times: 3 },
  { kind: "poison", match: { unitId: "v5" } },
  { kind: "byte_cap", bytes: 3000, times: 3 },
  { kind: "token_revoked" },
  { kind: "status", status: 400, times: 4 },
  { kind: "status", status: 403, times: 2 },
];

/** A generator of its own, so that a failure can be run again with the seed it names. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

describe.each([{ backfill: "drop" }, { backfill: "deliver" }] as const)(
  "twelve seconds of trouble with backfill $backfill",
  ({ backfill }) => {
    const seed = 1 + (Date.now() % 2_147_483_000);

    it(`end with every ping in one place (seed ${seed})`, async () => {
      const random = generator(seed);
      rig = await startTestQueue({
        requestTimeoutMs: 1000,
        destination: { lanes: 3, maxBatchPings: 20, backfill },
        more: { beta: { lanes: 2 } },
        moreSources: { trucks: { maxImpliedMps: 60 }, vans2: { minIntervalMs: 2000 } },
        mapping: (_, device) => {
          const unit = { unitId: device, unitName: device, technician: null };
          const both = [
            { destination: "acme", unit },
            { destination: "beta", unit },
          ];
          return device === "v1" ? both : [{ destination: device === "v2" ? "beta" : "acme", unit }];
        },
      });
      rig.another();
      const mismatches: string[] = [];
      for (const until = Date.now() + 12_000; Date.now() < until; ) {
        const fault = FAULTS[random(FAULTS.length)];
        if (fault) rig.sandbox.faults.set(fault);
        else rig.sandbox.faults.clear();
        for (let i = 0; i < 4; i++) {
          const source = ["vans", "trucks", "vans2"][random(3)];
          await rig.store(
            Array.from({ length: random(12) }, () =>
              readingOf(`v${random(15)}`, random(30), { latitude: 32 + random(3) }),
            ),
            source,
          );
          await pause(random(150));
        }
        mismatches.push(...(await rig.mismatches()));
      }
      expect(mismatches).toEqual([]);
      rig.sandbox.faults.clear();
      const { stored, delivered, deadLettered, superseded, expired } = await rig.emptyInHaste(60_000);
      expect(await rig.mismatches()).toEqual([]);
      expect(delivered + deadLettered + superseded + expired).toBe(stored);
      expect(stored).toBeGreaterThan(100);
      const { accepted, distinct } = rig.sandbox.summary();
      // What was answered Success is there; more may be, where the answer was lost.
      expect(accepted).toBeGreaterThanOrEqual(delivered);
      expect(distinct).toBeGreaterThan(0);
      const left = await rig.db.keys("*:b:*");
      expect(left).toEqual([]);
      for (const kind of ["pieces", "isolated", "isolation", "live", "old", "liveorder", "backlog"]) {
        expect(await rig.db.keys(`*:${kind}:*`)).toEqual([]);
      }
      const failures = rig.reported
        .filter(({ name }) => name === "failed")
        .map(({ event }) => String(event.error));
      expect(failures).toEqual([]);
    });
  },
);
