/** An API that answers 5xx, cuts the connection, or does not answer: the line waits, tries soon enough, and loses nothing. */

import { afterEach, describe, expect, it, vi } from "vitest";
import { type Line, readingOf, startLine } from "../support/line.ts";
import { scaled } from "../support/speed.ts";
import { until } from "../support/wait.ts";

vi.setConfig({ testTimeout: scaled(60_000), hookTimeout: scaled(60_000) });

let line: Line;
afterEach(() => line.close());

const fleet = (n: number, prefix = "v") => Array.from({ length: n }, (_, i) => readingOf(`${prefix}${i}`, 1));

/** Longest time between two requests. */
function longestGapMs(): number {
  const times = line.sandbox.requests().map(({ arrivedAtMs }) => arrivedAtMs);
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
      line = await startLine();
      line.sandbox.faults.set(fault);
      await line.store(fleet(40));
      await until(async () => (await line.statusOf()).scopeGate.reason === reason, { what: "the pause" });
      await until(() => line.sandbox.summary().requests >= 6, { withinMs: 40_000, what: "six tries" });
      // Backoff ends at 4 s; as much again for a busy machine.
      expect(longestGapMs()).toBeLessThan(scaled(8000));
      expect(await line.account()).toMatchObject({ delivered: 0, deadLettered: 0, stored: 40 });
      expect(await line.parted()).toEqual([]);
      line.sandbox.faults.clear();
      expect(await line.empty(40_000)).toMatchObject({ delivered: 40, deadLettered: 0 });
      expect(line.sandbox.summary()).toMatchObject({ distinct: 40 });
      expect(await line.parted()).toEqual([]);
      await until(async () => (await line.statusOf()).scopeGate.state !== "paused", { what: "an open gate" });
    },
    120_000,
  );

  it("told with a Retry-After is waited out for that long", async () => {
    line = await startLine();
    line.sandbox.faults.set({ kind: "status", status: 503, retryAfterS: 2, times: 1 });
    await line.store(fleet(10));
    await line.empty();
    const requests = line.sandbox.requests();
    const refusedAt = requests.find(({ status }) => status === 503)?.arrivedAtMs ?? 0;
    const later = requests.map(({ arrivedAtMs }) => arrivedAtMs - refusedAt);
    expect(later.filter((ms) => ms > 300 && ms < 2000)).toEqual([]);
  });

  it("that answers nothing ends with the request's timeout", async () => {
    line = await startLine({ requestTimeoutMs: 1000 });
    line.sandbox.faults.set({ kind: "hang", when: "before_accepting", times: 4 });
    await line.store(fleet(20));
    expect(await line.empty(40_000)).toMatchObject({ delivered: 20 });
    const timeouts = line.told.filter(
      ({ name, event }) => name === "attemptMade" && event.reason === "timeout",
    );
    expect(timeouts.length).toBeGreaterThan(0);
    expect(await line.parted()).toEqual([]);
  });

  it("after the pings were taken costs a second sending under the same externalIds, not a third", async () => {
    line = await startLine({ destination: { lanes: 1 } });
    line.sandbox.faults.set({ kind: "reset", when: "after_accepting", times: 1 });
    await line.store(fleet(20));
    expect(await line.empty()).toMatchObject({ delivered: 20 });
    expect(line.sandbox.summary()).toMatchObject({ accepted: 40, distinct: 20, duplicates: 20 });
  });

  it("is survived newest first: who moved meanwhile is shown where he is, and the past is not sent", async () => {
    line = await startLine({ destination: { lanes: 2 } });
    line.sandbox.faults.set({ kind: "status", status: 503 });
    for (let minute = 0; minute < 10; minute++) {
      await line.store(Array.from({ length: 10 }, (_, i) => readingOf(`v${i}`, 300 - minute * 30)));
    }
    // Behind means that the oldest has waited for five seconds.
    await until(async () => ((await line.statusOf()).oldestWaitingAgeMs ?? 0) > 5500, { what: "a backlog" });
    line.sandbox.faults.clear();
    const { delivered, superseded } = await line.empty(40_000);
    expect({ delivered, superseded }).toEqual({ delivered: 10, superseded: 90 });
    expect(line.sandbox.summary()).toMatchObject({ accepted: 10, outOfOrder: 0, units: 10 });
    for (const { eventTime } of line.sandbox.units()) expect(Date.now() - eventTime).toBeLessThan(120_000);
    expect(await line.parted()).toEqual([]);
  });
});
