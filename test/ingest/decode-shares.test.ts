/** What one source sends is decoded in its own share of the event loop; a clock of the test's own says how long each step takes. */

import { expect, test } from "vitest";
import { createShares } from "../../src/ingest/decode-shares.ts";

function loop() {
  let nowMs = 0;
  let turns: (() => void)[] = [];
  const told: string[] = [];
  const shares = createShares({
    usedUp: (source) => told.push(source),
    now: () => nowMs,
    nextTurn: (turn) => turns.push(turn),
  });
  /** So many steps, each of which takes so long. */
  function* work<Result>(steps: number, stepMs: number, result: Result): Generator<undefined, Result> {
    for (let step = 0; step < steps; step++) {
      nowMs += stepMs;
      if (step < steps - 1) yield;
    }
    return result;
  }
  return {
    shares,
    told,
    work,
    now: () => nowMs,
    pass: (ms: number) => {
      nowMs += ms;
    },
    /** One turn of the loop; how long it took. */
    turn() {
      const startedMs = nowMs;
      const due = turns;
      turns = [];
      for (const each of due) each();
      return nowMs - startedMs;
    },
    isIdle: () => turns.length === 0,
  };
}

/** Lets promises that are settled be heard. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("what is small is done at once, and its result given back as it is", () => {
  const { shares, work } = loop();
  expect(shares.run("vans", 100, work(1, 0.1, "read"))).toBe("read");
});

test("a long message is done in slices, and whoever is within its share comes between them", async () => {
  const { shares, work, turn, now } = loop();
  const order: string[] = [];
  const long = shares.run("mole", 2_000_000, work(400, 2, "long"));
  expect(long).toBeInstanceOf(Promise);
  void Promise.resolve(long).then(() => order.push("long"));
  let longestMs = now();
  for (let n = 0; n < 10; n++) {
    longestMs = Math.max(longestMs, turn());
    expect(shares.run("vans", 100, work(1, 0.1, n))).toBe(n);
  }
  expect(order).toEqual([]);
  // What it may have from within its share, from above it, and a step more than there is time for.
  expect(longestMs).toBeLessThanOrEqual(20 + 8 + 2 * 2);
  while (order.length === 0) {
    turn();
    await settle();
  }
});

test("many long messages of many sources take no longer in a turn than one", () => {
  const { shares, work, turn } = loop();
  for (let n = 0; n < 64; n++) void shares.run(`mole-${n % 8}`, 1000, work(100, 5, n));
  for (let n = 0; n < 200; n++) expect(turn()).toBeLessThanOrEqual(20 + 20 + 8 + 3 * 5);
});

test("sources over their share are served in turn", async () => {
  const { shares, work, turn } = loop();
  const done: string[] = [];
  for (const name of ["first", "second", "third"])
    for (let n = 0; n < 30; n++)
      void Promise.resolve(shares.run(name, 1000, work(10, 4, name))).then((source) =>
        done.push(source ?? ""),
      );
  while (done.length < 45) {
    turn();
    await settle();
  }
  const count = (name: string) => done.filter((each) => each === name).length;
  for (const name of ["first", "second", "third"]) expect(count(name)).toBeGreaterThan(10);
});

test("a source that is alone gets turn after turn, and in order", async () => {
  const { shares, work, turn, isIdle, now } = loop();
  const done: number[] = [];
  for (let n = 0; n < 200; n++)
    void Promise.resolve(shares.run("alone", 1000, work(1, 4, n))).then((each) => done.push(each ?? -1));
  while (!isIdle()) {
    turn();
    await settle();
  }
  expect(done).toEqual(Array.from({ length: 200 }, (_, n) => n));
  // No turn was left unused: it is the work's own time.
  expect(now()).toBe(800);
});

test("what a source used is forgotten in time", () => {
  const { shares, work, turn, pass } = loop();
  shares.charge("vans", 1000);
  turn();
  shares.charge("vans", 10);
  expect(shares.mayRead("vans")).toBe(false);
  pass(4000);
  expect(shares.mayRead("vans")).toBe(true);
  expect(shares.run("vans", 1, work(1, 1, "again"))).toBe("again");
});

test("while much of a source is on its way to storage, nothing more of it is begun", async () => {
  const { shares, work, turn } = loop();
  const stored = shares.storing("mole", 2_000_000);
  const next = shares.run("mole", 1000, work(1, 1, "next"));
  expect(next).toBeInstanceOf(Promise);
  turn();
  turn();
  expect(shares.run("vans", 1000, work(1, 1, "vans"))).toBe("vans");
  stored();
  turn();
  expect(await next).toBe("next");
});

test("what waits is bounded in bytes for each source, and what is turned away is told", () => {
  const { shares, work, told } = loop();
  const taken = Array.from({ length: 40 }, (_, n) => shares.run("mole", 2_000_000, work(100, 10, n)));
  expect(taken.filter((each) => each === null).length).toBe(40 - 15);
  expect(new Set(told)).toEqual(new Set(["mole"]));
  expect(shares.run("vans", 2_000_000, work(1, 1, "vans"))).not.toBeNull();
});

test("a source that waited for long is told", () => {
  const { shares, work, told, turn } = loop();
  for (let n = 0; n < 4; n++) void shares.run("mole", 1000, work(100, 4, n));
  for (let n = 0; n < 300; n++) turn();
  expect(told).toContain("mole");
});

test("what goes wrong in a later slice is its caller's to handle, and the next one is not held up", async () => {
  const { shares, work, turn } = loop();
  function* broken(): Generator<undefined, string> {
    yield* work(100, 4, "");
    throw new Error("a bug");
  }
  const first = shares.run("vans", 1000, broken());
  const second = shares.run("vans", 1000, work(1, 1, "second"));
  const failed = expect(first).rejects.toThrow("a bug");
  for (let n = 0; n < 100; n++) turn();
  await failed;
  expect(await second).toBe("second");
});
