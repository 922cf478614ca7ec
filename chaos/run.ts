/** One run: traffic without end, one fault after the other, and at the end the whole history for the judge. */

import { setTimeout as pause } from "node:timers/promises";
import type { Random } from "../sandbox/random.ts";
import { createRandom } from "../sandbox/random.ts";
import { until } from "../test/support/wait.ts";
import type { Fault } from "./fault.ts";
import type { Episode, History } from "./history.ts";
import { type Gateway, RATE_PER_SECOND, REQUEST_TIMEOUT_MS, type Stage, startStage } from "./stage.ts";

export interface RunOptions {
  seed: string;
  /** How long faults are injected; there is at least one. */
  forMs: number;
  /** Ends earlier when each fault has been injected this many times. */
  rounds?: number;
  faults: readonly Fault[];
  /** `short`: long faults last 3 s instead of 10 s and more. */
  lengths: "short" | "full";
  appendfsync?: "everysec" | "always";
  /** Default: what the design promises after every fault. */
  recoverWithinMs?: number;
  report?(line: string): void;
}

const RECOVER_WITHIN_MS = 5000;
/** A run waits no longer for one recovery; by then the judge has its violation. */
const GIVE_UP_MS = 30_000;
const REST_MS = [300, 1200] as const;
const HOLD_MS = [400, 3000] as const;
/** Longer than locks and leases last, and longer than senders wait. */
const LONG_HOLD_MS = { short: [3000, 3000], full: [10_000, 15_000] } as const;
const DRAIN_WITHIN_MS = 120_000;
/** The gateway that had the last fault has its own counts a moment later. */
const SETTLE_WITHIN_MS = 10_000;

export async function run(options: RunOptions): Promise<History> {
  const random = createRandom(options.seed);
  const stage = await startStage({ random, appendfsync: options.appendfsync ?? "everysec" });
  const report = options.report ?? (() => {});
  try {
    const episodes: Episode[] = [];
    const endAt = Date.now() + options.forMs;
    await untilEveryUnitArrives(stage, Date.now());
    const most = (options.rounds ?? Number.POSITIVE_INFINITY) * options.faults.length;
    for (const fault of deck(options.faults, random.fork("deck"))) {
      if (episodes.length > 0 && (Date.now() > endAt || episodes.length >= most)) break;
      const turn = random.fork(`turn ${episodes.length}`);
      await pause(turn.between(...REST_MS));
      const episode = await strike(fault, stage, turn, options.lengths, episodes);
      const recovered = await untilEveryUnitArrives(stage, episode.recoverFrom);
      const seconds = ((episode.healedAt - episode.injectedAt) / 1000).toFixed(1);
      report(`${fault.name} for ${seconds} s${recovered ? "" : ": of some unit nothing arrives"}`);
    }
    await stage.generator.stop();
    const drained = await untilDrained(stage);
    await stage.readDeadLetters();
    stage.observed.update();
    const endedAt = Date.now();
    const last = episodes.at(-1);
    if (last) last.endedAt = endedAt;
    const { statuses } = stage.sandbox.summary();
    return {
      ratePerSecond: RATE_PER_SECOND,
      recoverWithinMs: options.recoverWithinMs ?? RECOVER_WITHIN_MS,
      requestTimeoutMs: REQUEST_TIMEOUT_MS,
      issued: stage.generator.issued,
      accepted: stage.observed.accepted,
      arrivals: stage.observed.arrivals,
      episodes,
      exempt: stage.exempt,
      exchanges: stage.exchanges,
      doomed: stage.doomed,
      dead: [...stage.dead.values()],
      visitors: stage.generator.visitors,
      spooled: stage.generator.spooled(),
      refusals: Object.entries(statuses).reduce(
        (sum, [status, count]) => (status === "none" || Number(status) >= 400 ? sum + count : sum),
        0,
      ),
      mismatches: [
        ...(drained ? [] : ["pings wait although all is healed"]),
        ...turnedAway(stage),
        ...(await accountingMismatches(stage)),
      ],
    };
  } finally {
    await stage.stop();
  }
}

