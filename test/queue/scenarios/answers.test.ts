/** Answers that speak of single pings, or say too little: what was refused, left out, cannot be read, or was too large. */

import { afterEach, describe, expect, it } from "vitest";
import { type Api, everySuccess, startApi } from "../../support/api.ts";
import { readingOf, startTestQueue, type TestQueue } from "../../support/queue.ts";
import { until } from "../../support/wait.ts";

let rig: TestQueue;
let api: Api | undefined;
afterEach(async () => {
  await rig.close();
  await api?.stop();
  api = undefined;
});

const fleet = (n: number, prefix = "v") => Array.from({ length: n }, (_, i) => readingOf(`${prefix}${i}`, 1));
const deadLetters = async () => (await rig.queue.queryStatus()).deadLetters.recent;

describe("a ping answered Fail", () => {
  it("is dead-lettered with ServiceTitan's words; the others are delivered, nothing is sent again", async () => {
    rig = await startTestQueue({ destination: { lanes: 1 } });
    rig.sandbox.faults.set({ kind: "fail", match: { unitId: "v3" }, message: "Unit v3 is unknown." });
    await rig.store(fleet(10));
    expect(await rig.empty()).toMatchObject({ delivered: 9, deadLettered: 1 });
    expect(rig.sandbox.summary().requests).toBe(1);
    expect(await deadLetters()).toMatchObject([
      {
        destination: "acme",
        unit: "v3",
        reason: "failed",
        message: "Unit v3 is unknown.",
        externalId: expect.stringMatching(/^vans:v3:\d{13}$/),
      },
    ]);
    expect((await rig.statusOf()).deadLetters).toBe(1);
    expect(await rig.mismatches()).toEqual([]);
  });
});

describe("a ping left out of the answer", () => {
  it("is asked once more, alone, and delivered if it is answered then", async () => {
    rig = await startTestQueue({ destination: { lanes: 1 } });
    rig.sandbox.faults.set({ kind: "omit", match: { unitId: "v3" }, times: 1 });
    await rig.store(fleet(10));
    expect(await rig.empty()).toMatchObject({ delivered: 10, deadLettered: 0 });
    expect(rig.sandbox.requests().map(({ pings }) => pings)).toEqual([10, 1]);
    expect(await rig.mismatches()).toEqual([]);
  });

  it("again is dead-lettered as unconfirmed", async () => {
    rig = await startTestQueue({ destination: { lanes: 1 } });
    rig.sandbox.faults.set({ kind: "omit", match: { unitId: "v3" } });
    await rig.store(fleet(10));
    expect(await rig.empty()).toMatchObject({ delivered: 9, deadLettered: 1 });
    expect(await deadLetters()).toMatchObject([{ unit: "v3", reason: "unconfirmed" }]);
    expect(rig.sandbox.summary().requests).toBe(2);
  });

  it("is remembered as asked through a pause, and not asked a third time", async () => {
    const paused = { status: 429, body: { message: "Rate limit is exceeded. Try again in 1 seconds." } };
    const to = await startApi((pings) => {
      if (pings.length > 1) return everySuccess(pings.filter(({ unitId }) => unitId !== "v3"));
      return to.requests.some(({ status }) => status === 429) ? everySuccess([]) : paused;
    });
    api = to;
    rig = await startTestQueue({ apiUrl: to.url, destination: { lanes: 1 } });
    await rig.store(fleet(10));
    expect(await rig.empty()).toMatchObject({ delivered: 9, deadLettered: 1 });
    expect(to.requests.map(({ status, pings }) => [status, pings.length])).toEqual([
      [200, 10],
      [429, 1],
      [200, 1],
    ]);
    expect(await deadLetters()).toMatchObject([{ unit: "v3", reason: "unconfirmed" }]);
    expect(await rig.mismatches()).toEqual([]);
  });
});

