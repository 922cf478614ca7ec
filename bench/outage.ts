/** Plays an outage of ServiceTitan against a fleet that goes on reporting, and measures the result. */

import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { startSandboxApi } from "../sandbox/api.ts";
import type { FaultInput } from "../sandbox/faults.ts";
import type { AcceptedPing } from "../sandbox/recorder.ts";
import { startPrivateRedis } from "../sandbox/redis.ts";
import type { DestinationStatus } from "../src/status/queue.ts";
import { type GatewayProcess, startGatewayProcess, TOKEN } from "../test/support/gateway-process.ts";
import { until } from "../test/support/wait.ts";
import { type Child, startChild } from "./child.ts";
import type { Fleet } from "./fleet.ts";

export const OUTAGES = ["503", "reset", "hang"] as const;
export type OutageKind = (typeof OUTAGES)[number];

export interface OutageSettings {
  kind: OutageKind;
  units: number;
  /** Between two positions of a unit. */
  everyMs: number;
  warmUpMs: number;
  outageMs: number;
  ratePerSecond: number;
  backfill: "drop" | "deliver";
  maxAgeMs: number;
  /** Gets a line about what is going on. */
  progress(line: string): void;
}

/** Milliseconds after the end of the outage. */
interface Spread {
  p50: number;
  p95: number;
  max: number;
}

export interface OutageFigures {
  backfill: "drop" | "deliver";
  outageS: number;
  /** Positions that waited when the outage ended. */
  backlog: number;
  /** From the end of the outage until a unit's newest position of that moment, or a newer one, was accepted. */
  newestAcceptedMs: Spread;
  /** Units whose newest position never came; must be 0. */
  unitsMissing: number;
  /** From the end of the outage until nothing older than a few seconds waited any more. */
  caughtUpMs: number;
  /** Accepted after a newer one of the same unit. */
  history: number;
  /** Among the history of one unit: an older one after a newer one; must be 0. */
  historyOutOfOrder: number;
  superseded: number;
  expired: number;
  /** The oldest position that was accepted, and the limit; positions beyond it must be 0. */
  oldestAcceptedAgeMs: number;
  expiredButSent: number;
  requestsDuringOutage: number;
  maxRequestsPerSecond: number;
  /** Longest stall of the sandbox: after a long one it counts several arrivals at once. */
  receiverStallMs: number;
  redisBytes: { before: number; most: number };
  /** Answered 200 and neither delivered nor counted as given up; must be 0. */
  lost: number;
  accountingMismatches: number;
}

const FAULTS: Record<OutageKind, FaultInput[]> = {
  "503": [{ kind: "status", status: 503 }, { kind: "token_down" }],
  reset: [{ kind: "reset" }, { kind: "token_down" }],
  hang: [{ kind: "hang" }, { kind: "token_down" }],
};
const SAMPLE_EVERY_MS = 1000;
/** A request may leave this long after the age was checked, and then has to arrive. */
const ON_THE_WAY_MS = 1000;
/** A position that waits longer than this does not just wait for its batch. */
const BEHIND_MS = 5000;
/** History needs as long as the spare rate allows; a drill that hangs has to end. */
const CATCH_UP_WITHIN_MS = 1_800_000;

