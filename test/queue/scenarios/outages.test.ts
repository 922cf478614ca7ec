/** An API that answers 5xx, cuts the connection, or does not answer: the queue waits, retries soon enough, and loses nothing. */

import { afterEach, describe, expect, it, vi } from "vitest";
import { readingOf, startTestQueue, type TestQueue } from "../../support/queue.ts";
import { scaled } from "../../support/speed.ts";
import { until } from "../../support/wait.ts";

vi.setConfig({ testTimeout: scaled(60_000), hookTimeout: scaled(60_000) });

let rig: TestQueue;
afterEach(() => rig.close());

const fleet = (n: number, prefix = "v") => Array.from({ length: n }, (_, i) => readingOf(`${prefix}${i}`, 1));

/** Longest time between two requests. */
function longestGapMs(): number {
  const times = rig.sandbox.requests().map(({ arrivedAtMs }) => arrivedAtMs);
  return Math.max(...times.slice(1).map((at, i) => at - (times[i] ?? at)));
}

describe("an outage", () => {
  it.each([
    { what: "503", fault: { kind: "status", status: 503 } as const, reason: "http_503" },
    { what: "500", fault: { kind: "status", status: 500 } as const, reason: "http_500" },
    {
      what: "a reset",
      fault: { kind: "reset", when: "before_accepting" } as const,
      reason: "connection_reset",
    },
  ])(
    "by $what is waited out, with a try every few seconds",
    async ({ fault, reason }) => {
      rig = await startTestQueue();
      rig.sandbox.faults.set(fault);
      await rig.store(fleet(40));
      await until(async () => (await rig.statusOf()).scopeGate.reason === reason, { what: "the pause" });
      await until(() => rig.sandbox.summary().requests >= 6, { withinMs: 40_000, what: "six tries" });
      // Backoff ends at 4 s; as much again for a busy machine.
      expect(longestGapMs()).toBeLessThan(scaled(8000));
      expect(await rig.account()).toMatchObject({ delivered: 0, deadLettered: 0, stored: 40 });
      expect(await rig.mismatches()).toEqual([]);
      rig.sandbox.faults.clear();
      expect(await rig.empty(40_000)).toMatchObject({ delivered: 40, deadLettered: 0 });
      expect(rig.sandbox.summary()).toMatchObject({ distinct: 40 });
      expect(await rig.mismatches()).toEqual([]);
      await until(async () => (await rig.statusOf()).scopeGate.state !== "paused", { what: "an open gate" });
    },
    120_000,
  );

  it("announced with a Retry-After is waited out for that long", async () => {
    rig = await startTestQueue();
    rig.sandbox.faults.set({ kind: "status", status: 503, retryAfterS: 2, times: 1 });
    await rig.store(fleet(10));
    await rig.empty();
    const requests = rig.sandbox.requests();
    const refusedAt = requests.find(({ status }) => status === 503)?.arrivedAtMs ?? 0;
    const later = requests.map(({ arrivedAtMs }) => arrivedAtMs - refusedAt);
    expect(later.filter((ms) => ms > 300 && ms < 2000)).toEqual([]);
  });

  it("that answers nothing ends with the request's timeout", async () => {
    rig = await startTestQueue({ requestTimeoutMs: 1000 });
    rig.sandbox.faults.set({ kind: "hang", when: "before_accepting", times: 4 });
    await rig.store(fleet(20));
    expect(await rig.empty(40_000)).toMatchObject({ delivered: 20 });
    const timeouts = rig.reported.filter(
      ({ name, event }) => name === "attemptMade" && event.reason === "timeout",
    );
    expect(timeouts.length).toBeGreaterThan(0);
    expect(await rig.mismatches()).toEqual([]);
  });

  it("after the pings were accepted costs a second sending under the same externalIds, not a third", async () => {
    rig = await startTestQueue({ destination: { lanes: 1 } });
    rig.sandbox.faults.set({ kind: "reset", when: "after_accepting", times: 1 });
    await rig.store(fleet(20));
    expect(await rig.empty()).toMatchObject({ delivered: 20 });
    expect(rig.sandbox.summary()).toMatchObject({ accepted: 40, distinct: 20, duplicates: 20 });
  });

  it("is survived newest first: who moved meanwhile is shown where he is, and the past is not sent", async () => {
    rig = await startTestQueue({ destination: { lanes: 2 } });
    rig.sandbox.faults.set({ kind: "status", status: 503 });
    for (let minute = 0; minute < 10; minute++) {
      await rig.store(Array.from({ length: 10 }, (_, i) => readingOf(`v${i}`, 300 - minute * 30)));
    }
    // Behind means that the oldest has waited for five seconds.
    await until(async () => ((await rig.statusOf()).oldestWaitingAgeMs ?? 0) > 5500, { what: "a backlog" });
    rig.sandbox.faults.clear();
    const { delivered, superseded } = await rig.empty(40_000);
    expect({ delivered, superseded }).toEqual({ delivered: 10, superseded: 90 });
    expect(rig.sandbox.summary()).toMatchObject({ accepted: 10, outOfOrder: 0, units: 10 });
    for (const { eventTime } of rig.sandbox.units()) expect(Date.now() - eventTime).toBeLessThan(120_000);
    expect(await rig.mismatches()).toEqual([]);
  });
});
