/** The status is worked out once for all who ask, limited to what each may see, and a slow Redis is not called a dead one. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { OpsToken } from "../../src/config/ops-tokens.ts";
import { sightOf, type Topology } from "../../src/ops/access/sight.ts";
import { createSnapshots, type SnapshotDeps } from "../../src/ops/snapshot.ts";
import { SLOW_MS } from "../../src/ops/status-document.ts";
import type { QueueStatus } from "../../src/status/queue.ts";
import { AT, destination, healthy, source } from "./sample.ts";

const TOPOLOGY: Topology = {
  destinations: ["acme", "blue"],
  sources: new Map([
    ["vans", { destination: "acme", broker: null }],
    ["trucks", { destination: "blue", broker: null }],
  ]),
};
const STATUS = healthy({
  sources: [source({ name: "vans", destination: "acme" }), source({ name: "trucks", destination: "blue" })],
  destinations: [
    destination({ name: "acme" }),
    // So that there is a problem which the other tenant may not see.
    destination({ name: "blue", tenant: "2207", oldestWaitingAgeMs: 900_000 }),
  ],
});

const tokenOf = (destinations: string[] | null): OpsToken => ({
  ...{ name: "t", token: "x".repeat(24), role: "read", destinations },
});
const ALL = sightOf(tokenOf(null), TOPOLOGY);
const ACME = sightOf(tokenOf(["acme"]), TOPOLOGY);

function snapshotsOver(query: SnapshotDeps["queryStatus"], changes: Partial<SnapshotDeps> = {}) {
  const state = { asked: [] as (ReadonlySet<string> | undefined)[], failed: [] as string[], isStoring: true };
  const snapshots = createSnapshots({
    queryStatus(within) {
      state.asked.push(within);
      return query(within);
    },
    isStoring: () => state.isStoring,
    facts: async () => ({
      ...{ brokers: [], pollers: [], spool: null, clocks: [], incidents: [], mapping: null, processes: [] },
    }),
    info: { version: "1.0.0", startedAtMs: 0, policies: [] },
    failed: (error) => state.failed.push(error instanceof Error ? error.message : "?"),
    ...changes,
  });
  return { of: snapshots.of, state };
}

const kindsOf = ({ problems }: { problems: readonly { kind: string }[] }) => problems.map(({ kind }) => kind);

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe("an answer", () => {
  it("is shared by all who ask within a second, also while it is under way", async () => {
    const { of, state } = snapshotsOver(async () => STATUS);
    const [one, two] = await Promise.all([of(ALL), of(ALL)]);
    await vi.advanceTimersByTimeAsync(999);
    expect(await of(ALL)).toBe(one);
    expect(two).toBe(one);
    expect(state.asked).toEqual([undefined]);
    await vi.advanceTimersByTimeAsync(1);
    expect(await of(ALL)).not.toBe(one);
    expect(state.asked).toHaveLength(2);
  });

  it("that took long lasts fifty times as long", async () => {
    const { of, state } = snapshotsOver(async () => {
      await new Promise((resolve) => setTimeout(resolve, 25));
      return STATUS;
    });
    void of(ALL);
    await vi.advanceTimersByTimeAsync(25);
    // 50 × 25 ms from when it was asked for.
    await vi.advanceTimersByTimeAsync(1224);
    await of(ALL);
    expect(state.asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    void of(ALL);
    await vi.advanceTimersByTimeAsync(0);
    expect(state.asked).toHaveLength(2);
  });

  it("that took very long is still not older than a problem may be unknown", async () => {
    const { of, state } = snapshotsOver(async () => {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      return STATUS;
    });
    void of(ALL);
    await vi.advanceTimersByTimeAsync(1500);
    void of(ALL);
    await vi.advanceTimersByTimeAsync(0);
    expect(state.asked).toHaveLength(2);
  });

  it("of a limited token has its own alone, and is not that of another", async () => {
    const { of, state } = snapshotsOver(async () => STATUS);
    const [all, acme] = await Promise.all([of(ALL), of(ACME)]);
    expect(state.asked).toEqual([undefined, new Set(["acme"])]);
    if (!("sources" in all) || !("sources" in acme)) throw new Error("no status");
    expect(all.destinations.map(({ name }) => name)).toEqual(["acme", "blue"]);
    expect(JSON.stringify(all.problems)).toContain("blue");
    expect(acme.destinations.map(({ name }) => name)).toEqual(["acme"]);
    expect(acme.sources.map(({ name }) => name)).toEqual(["vans"]);
    expect(acme.totals.accounting.messages).toBe(acme.sources[0]?.accounting.messages);
    expect(JSON.stringify(acme)).not.toMatch(/blue|2207|trucks/);
  });

  it("that failed for a fault of ours is not kept", async () => {
    let fault: Error | null = new Error("a fault");
    const { of } = snapshotsOver(async () => STATUS, {
      facts: async () => {
        if (fault) throw fault;
        return {
          brokers: [],
          pollers: [],
          spool: null,
          clocks: [],
          incidents: [],
          mapping: null,
          processes: [],
        };
      },
    });
    await expect(of(ALL)).rejects.toThrow("a fault");
    fault = null;
    expect(await of(ALL)).toHaveProperty("sources");
  });
});

describe("a Redis that gives no answer", () => {
  const never = () => new Promise<QueueStatus>(() => {});

  /** Answers once, and then as it is told. */
  async function afterOne(then: () => Promise<QueueStatus>) {
    let isFirst = true;
    const over = snapshotsOver(async () => {
      if (!isFirst) return then();
      isFirst = false;
      return STATUS;
    });
    const first = await over.of(ALL);
    await vi.advanceTimersByTimeAsync(1000);
    return { ...over, first };
  }

  async function answerOf(of: ReturnType<typeof snapshotsOver>["of"]) {
    const answer = of(ALL);
    await vi.advanceTimersByTimeAsync(SLOW_MS);
    return answer;
  }

  it("is slow while storing goes on: what was known last is shown, with its time", async () => {
    const { of, state, first } = await afterOne(never);
    const answer = await answerOf(of);
    expect(kindsOf(answer)).toEqual(["redis_slow", ...kindsOf(first)]);
    expect(answer).toMatchObject({ at: AT, destinations: [{ name: "acme" }, { name: "blue" }] });
    expect(state.failed).toEqual([`no answer within ${SLOW_MS} ms`]);
  });

  it("is slow for a minute at most with what was known: then nothing is", async () => {
    const { of } = await afterOne(never);
    await vi.advanceTimersByTimeAsync(60_000);
    const answer = await answerOf(of);
    expect(kindsOf(answer)).toEqual(["redis_slow"]);
    expect(answer).not.toHaveProperty("sources");
  });

  it("is unreachable once storing fails, whatever was known", async () => {
    const { of, state } = await afterOne(async () => {
      throw new Error("connect ECONNREFUSED");
    });
    state.isStoring = false;
    const answer = await of(ALL);
    expect(kindsOf(answer)).toEqual(["redis_unreachable"]);
    expect(JSON.stringify(answer.problems)).toContain("ECONNREFUSED");
    expect(answer).not.toHaveProperty("sources");
  });

  it("shows a limited token no more than its own", async () => {
    let isFirst = true;
    const { of } = snapshotsOver(async () => {
      if (!isFirst) throw new Error("gone");
      isFirst = false;
      return STATUS;
    });
    await of(ALL);
    const answer = await of(ACME);
    expect(answer).not.toHaveProperty("sources");
    expect(JSON.stringify(answer)).not.toMatch(/blue|trucks/);
  });
});