async function strike(
  fault: Fault,
  stage: Stage,
  random: Random,
  lengths: RunOptions["lengths"],
  episodes: Episode[],
): Promise<Episode> {
  const [victim] = random.chance(0.5) ? stage.gateways : [stage.gateways[1]];
  const [least, most] = fault.long ? LONG_HOLD_MS[lengths] : HOLD_MS;
  const holdMs = random.between(least, most);
  // Read now, because the fault may empty Redis.
  await stage.readDeadLetters();
  const injectedAt = Date.now();
  const before = episodes.at(-1);
  if (before) before.endedAt = injectedAt;
  const episode: Episode = {
    name: fault.name,
    injectedAt,
    healedAt: Number.POSITIVE_INFINITY,
    endedAt: Number.POSITIVE_INFINITY,
    recoverFrom: Number.POSITIVE_INFINITY,
    allowanceMs: fault.allowanceMs ?? 0,
    heldBack: fault.heldBack ?? 0,
    unsettledAtMost: fault.unsettledAtMost,
    unsettledUntil: Number.POSITIVE_INFINITY,
    killed: fault.kills ?? false,
    storageAway: fault.storageAway ?? false,
  };
  episodes.push(episode);
  const turn = { victim, random };
  await fault.inject(stage, turn);
  const injected = Date.now();
  await pause(holdMs);
  await fault.heal(stage, turn);
  episode.healedAt = Date.now();
  episode.unsettledUntil = fault.kills ? injected : episode.healedAt;
  episode.recoverFrom = fault.recoverFrom === "injection" ? injected : episode.healedAt;
  return episode;
}

/** Every fault once before any comes again, in another order each time. */
function* deck(faults: readonly Fault[], random: Random): Generator<Fault> {
  for (;;) {
    const rest = [...faults];
    while (rest.length > 0) yield* rest.splice(random.integer(0, rest.length - 1), 1);
  }
}

/** False: of some unit nothing arrived for too long. */
async function untilEveryUnitArrives({ generator, observed }: Stage, since: number): Promise<boolean> {
  const deadline = Date.now() + GIVE_UP_MS;
  while (generator.units.some((unit) => observed.newestOf(unit) < since)) {
    if (Date.now() > deadline) return false;
    await pause(20);
  }
  return true;
}

async function untilDrained({ gateways }: Stage): Promise<boolean> {
  try {
    await until(
      async () => {
        const all = await Promise.all(gateways.map(({ process }) => process.status()));
        return all.every(({ spool }) => spool?.messages === 0);
      },
      { withinMs: DRAIN_WITHIN_MS, what: "empty spools" },
    );
    await gateways[0].process.drained(DRAIN_WITHIN_MS);
    return true;
  } catch {
    return false;
  }
}

/** While one process knows a source, the others ask its senders to come again. */
function turnedAway({ generator }: Stage): string[] {
  const count = generator.turnedAway();
  return count === 0 ? [] : [`${count} messages were answered 404`];
}

/** The mismatches of each gateway's accounting, once nothing moves any more. */
async function accountingMismatches({ gateways }: Stage): Promise<string[]> {
  const deadline = Date.now() + SETTLE_WITHIN_MS;
  for (;;) {
    const mismatches = (await Promise.all(gateways.map(mismatchesOf))).flat();
    if (mismatches.length === 0 || Date.now() > deadline) return [...new Set(mismatches)];
    await pause(200);
  }
}

async function mismatchesOf({ process }: Gateway): Promise<string[]> {
  try {
    const { sources } = await process.status();
    return sources.flatMap(({ name, identity, accounting }) =>
      Object.values(identity).some((difference) => difference !== 0)
        ? [`${name}: ${JSON.stringify(identity)} in ${JSON.stringify(accounting)}`]
        : [],
    );
  } catch (error) {
    return [`a gateway does not answer: ${String(error)}; it is ${process.ended() ?? "running"}`];
  }
}