describe("a 2xx that cannot be read", () => {
  it("is asked once more, about the same externalIds", async () => {
    let first = true;
    api = await startApi((pings) => {
      if (!first) return everySuccess(pings);
      first = false;
      return { status: 200, body: { surprise: true } };
    });
    rig = await startTestQueue({ apiUrl: api.url, destination: { lanes: 1 } });
    await rig.store(fleet(10));
    expect(await rig.empty()).toMatchObject({ delivered: 10 });
    expect(api.requests).toHaveLength(2);
    const [before, after] = api.requests.map(({ pings }) => pings.map(({ externalId }) => externalId));
    expect(after).toEqual(before);
    expect(await rig.mismatches()).toEqual([]);
  });

  it("twice in a row shuts the gate, and the pings wait (unreadable.test.ts)", async () => {
    rig = await startTestQueue({ destination: { lanes: 1 } });
    rig.sandbox.faults.set({ kind: "unreadable" });
    await rig.store(fleet(10));
    await until(async () => (await rig.statusOf()).gate.reason === "unreadable_answers", {
      what: "the gate",
    });
    expect(await rig.account()).toMatchObject({ deadLettered: 0 });
    rig.sandbox.faults.clear();
    expect(await rig.emptyInHaste()).toMatchObject({ delivered: 10, deadLettered: 0 });
    expect(await rig.mismatches()).toEqual([]);
  });
});

describe("a batch that is too large", () => {
  it("is halved until it fits, and the destination's lower cap is remembered", async () => {
    rig = await startTestQueue({ destination: { lanes: 1 } });
    rig.sandbox.faults.set({ kind: "byte_cap", bytes: 10_000 });
    await rig.store(fleet(100));
    expect(await rig.empty()).toMatchObject({ delivered: 100, deadLettered: 0 });
    const refused = rig.sandbox.summary().statuses["413"];
    expect(refused).toBeGreaterThan(0);
    await rig.store(fleet(100, "w"));
    await rig.empty();
    expect(rig.sandbox.summary().statuses["413"]).toBe(refused);
    expect(
      Math.max(
        ...rig.sandbox
          .requests()
          .slice(-3)
          .map(({ bytes }) => bytes),
      ),
    ).toBeLessThanOrEqual(10_000);
    expect(await rig.mismatches()).toEqual([]);
  });

  it("of one ping is dead-lettered", async () => {
    rig = await startTestQueue({ destination: { lanes: 1 } });
    rig.sandbox.faults.set({ kind: "byte_cap", bytes: 600 });
    const long = readingOf("x".repeat(120), 1);
    await rig.store([readingOf("a", 1), long, readingOf("b", 1)]);
    expect(await rig.empty()).toMatchObject({ delivered: 2, deadLettered: 1 });
    expect(await deadLetters()).toMatchObject([{ unit: long.deviceId, reason: "oversize" }]);
    expect(await rig.mismatches()).toEqual([]);
  });

  it("under way in another lane does not raise the cap again", async () => {
    rig = await startTestQueue({ destination: { lanes: 4 } });
    rig.sandbox.faults.set({ kind: "byte_cap", bytes: 5000 });
    await rig.store([...fleet(20), ...fleet(120, "w")]);
    await rig.empty();
    await rig.store(fleet(100, "y"));
    await rig.empty();
    const cap = Number(await rig.db.hget(`${rig.destination.keyPrefix}:dest:acme`, "byteCap"));
    const refused = rig.sandbox.requests().filter(({ status }) => status === 413);
    expect(cap).toBeLessThanOrEqual(Math.min(...refused.map(({ bytes }) => bytes)) / 2);
    expect(await rig.account()).toMatchObject({ delivered: 240, deadLettered: 0 });
  });

  it("on everything dead-letters nothing, and all is sent when it passes", async () => {
    rig = await startTestQueue({ destination: { lanes: 1 } });
    rig.sandbox.faults.set({ kind: "byte_cap", bytes: 10 });
    await rig.store(fleet(20));
    await until(async () => (await rig.statusOf()).gate.reason === "refused_everything", {
      what: "the block",
    });
    expect(await rig.account()).toMatchObject({ deadLettered: 0, stored: 20 });
    rig.sandbox.faults.set([]);
    expect(await rig.emptyInHaste()).toMatchObject({ delivered: 20, deadLettered: 0 });
    expect(await rig.mismatches()).toEqual([]);
  });

  it("is dropped by and by: what is accepted doubles a minute after it was learned", async () => {
    rig = await startTestQueue({ destination: { lanes: 1 } });
    const { db } = rig;
    const key = `${rig.destination.keyPrefix}:dest:acme`;
    const cap = async () => Number(await db.hget(key, "byteCap"));
    await db.hset(key, "byteCap", 20_000, "byteCapAt", Date.now() - 50_000);
    await rig.store(fleet(5));
    await rig.empty();
    expect(await cap()).toBe(20_000);
    for (const grown of [40_000, 0]) {
      await db.hset(key, "byteCapAt", Date.now() - 61_000);
      await rig.store(fleet(5, `g${grown}-`));
      await rig.empty();
      expect(await cap()).toBe(grown);
    }
  });
});
