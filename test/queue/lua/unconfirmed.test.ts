/** 2xx answers that say nothing of any ping: a condition of the destination where all do, a ping's fault where one does. */

import { afterEach, describe, expect, it } from "vitest";
import { diagnose } from "../../../src/ops/diagnose/index.ts";
import { type Api, everySuccess, type SentPing, startApi } from "../../support/api.ts";
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
const gateReason = async () => (await rig.statusOf()).gate.reason;
const unreadable = { status: 200, body: { surprise: true } };

async function endPause(): Promise<void> {
  const gate = `${rig.destination.keyPrefix}:gate:acme`;
  if ((await rig.db.hget(gate, "state")) === "paused") await rig.db.hset(gate, "until", Date.now());
}

async function problems() {
  const queue = await rig.queue.queryStatus();
  return diagnose({ queue, brokers: [], pollers: [], clocks: [] });
}

describe("where all answers are unreadable", () => {
  it("nothing is dead-lettered for as long as it lasts, the problem names it, and all is delivered after", async () => {
    rig = await startTestQueue();
    rig.sandbox.faults.set({ kind: "unreadable" });
    await rig.store(fleet(60));
    await until(async () => (await gateReason()) === "unreadable_answers", { what: "the gate" });
    expect(await problems()).toContainEqual(
      expect.objectContaining({
        severity: "error",
        where: "destination acme",
        what: expect.stringMatching(/2xx/),
      }),
    );
    // Pauses are ended at once: as many probes as a whole outage has.
    const probed = rig.sandbox.summary().requests + 6;
    await until(
      async () => {
        await endPause();
        return rig.sandbox.summary().requests >= probed;
      },
      { withinMs: 90_000, what: "six probes" },
    );
    expect(await rig.account()).toMatchObject({ stored: 60, deadLettered: 0, delivered: 0 });
    rig.sandbox.faults.clear();
    expect(await rig.emptyInHaste()).toMatchObject({ delivered: 60, deadLettered: 0, superseded: 0 });
    expect(await rig.mismatches()).toEqual([]);
    expect((await rig.statusOf()).gate.state).not.toBe("paused");
  }, 120_000);

  it.each([{ body: [] }, { body: "<html>All is well.</html>" }, { body: null }, { body: [{ other: 1 }] }])(
    "the same with $body, and for a fleet of one",
    async ({ body }) => {
      let well = false;
      const to = await startApi((pings) => (well ? everySuccess(pings) : { status: 200, body }));
      api = to;
      rig = await startTestQueue({ apiUrl: to.url, destination: { lanes: 1 } });
      await rig.store(fleet(1));
      await until(async () => (await gateReason()) === "unreadable_answers", { what: "the gate" });
      await until(async () => endPause().then(() => to.requests.length >= 6), { what: "probes" });
      expect(await rig.account()).toMatchObject({ stored: 1, deadLettered: 0 });
      well = true;
      expect(await rig.emptyInHaste()).toMatchObject({ delivered: 1, deadLettered: 0 });
    },
    120_000,
  );

  it("what was confirmed while it began does not make it the pings' fault", async () => {
    let well = true;
    const slow: (() => void)[] = [];
    const to = await startApi(async (pings) => {
      if (pings.some(({ unitId }) => unitId === "slow")) {
        // Left while all was well, and is answered after the first unreadable answer.
        await new Promise<void>((resolve) => slow.push(resolve));
        return everySuccess(pings);
      }
      if (well) return everySuccess(pings);
      slow.splice(0).forEach((answer) => {
        answer();
      });
      return unreadable;
    });
    api = to;
    rig = await startTestQueue({ apiUrl: to.url, destination: { lanes: 4 } });
    await rig.store([readingOf("slow", 1)]);
    await until(() => slow.length === 1, { what: "a request under way" });
    well = false;
    await rig.store(fleet(40));
    await until(async () => (await gateReason()) === "unreadable_answers", { what: "the gate" });
    well = true;
    expect(await rig.emptyInHaste()).toMatchObject({ delivered: 41, deadLettered: 0 });
  }, 120_000);
});

describe("where one ping is never confirmed", () => {
  it("it is given up once others are confirmed between its two answers, alone in its batches or not", async () => {
    const odd = (pings: readonly SentPing[]) => pings.length === 1 && pings[0]?.unitId === "odd";
    const to = await startApi((pings) =>
      odd(pings) ? unreadable : everySuccess(pings.filter(({ unitId }) => unitId !== "odd")),
    );
    api = to;
    rig = await startTestQueue({ apiUrl: to.url, destination: { lanes: 4, maxBatchPings: 1 } });
    await rig.store([readingOf("odd", 1)]);
    let round = 0;
    await until(
      async () => {
        const { waiting, deadLettered } = await rig.account();
        // As others come in: more than the rate lets out would still be waiting long after.
        if (waiting < 8) await rig.store(fleet(4, `r${round++}-`));
        await endPause();
        return deadLettered === 1;
      },
      { withinMs: 90_000, what: "the dead letter" },
    );
    // At once: it is over when others have been accepted for a while.
    expect(await problems()).toContainEqual(
      expect.objectContaining({
        where: "dead letters",
        what: expect.stringContaining("unconfirmed"),
        doNext: expect.stringContaining("redrive"),
      }),
    );
    const account = await rig.emptyInHaste();
    expect(account).toMatchObject({ deadLettered: 1, delivered: account.stored - 1 });
    const { recent } = (await rig.queue.queryStatus()).deadLetters;
    expect(recent).toMatchObject([{ unit: "odd", reason: "unconfirmed" }]);
    expect(await rig.mismatches()).toEqual([]);
  }, 120_000);
});