export async function playOutage(settings: OutageSettings): Promise<OutageFigures> {
  const stalls = monitorEventLoopDelay({ resolution: 5 });
  stalls.enable();
  const redis = await startPrivateRedis();
  const sandbox = await startSandboxApi({ record: "all" });
  let gateway: GatewayProcess | null = null;
  let fleet: Child<Fleet> | null = null;
  try {
    const { ratePerSecond, backfill, maxAgeMs, warmUpMs, outageMs, progress } = settings;
    gateway = await startGatewayProcess({
      redisUrl: redis.url,
      sandbox,
      destination: { ratePerSecond, backfill, maxAgeMs },
    });
    const { status } = gateway;
    fleet = await startChild<Fleet>("fleet.ts");
    const { units, everyMs } = settings;
    await fleet.call("start", { url: gateway.webhook("vans"), token: TOKEN, units, everyMs });
    await pause(warmUpMs);
    const before = await observe(status);

    sandbox.faults.set(FAULTS[settings.kind]);
    const requestsBefore = sandbox.summary().requests;
    const outageEnd = performance.now() + outageMs;
    let most = before.redisBytes;
    for (let left = outageMs; left > 0; left = outageEnd - performance.now()) {
      await pause(Math.min(left, SAMPLE_EVERY_MS));
      const { redisBytes, destination } = await observe(status);
      most = Math.max(most, redisBytes);
      progress(
        `outage, ${Math.max(0, Math.round((outageEnd - performance.now()) / 1000))} s left: ${destination.waiting} positions wait, Redis uses ${redisBytes} bytes`,
      );
    }
    const requestsDuringOutage = sandbox.summary().requests - requestsBefore;

    const backlog = (await observe(status)).destination.waiting;
    const newest = new Map(await fleet.call("newest"));
    sandbox.faults.clear();
    const endedAt = Date.now();
    await until(
      async () => {
        await pause(SAMPLE_EVERY_MS / 4);
        const { redisBytes, destination } = await observe(status);
        most = Math.max(most, redisBytes);
        progress(
          `${((Date.now() - endedAt) / 1000).toFixed(1)} s after the outage: ${destination.waiting} positions wait`,
        );
        return (destination.oldestWaitingAgeMs ?? 0) < BEHIND_MS;
      },
      { withinMs: CATCH_UP_WITHIN_MS, what: "the backlog to be gone" },
    );
    const caughtUpMs = Date.now() - endedAt;
    const owed = await fleet.call("end");
    const after = await gateway.drained(CATCH_UP_WITHIN_MS);
    const receiverStallMs = Math.round(stalls.max / 1e6);
    stalls.disable();

    const accepted = sandbox.pings();
    const waits = waitsOf(newest, accepted, endedAt);
    const ages = accepted.map(({ ping, acceptedAt }) => acceptedAt - Date.parse(ping.eventTime));
    const { superseded, expired, delivered, stored, deadLettered, dropped } = after.totals.accounting;
    const ids = new Set(accepted.map(({ ping }) => ping.externalId));
    const gaveUp = superseded + expired + deadLettered + dropped;
    return {
      backfill,
      outageS: outageMs / 1000,
      backlog,
      newestAcceptedMs: spreadOf([...waits.values()]),
      unitsMissing: newest.size - waits.size,
      caughtUpMs,
      ...historyOf(accepted),
      superseded,
      expired,
      oldestAcceptedAgeMs: ages.reduce((oldest, age) => Math.max(oldest, age), 0),
      expiredButSent: ages.filter((age) => age > maxAgeMs + ON_THE_WAY_MS).length,
      requestsDuringOutage,
      maxRequestsPerSecond: sandbox.summary().maxPerSecond,
      receiverStallMs,
      redisBytes: { before: before.redisBytes, most },
      lost: Math.max(0, owed.filter((id) => !ids.has(id)).length - gaveUp) + (stored - delivered - gaveUp),
      accountingMismatches: Object.values(after.totals.identity).filter((difference) => difference !== 0)
        .length,
    };
  } finally {
    await fleet?.stop();
    await gateway?.stop();
    await sandbox.stop();
    await redis.stop();
  }
}

async function observe(
  status: GatewayProcess["status"],
): Promise<{ destination: DestinationStatus; redisBytes: number }> {
  const { destinations, redis } = await status();
  const [destination] = destinations;
  if (!destination) throw new Error("the gateway reports no destination");
  return { destination, redisBytes: redis.usedMemoryBytes ?? 0 };
}

/** Per unit: how long after the outage its newest position of then, or a newer one, was accepted. */
function waitsOf(
  newest: ReadonlyMap<string, number>,
  accepted: readonly AcceptedPing[],
  endedAt: number,
): Map<string, number> {
  const waits = new Map<string, number>();
  for (const { ping, acceptedAt } of accepted) {
    const wanted = newest.get(ping.unitId);
    if (wanted === undefined || waits.has(ping.unitId) || Date.parse(ping.eventTime) < wanted) continue;
    // One that was accepted before the outage, by a unit that has sent nothing since.
    waits.set(ping.unitId, Math.max(0, acceptedAt - endedAt));
  }
  return waits;
}

function historyOf(accepted: readonly AcceptedPing[]): { history: number; historyOutOfOrder: number } {
  const newest = new Map<string, number>();
  const lastOfHistory = new Map<string, number>();
  let history = 0;
  let historyOutOfOrder = 0;
  for (const { ping } of accepted) {
    const at = Date.parse(ping.eventTime);
    if (at > (newest.get(ping.unitId) ?? 0)) {
      newest.set(ping.unitId, at);
      continue;
    }
    history += 1;
    if (at < (lastOfHistory.get(ping.unitId) ?? 0)) historyOutOfOrder += 1;
    lastOfHistory.set(ping.unitId, at);
  }
  return { history, historyOutOfOrder };
}

function spreadOf(values: number[]): Spread {
  const sorted = values.sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { p50: at(0.5), p95: at(0.95), max: at(1) };
}
