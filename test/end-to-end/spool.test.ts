/** Ends the gateway in the middle of a replay: the next start goes on where it was. */

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { startPrivateRedis } from "../../sandbox/redis.ts";
import { BEARER, startGatewayProcess } from "../support/gateway-process.ts";
import { scaled } from "../support/speed.ts";
import { until } from "../support/wait.ts";

vi.setConfig({ testTimeout: scaled(180_000) });

/** Many more than the fixes that are remembered of a device, so that what is replayed twice is kept and sent twice. */
const MESSAGES = 3000;
const AT_ONCE = 50;

let sandbox: SandboxApi;
/** Undone in reverse. */
let open: { stop(): Promise<void> }[] = [];
beforeEach(async () => {
  sandbox = await startSandboxApi({ record: "all" });
  open = [sandbox];
});
afterEach(async () => {
  for (const each of open.reverse()) await each.stop();
});

async function own<T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> {
  const started = await starting;
  open.push(started);
  return started;
}

test.each([
  { signal: "SIGTERM", repeats: 0 },
  // The message that was stored when its mark was not: known as a duplicate.
  { signal: "SIGKILL", repeats: 1 },
] as const)(
  "$signal in the middle of a replay: nothing is lost, at most $repeats of it taken again",
  async ({ signal, repeats }) => {
    const dir = mkdtempSync(join(tmpdir(), "waypost-spool-"));
    open.unshift({ stop: async () => rmSync(dir, { recursive: true, force: true }) });
    const redis = await own(startPrivateRedis());
    const gateway = await own(
      startGatewayProcess({
        redisUrl: redis.url,
        sandbox,
        destination: { maxAgeMs: 0, backfill: "deliver", ratePerSecond: 50, maxBatchAgeMs: 100 },
        sections: { spool: { dir } },
      }),
    );
    redis.kill("SIGKILL");
    await until(async () => (await fetch(`http://127.0.0.1:${gateway.opsPort}/readyz`)).status === 503, {
      what: "the outage to be noticed",
    });
    const sent: string[] = [];
    const startAt = Date.now() - MESSAGES;
    async function send(index: number): Promise<void> {
      const fixTime = startAt + index;
      const time = new Date(fixTime).toISOString();
      const answer = await fetch(gateway.webhook("vans"), {
        method: "POST",
        headers: { ...BEARER, "content-type": "application/json" },
        body: JSON.stringify({ deviceId: "van", latitude: 32.78, longitude: -96.8, time, speed: 10 }),
      });
      expect([answer.status, await answer.json()]).toEqual([200, { spooled: true }]);
      sent.push(`vans:van:${fixTime}`);
    }
    for (let i = 0; i < MESSAGES; i += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, (_, k) => send(i + k)));
    }
    await redis.restart();
    const replayed = await until(
      async () => {
        const { spool } = await gateway.status();
        return spool !== null && spool.replayed > 100 ? spool.replayed : null;
      },
      { what: "a part of them to be replayed" },
    );
    gateway.kill(signal);
    await until(gateway.ended, { what: "the gateway's end" });
    expect(readdirSync(dir).filter((name) => name.endsWith(".spool"))).toHaveLength(1);
    await gateway.start();
    await until(async () => (await gateway.status()).spool?.messages === 0, {
      withinMs: 60_000,
      what: "the rest to be replayed",
    });
    const status = await gateway.drained();
    expect(status.totals.identity).toEqual({ messages: 0, readings: 0, stored: 0 });
    // Repeated beyond what is remembered of a device, a message would be kept again.
    expect(status.totals.accounting.stored).toBe(MESSAGES);
    expect(status.totals.accounting.duplicates).toBeLessThanOrEqual(repeats);
    expect(status.spool?.replayed).toBeLessThanOrEqual(MESSAGES - replayed + repeats);
    const arrived = sandbox.pings().map(({ ping }) => ping.externalId);
    expect([...new Set(arrived)].sort()).toEqual([...sent].sort());
    // A batch under way is sent again after a kill.
    if (signal === "SIGTERM") expect(arrived).toHaveLength(MESSAGES);
    expect(readdirSync(dir)).toEqual(["lock"]);
  },
);
