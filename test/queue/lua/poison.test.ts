/** A batch that is refused: the poison ping is found and given up, everything else arrives; a destination that refuses everything loses nothing. */

import { afterEach, describe, expect, it, vi } from "vitest";
import { type Answer, type Api, everySuccess, type SentPing, startApi } from "../../support/api.ts";
import { readingOf, startTestQueue, type TestQueue } from "../../support/queue.ts";
import { scaled } from "../../support/speed.ts";
import { until } from "../../support/wait.ts";

vi.setConfig({ testTimeout: scaled(120_000), hookTimeout: scaled(120_000) });

let rig: TestQueue;
let api: Api | undefined;
afterEach(async () => {
  await rig.close();
  await api?.stop();
  api = undefined;
});

const fleet = (n: number, prefix = "v") => Array.from({ length: n }, (_, i) => readingOf(`${prefix}${i}`, 1));
const BAD: Answer = { status: 400, body: { title: "bad ping", traceId: "00-abc-01" } };
const BROKEN: Answer = { status: 500, body: { message: "boom" } };

function poison(units: readonly string[], answer: Answer) {
  return (pings: readonly SentPing[]): Answer =>
    pings.some(({ unitId }) => units.includes(unitId)) ? answer : everySuccess(pings);
}

async function lineTo(decide: (pings: SentPing[]) => Answer, lanes = 1): Promise<Api> {
  api = await startApi(decide);
  rig = await startTestQueue({ apiUrl: api.url, destination: { lanes } });
  return api;
}

const deadLetters = async () => (await rig.queue.queryStatus()).deadLetters.recent;

describe("one poison ping among a hundred", () => {
  it("is found in as many requests as the batch has bits, twice; the others arrive once", async () => {
    const to = await lineTo(poison(["v37"], BAD));
    await rig.store(fleet(100));
    expect(await rig.empty()).toMatchObject({ delivered: 99, deadLettered: 1 });
    const accepted = to.accepted().map(({ externalId }) => externalId);
    expect(new Set(accepted).size).toBe(99);
    expect(accepted).toHaveLength(99);
    // 1, 2 for each of the 7 levels, and the isolated ping's retest.
    expect(to.requests.length).toBeLessThanOrEqual(16);
    expect(await deadLetters()).toMatchObject([
      { unit: "v37", reason: "refused", message: expect.stringContaining("bad ping") },
    ]);
    expect(await rig.mismatches()).toEqual([]);
    expect((await rig.statusOf()).gate.state).toBe("open");
  });

  it("does not change the order of a unit's pings", async () => {
    const to = await lineTo(poison(["bad"], BAD));
    const way = Array.from({ length: 40 }, (_, i) => readingOf("a", 100 - i));
    await rig.store([...way.slice(0, 20), readingOf("bad", 85), ...way.slice(20)]);
    expect(await rig.empty()).toMatchObject({ delivered: 40, deadLettered: 1 });
    const times = to.accepted().map(({ eventTime }) => eventTime);
    expect(times).toEqual([...times].sort());
  });

  it("that makes the server answer 500 is found as well", async () => {
    const to = await lineTo(poison(["v3"], BROKEN));
    await rig.store(fleet(10));
    expect(await rig.empty(60_000)).toMatchObject({ delivered: 9, deadLettered: 1 });
    expect(new Set(to.accepted().map(({ unitId }) => unitId)).size).toBe(9);
    expect(await deadLetters()).toMatchObject([{ unit: "v3", reason: "refused" }]);
    expect(await rig.mismatches()).toEqual([]);
  });
});

describe("a destination that flaps", () => {
  /** Fresh pings until `unit` is accepted. */
  async function keepOnUntilAccepted(to: Api, unit: string) {
    const isThere = async () => {
      await rig.store([readingOf(`w${Date.now()}`, 1)]);
      return to.accepted().some(({ unitId }) => unitId === unit);
    };
    await until(isThere, { what: `${unit} to be accepted`, withinMs: 30_000 });
  }

  it("does not cost the ping it answered 500 twice alone, while it accepted another", async () => {
    let alone = 0;
    const to = await lineTo((pings) => {
      if (alone === 2 || !pings.some(({ unitId }) => unitId === "x")) return everySuccess(pings);
      if (pings.length === 1) alone++;
      return BROKEN;
    });
    await rig.store([readingOf("a", 1), readingOf("x", 1)]);
    await keepOnUntilAccepted(to, "x");
    const { stored, delivered } = await rig.empty();
    expect(delivered).toBe(stored);
    expect(await rig.mismatches()).toEqual([]);
  });

  it("costs no ping while it takes what it had answered 500", async () => {
    const seen = new Set<string>();
    let answered = 0;
    const to = await lineTo((pings) => {
      if (pings.some(({ unitId }) => unitId === "x")) {
        return answered++ < 9 ? BROKEN : everySuccess(pings);
      }
      const isFirst = pings.some(({ externalId }) => !seen.has(externalId));
      for (const { externalId } of pings) seen.add(externalId);
      return isFirst ? BROKEN : everySuccess(pings);
    }, 2);
    await rig.store([readingOf("a", 1), readingOf("x", 1)]);
    await keepOnUntilAccepted(to, "x");
    const { stored, delivered } = await rig.empty(60_000);
    expect(delivered).toBe(stored);
    expect(await rig.mismatches()).toEqual([]);
  });
});

