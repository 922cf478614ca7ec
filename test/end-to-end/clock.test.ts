/** Puts the gateway's clock wrong while it runs: what is sent stays right, and a clock that cannot date fixes is reported. */

import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { startSandboxApi } from "../../sandbox/api.ts";
import { startPrivateRedis } from "../../sandbox/redis.ts";
import { because } from "../support/because.ts";
import { BEARER, startGatewayProcess } from "../support/gateway-process.ts";
import { scaled } from "../support/speed.ts";
import { until } from "../support/wait.ts";

vi.setConfig({ testTimeout: scaled(180_000) });

/** Where Debian's package libfaketime puts it; null: not installed. */
function findFaketime(): string | null {
  const triplets = existsSync("/usr/lib") ? readdirSync("/usr/lib") : [];
  const paths = triplets.map((triplet) => join("/usr/lib", triplet, "faketime/libfaketimeMT.so.1"));
  return paths.find((path) => existsSync(path)) ?? null;
}

const library = findFaketime();
const missing = library === null ? "libfaketime is not installed (apt-get install faketime)" : null;

test.skipIf(missing !== null)(
  `a clock that jumps by minutes, and by an hour${because(missing)}`,
  async () => {
    const dir = mkdtempSync(join(tmpdir(), "waypost-clock-"));
    const file = join(dir, "offset");
    const setClock = (offset: string) => writeFileSync(file, `${offset}\n`);
    setClock("+0");
    const redis = await startPrivateRedis();
    const sandbox = await startSandboxApi({ record: "all" });
    const gateway = await startGatewayProcess({
      redisUrl: redis.url,
      sandbox,
      destination: { ratePerSecond: 5, maxBatchAgeMs: 100 },
      env: {
        LD_PRELOAD: library ?? "",
        FAKETIME_TIMESTAMP_FILE: file,
        FAKETIME_NO_CACHE: "1",
        // Timers go by the monotonic clock, and no time server ever sets that.
        FAKETIME_DONT_FAKE_MONOTONIC: "1",
      },
    });
    const isReady = async () => (await fetch(`http://127.0.0.1:${gateway.opsPort}/readyz`)).ok;
    const known = new Map<string, number>();

    async function send(deviceId: string, count = 1) {
      const readings = Array.from({ length: count }, (_, i) => {
        const fixTime = Date.now() - i;
        known.set(`vans:${deviceId}-${i}:${fixTime}`, fixTime);
        return {
          deviceId: `${deviceId}-${i}`,
          latitude: 32.78,
          longitude: -96.8,
          time: new Date(fixTime).toISOString(),
          speed: 10,
        };
      });
      const answer = await fetch(gateway.webhook("vans"), {
        method: "POST",
        headers: { ...BEARER, "content-type": "application/json" },
        body: JSON.stringify(readings),
      });
      expect(answer.status).toBe(200);
      const { stored, rejected }: { stored: number; rejected: unknown[] } = JSON.parse(await answer.text());
      return { stored, rejected };
    }

    try {
      expect(await send("before")).toMatchObject({ stored: 1 });
      await gateway.drained();

      // Ahead: fixes look five minutes old, which is young enough; they are sent with their own times, at the same rate.
      setClock("+5m");
      expect(await send("ahead", 1000)).toMatchObject({ stored: 1000 });
      await gateway.drained();
      await until(async () => !(await isReady()), { what: "not ready, ahead" });
      expect((await gateway.status()).redis.problems.join()).toContain("about 5 min ahead of that of Redis");

      // Behind: fixes seem to come from the future and are turned down by name. Nobody should send here: it is not ready.
      setClock("-5m");
      await until(async () => (await gateway.status()).redis.problems.join().includes("behind"), {
        what: "word of it",
      });
      expect(await isReady()).toBe(false);
      const { stored, rejected } = await send("behind");
      expect({ stored, rejected }).toMatchObject({ stored: 0, rejected: [{ reason: "in_future" }] });

      setClock("+0");
      await until(isReady, { what: "ready again" });
      expect(await send("after")).toMatchObject({ stored: 1 });
      await gateway.drained();

      // Far ahead: by its own clock everything kept is too old by now. What others have kept is not its to let go.
      sandbox.faults.set({ kind: "status", status: 503 });
      expect(await send("kept before the jump", 20)).toMatchObject({ stored: 20 });
      const refused = () => sandbox.requests().some((request) => request.status === 503);
      await until(refused, { what: "a refusal" });
      setClock("+1h");
      await until(async () => !(await isReady()), { what: "not ready, far ahead" });
      sandbox.faults.clear();
      const { totals } = await gateway.drained();
      expect(totals.identity).toEqual({ messages: 0, readings: 0, stored: 0 });
      expect(totals.accounting).toMatchObject({ stored: 1022, delivered: 1022, rejected: 1, expired: 0 });
      for (const { ping } of sandbox.pings()) {
        expect(Date.parse(ping.eventTime)).toBe(known.get(ping.externalId));
      }
      expect(sandbox.summary().maxPerSecond).toBeLessThanOrEqual(5);
    } finally {
      await gateway.stop();
      await sandbox.stop();
      await redis.stop();
      rmSync(dir, { recursive: true, force: true });
    }
  },
);
