/** Freshness: whose positions count, and what their ages come to. */

import { afterEach, describe, expect, it } from "vitest";
import { createFreshness, freshnessOf } from "../../../src/queue/lookup/freshness.ts";
import { readingOf, startTestQueue, type TestQueue } from "../../support/queue.ts";
import { until } from "../../support/wait.ts";

let rig: TestQueue | undefined;
afterEach(async () => {
  await rig?.close();
  rig = undefined;
});

const NOW = 1_795_199_803_000;
const MINUTE = 60_000;
const secondsOld = (ages: number[]) => ages.map((age) => NOW - age * 1000);
const still = { now: NOW, newestAccepted: NOW - 1000, pending: false };

describe("freshness", () => {
  it("is given in ages that units really have", () => {
    const ages = Array.from({ length: 100 }, (_, i) => i + 1).reverse();
    expect(freshnessOf(secondsOld(ages), still)).toEqual({
      units: 100,
      p50AgeMs: 50_000,
      p95AgeMs: 95_000,
      maxAgeMs: 100_000,
      sending: null,
    });
    expect(freshnessOf(secondsOld([7]), still)).toEqual({
      units: 1,
      p50AgeMs: 7000,
      p95AgeMs: 7000,
      maxAgeMs: 7000,
      sending: null,
    });
  });

  it("leaves out units that have not reported within the hour, and is null when none has", () => {
    expect(freshnessOf([NOW - 61 * MINUTE, NOW - 59 * MINUTE], still)).toMatchObject({
      units: 1,
      maxAgeMs: 59 * MINUTE,
    });
    expect(freshnessOf([NOW - 61 * MINUTE], { ...still, newestAccepted: NOW - 61 * MINUTE })).toBeNull();
    expect(freshnessOf([], { ...still, newestAccepted: 0 })).toBeNull();
  });

  it("leaves out no unit in an outage longer than an hour", () => {
    const newestAccepted = NOW - 180 * MINUTE;
    const times = [newestAccepted, newestAccepted - 10 * MINUTE, newestAccepted - 90 * MINUTE];
    const outage = { now: NOW, newestAccepted, pending: true };
    expect(freshnessOf(times, outage)).toMatchObject({ units: 2, maxAgeMs: 190 * MINUTE });
  });

  it("is not negative for a clock that is ahead", () => {
    expect(freshnessOf([NOW + 5000], still)).toMatchObject({ p50AgeMs: 0, maxAgeMs: 0 });
  });

  it("of units that send is what was old when they last sent, at two readings", async () => {
    rig = await startTestQueue();
    const { db, destination } = rig;
    const { keyPrefix: home, name } = destination;
    const { of } = createFreshness({
      redis: db,
      sources: new Map([["vans", { name: "vans", destination: name, home }]]),
      routes: { of: (_, unit) => [{ destination: name, unit } as never] },
    });
    let mark = 0;
    async function read(
      fixAgeS: number,
      seenAgeS: number,
      minutes: number,
      pending = true,
    ): Promise<unknown> {
      const now = NOW + minutes * MINUTE;
      for (const unit of ["a", "b", "c"]) {
        await db.hset(`${home}:accepted:${name}`, unit, now - fixAgeS * 1000);
        await db.hset(`${home}:seen:vans`, unit, now - seenAgeS * 1000);
      }
      const { freshness } = await of(destination, { ...still, now, pending }, ++mark);
      return freshness?.sending?.p50AgeMs ?? null;
    }
    // One report in four minutes is on time, and so is the next, which is on its way yet.
    expect(await read(240, 239, 1)).toBe(0);
    expect(await read(241, 1, 2)).toBe(1000);
    expect(await read(2, 1, 3)).toBeNull();
    // The vendor delivers late.
    expect(await read(200, 2, 4)).toBe(0);
    expect(await read(201, 1, 5)).toBe(198_000);
    // Nothing is on its way, so one reading says it.
    expect(await read(2, 1, 6)).toBeNull();
    expect(await read(201, 1, 7, false)).toBe(200_000);
    // Parked.
    expect(await read(900, 700, 8)).toBeNull();
  });

  it("is in the status once something was accepted", async () => {
    rig = await startTestQueue();
    expect((await rig.statusOf()).freshness).toBeNull();
    await rig.store([readingOf("v1", 30), readingOf("v2", 90)]);
    await rig.empty();
    // Worked out every quarter of a minute only; another process has not looked yet.
    const other = rig.another();
    await until(async () => (await other.readiness()).length === 0, { what: "the other process" });
    const [acme] = (await other.queryStatus()).destinations;
    expect(acme?.freshness).toMatchObject({ units: 2 });
    expect(acme?.freshness?.p50AgeMs).toBeGreaterThanOrEqual(30_000);
    expect(acme?.freshness?.maxAgeMs).toBeGreaterThanOrEqual(90_000);
    expect(acme?.freshness?.p50AgeMs).toBeLessThan(90_000);
  });
});