describe("several poison pings", () => {
  it("in several lanes are all found", async () => {
    const bad = ["v3", "v4", "v50", "v99"];
    const to = await lineTo(poison(bad, BAD), 4);
    await rig.store(fleet(100));
    expect(await rig.empty(40_000)).toMatchObject({ delivered: 96, deadLettered: 4 });
    expect(new Set(to.accepted().map(({ unitId }) => unitId)).size).toBe(96);
    expect((await deadLetters()).map(({ unit }) => unit).sort()).toEqual([...bad].sort());
    expect(await rig.mismatches()).toEqual([]);
  });
});

describe("a poison ping that travels alone", () => {
  it("is dead-lettered when it was refused alone before and others were accepted since", async () => {
    await lineTo(poison(["bad"], BAD), 4);
    await rig.store([readingOf("bad", 1)]);
    await until(async () => (await rig.statusOf()).lastOutcome === "refused", { what: "the refusal" });
    expect(await rig.account()).toMatchObject({ deadLettered: 0 });
    // Thin evidence: others are held up for seconds, not for the quarter of a minute a broken destination waits.
    const isDone = async () => {
      await rig.store(fleet(4, `w${Date.now()}-`));
      return (await rig.account()).deadLettered === 1;
    };
    await until(isDone, { what: "the dead letter" });
    const { delivered, stored } = await rig.empty();
    expect(delivered).toBe(stored - 1);
    expect(await rig.mismatches()).toEqual([]);
  });
});

describe("a destination that refuses everything", () => {
  it.each([
    { what: "400", answer: BAD },
    { what: "422", answer: { ...BAD, status: 422 } },
  ])(
    "with $what loses nothing, is blocked, and gets everything when it is well again",
    async ({ answer }) => {
      const to = await lineTo(() => answer, 2);
      await rig.store(fleet(60));
      await until(async () => (await rig.statusOf()).gate.reason === "refused_everything", {
        what: "the block",
      });
      const { gate, scopeGate } = await rig.statusOf();
      expect(gate).toMatchObject({ state: "paused", reason: "refused_everything" });
      expect(scopeGate.reason).toBeNull();
      const requests = to.requests.length;
      // Both lanes may have been searching for the poison when the first of them gave up.
      expect(requests).toBeLessThanOrEqual(25);
      expect(
        rig.reported.some(
          ({ name, event }) => name === "gateChanged" && event.reason === "refused_everything",
        ),
      ).toBe(true);
      expect(await rig.account()).toMatchObject({ deadLettered: 0, delivered: 0, stored: 60 });
      expect(await rig.mismatches()).toEqual([]);
      to.answers(everySuccess);
      expect(await rig.emptyInHaste(60_000)).toMatchObject({ delivered: 60, deadLettered: 0 });
      expect((await rig.statusOf()).gate.state).not.toBe("paused");
      expect(await rig.mismatches()).toEqual([]);
    },
    90_000,
  );

  it("and is well again in the middle of the search costs no ping either", async () => {
    let isWell = false;
    await lineTo((pings) => {
      if (isWell) return everySuccess(pings);
      // The first ping to be refused alone is the last to be refused.
      isWell = pings.length === 1;
      return BAD;
    });
    await rig.store(fleet(20));
    expect(await rig.empty()).toMatchObject({ delivered: 20, deadLettered: 0 });
    expect(await rig.mismatches()).toEqual([]);
  });

  it("with 500 loses nothing and is probed every few seconds", async () => {
    const to = await lineTo(() => BROKEN, 2);
    await rig.store(fleet(20));
    await until(async () => (await rig.statusOf()).gate.reason === "refused_everything", {
      what: "the block",
      withinMs: 60_000,
    });
    expect(await rig.account()).toMatchObject({ deadLettered: 0, stored: 20 });
    to.answers(everySuccess);
    expect(await rig.empty(30_000)).toMatchObject({ delivered: 20, deadLettered: 0 });
    expect(await rig.mismatches()).toEqual([]);
  });

  it("does not hold up another destination of its scope", async () => {
    api = await startApi(() => BAD);
    rig = await startTestQueue({
      destination: { lanes: 1 },
      more: { beta: { lanes: 1 } },
      mapping: twoDestinations,
    });
    const acme = rig.destinations.get("acme");
    if (!acme) throw new Error("no acme");
    acme.target.apiUrl = api.url;
    const beta = rig.destinations.get("beta");
    if (!beta) throw new Error("no beta");
    beta.target = { ...acme.target, apiUrl: rig.sandbox.url };
    await rig.store(fleet(10, "a"));
    await until(async () => (await rig.statusOf("acme")).gate.reason === "refused_everything", {
      what: "the block",
    });
    await rig.store(fleet(10, "b"));
    await until(() => rig.sandbox.summary().accepted === 10, { what: "the other's pings" });
    expect(await rig.mismatches()).toEqual([]);
  });
});

function twoDestinations(_: string, device: string) {
  const unit = { unitId: device, unitName: device, technician: null };
  return [{ destination: device.startsWith("b") ? "beta" : "acme", unit }];
}
