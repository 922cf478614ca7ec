/** 429: the scope pauses in every process for as long as Retry-After says, then one probe, then a ramp. */

import { afterEach, describe, expect, it } from "vitest";
import { readingOf, startTestQueue, type TestQueue } from "../../support/queue.ts";
import { scaled } from "../../support/speed.ts";
import { until } from "../../support/wait.ts";

let rig: TestQueue;
afterEach(() => rig.close());

const fleet = (n: number, prefix: string) =>
  Array.from({ length: n }, (_, i) => readingOf(`${prefix}${i}`, 1));

/** When the first 429 was given, and when requests came after it; performance.now of this process, where the sandbox runs. */
function arrivals(): { refusedAt: number; later: number[] } {
  const requests = rig.sandbox.requests();
  const refused = requests.find(({ status }) => status === 429);
  if (!refused) throw new Error("nothing was refused");
  return {
    refusedAt: refused.arrivedAtMs,
    later: requests
      .filter(({ arrivedAtMs }) => arrivedAtMs > refused.arrivedAtMs)
      .map((each) => each.arrivedAtMs - refused.arrivedAtMs),
  };
}

/** Requests under way, and on their way, when the 429 came back. */
const UNDER_WAY_MS = scaled(300);

describe("a 429", () => {
  it.each([{ hint: "seconds" }, { hint: "body" }] as const)(
    "with its wait in $hint is obeyed by every process on the Redis",
    async ({ hint }) => {
      rig = await startTestQueue({ destination: { maxBatchPings: 5 } });
      const other = rig.another();
      await until(async () => (await other.readiness()).length === 0, { what: "the other process" });
      rig.sandbox.faults.set({ kind: "throttle", hint, seconds: 3, times: 1 });
      await rig.store(fleet(100, "v"));
      await rig.empty();
      const { later } = arrivals();
      expect(later.filter((ms) => ms > UNDER_WAY_MS && ms < 3000)).toEqual([]);
      expect(later.filter((ms) => ms <= UNDER_WAY_MS).length).toBeLessThanOrEqual(8);
      // One probe, alone; the rest only after it was answered.
      const after = later.filter((ms) => ms >= 3000).sort((a, b) => a - b);
      expect(after.length).toBeGreaterThan(2);
      expect(await rig.account()).toMatchObject({ delivered: 100 });
      expect(await rig.mismatches()).toEqual([]);
    },
  );

  it("with a date is obeyed to the second", async () => {
    rig = await startTestQueue();
    rig.sandbox.faults.set({ kind: "throttle", hint: "date", seconds: 3, times: 1 });
    await rig.store(fleet(20, "v"));
    await rig.empty();
    // A date has whole seconds: up to one of the three is cut off.
    expect(arrivals().later.filter((ms) => ms > UNDER_WAY_MS && ms < 2000)).toEqual([]);
    expect(await rig.account()).toMatchObject({ delivered: 20 });
  });

  it("without a hint is answered with a backoff of at most 4 s", async () => {
    rig = await startTestQueue();
    rig.sandbox.faults.set({ kind: "throttle", hint: "none", times: 6 });
    await rig.store(fleet(20, "v"));
    await rig.empty(60_000);
    const { later } = arrivals();
    const gaps = later.sort((a, b) => a - b).map((ms, i) => ms - (later[i - 1] ?? 0));
    // Two lanes' worth of jitter and a busy machine are allowed for.
    expect(Math.max(...gaps)).toBeLessThan(scaled(8000));
    expect(await rig.account()).toMatchObject({ delivered: 20 });
    expect(await rig.mismatches()).toEqual([]);
  });

  it("is followed by a ramp, not by everything at once", async () => {
    rig = await startTestQueue({ destination: { maxBatchPings: 1, lanes: 16, backfill: "deliver" } });
    rig.sandbox.faults.set({ kind: "throttle", hint: "seconds", seconds: 1, times: 1 });
    await rig.store(fleet(60, "v"));
    await until(() => rig.sandbox.summary().accepted >= 20, { what: "twenty pings" });
    const { later } = arrivals();
    const after = later.filter((ms) => ms >= 1000).sort((a, b) => a - b);
    const first = after[0] ?? 0;
    // A tenth of 20/s in the first second after the probe's answer, one more for each success.
    expect(after.filter((ms) => ms < first + 1000).length).toBeLessThanOrEqual(6);
    await rig.empty(30_000);
    expect(await rig.account()).toMatchObject({ delivered: 60 });
  });

  it("holds no more than one scope up", async () => {
    rig = await startTestQueue({ more: { beta: {} } });
    rig.sandbox.faults.set({ kind: "throttle", hint: "seconds", seconds: 2, times: 1 });
    await rig.store(fleet(5, "v"));
    await until(async () => (await rig.statusOf("beta")).scopeGate.state === "paused", {
      what: "the pause",
    });
    const { scopeGate } = await rig.statusOf("acme");
    expect(scopeGate).toMatchObject({ state: "paused", reason: "throttled" });
    await rig.empty();
    expect(rig.reported.filter(({ name }) => name === "gateChanged")[0]?.event).toMatchObject({
      state: "paused",
      reason: "throttled",
      destination: null,
    });
  });

  it("does not outlast its time when Redis's clock is set back", async () => {
    rig = await startTestQueue({ destination: { lanes: 1 } });
    rig.sandbox.faults.set({ kind: "throttle", hint: "seconds", seconds: 2, times: 1 });
    await rig.store(fleet(10, "v"));
    const gate = `${rig.destination.keyPrefix}:gate`;
    await until(async () => (await rig.db.hget(gate, "state")) === "paused", { what: "the pause" });
    // As if the clock had been an hour ahead when it began.
    const hour = 3_600_000;
    for (const field of ["since", "until"]) await rig.db.hincrby(gate, field, hour);
    await rig.empty();
    expect(await rig.account()).toMatchObject({ delivered: 10 });
  });

  it("longer than a ping lives expires it, and it is never sent", async () => {
    rig = await startTestQueue({ destination: { maxAgeMs: 4000, lanes: 1 } });
    rig.sandbox.faults.set({ kind: "throttle", hint: "seconds", seconds: 8, times: 1 });
    await rig.store(fleet(10, "old"));
    await until(async () => (await rig.account()).expired === 10, { what: "the old ones to expire" });
    await rig.store(fleet(5, "early"));
    await until(async () => (await rig.statusOf()).waiting === 0, { what: "the early ones to expire too" });
    const isOver = async () => ((await rig.statusOf()).scopeGate.untilMs ?? 0) < Date.now();
    await until(isOver, { what: "the pause to end" });
    await rig.store(fleet(5, "new"));
    await rig.empty();
    expect(new Set(rig.sandbox.pings().map(({ ping }) => ping.unitId.slice(0, 3)))).toEqual(new Set(["new"]));
    expect(await rig.account()).toMatchObject({ expired: 15, delivered: 5 });
    expect(await rig.mismatches()).toEqual([]);
  });
});
