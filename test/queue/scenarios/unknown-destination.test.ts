/** A rolling change of configuration: only some of the processes know a destination, and its pings wait for none of the others. */

import { afterEach, expect, it } from "vitest";
import { createJobs } from "../../../src/queue/batch/jobs.ts";
import { connectRedis } from "../../../src/queue/redis/redis.ts";
import { readingOf, startTestQueue, type TestQueue } from "../../support/queue.ts";
import { until } from "../../support/wait.ts";

let rig: TestQueue;
afterEach(() => rig.close());

/** Two processes with the configuration of before, beside the one that knows the destination `added`. */
async function halfChanged() {
  rig = await startTestQueue({
    more: { added: {} },
    moreSources: { "added-vans": { destination: "added" } },
  });
  const only = <T>(all: ReadonlyMap<string, T>, name: string) =>
    new Map([...all].filter(([each]) => each === name));
  const old = { destinations: only(rig.destinations, "acme"), sources: only(rig.sources, "vans") };
  const processes = [rig.another(old), rig.another(old)];
  for (const queue of processes) {
    await until(async () => (await queue.readiness()).length === 0, { what: "Redis" });
  }
  return processes;
}

it("jobs are left to a process that knows the destination, soon", async () => {
  await halfChanged();
  const keptAt = new Map<string, number>();
  for (let i = 0; i < 20; i++) {
    const device = `v${i}`;
    keptAt.set(device, Date.now());
    await rig.store([readingOf(device, 0)], "added-vans");
    await until(() => rig.sandbox.pings({ unitId: device }).length > 0, { what: `the ping of ${device}` });
  }
  const took = rig.sandbox
    .pings()
    .map(({ ping, acceptedAt }) => acceptedAt - (keptAt.get(ping.unitId) ?? 0))
    .sort((a, b) => a - b);
  expect(took).toHaveLength(20);
  // The age of a batch, and two seconds; on the way of before it was 5 to 11 s for those that met an old process.
  expect(took.at(-1)).toBeLessThan(3000);
  expect(await rig.empty()).toMatchObject({ delivered: 20 });
}, 60_000);

it("nothing is left behind when the old processes end, nor while many pings come at once", async () => {
  const processes = await halfChanged();
  const { destinations, sources } = rig;
  const many = (prefix: string) => Array.from({ length: 150 }, (_, i) => readingOf(`${prefix}${i}`, 0));
  await rig.store(many("first"), "added-vans");
  await rig.store(many("ours"));
  await Promise.all(processes.map((queue) => queue.close()));
  await rig.store(many("second"), "added-vans");
  expect(await rig.empty()).toMatchObject({ delivered: 450 });
  expect(await rig.mismatches()).toEqual([]);
  // All are new now.
  rig.another({ destinations, sources });
  await rig.store(many("third"), "added-vans");
  expect(await rig.empty()).toMatchObject({ delivered: 600 });
}, 60_000);

it("a job for a destination that no process knows comes back less and less often, and delays no other", async () => {
  rig = await startTestQueue();
  const calls: string[] = [];
  const redis = connectRedis({ url: rig.redis.url, commandTimeoutMs: 2000 }, "jobs");
  const jobs = createJobs({
    redis,
    prefix: "{unknown-jobs}",
    concurrency: 1,
    lockMs: 2000,
    stalledCheckMs: 1500,
    deliver: async ({ destination }) => {
      calls.push(destination);
      return destination === "known" ? "done" : "unknown_destination";
    },
    failed: () => {},
  });
  try {
    const startedAt = performance.now();
    await jobs.wake({ destination: "nobody's", lane: 0, batchId: "batch-1" });
    await until(() => calls.length >= 55, { what: "55 tries" });
    // Fifty soon, then after 40, 80, 160 and 320 ms at least.
    expect(performance.now() - startedAt).toBeGreaterThan(50 * 20 + 600);
    // Waking what is passed on changes nothing, as for any job that exists.
    await jobs.wake({ destination: "nobody's", lane: 0, batchId: "batch-1" });
    await jobs.wake({ destination: "known", lane: 0, batchId: "batch-2" });
    await until(() => calls.includes("known"), { what: "the other job" });
    expect(calls.length).toBeLessThan(61);
    expect(await jobs.counts()).toMatchObject({ delayed: 1, failed: 0 });
  } finally {
    await jobs.close();
    redis.disconnect();
  }
}, 60_000);
