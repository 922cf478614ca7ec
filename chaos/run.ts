/** One run: traffic without end, one fault after the other, and at last the whole story for the judge. */

import { setTimeout as pause } from "node:timers/promises";
import type { Random } from "../sandbox/random.ts";
import { createRandom } from "../sandbox/random.ts";
import { until } from "../test/support/wait.ts";
import type { Fault } from "./fault.ts";
import type { Episode, History } from "./history.ts";
import { type Gateway, RATE_PER_SECOND, REQUEST_TIMEOUT_MS, type Stage, startStage } from "./stage.ts";

export interface RunOptions {
  seed: string;
  /** How long faults go on; at least one is injected. */
  forMs: number;
  /** Ends earlier when each fault has been injected so many times. */
  rounds?: number;
  faults: readonly Fault[];
  /** `short`: what lasts long lasts 3 s instead of 10 and more. */
  lengths: "short" | "full";
  appendfsync?: "everysec" | "always";
  /** Default: what the design promises after every fault. */
  recoverWithinMs?: number;
  told?(line: string): void;
}

const RECOVER_WITHIN_MS = 5000;
/** Nobody waits longer for one fault's end; the judge has it by then. */
const GIVE_UP_MS = 30_000;
const REST_MS = [300, 1200] as const;
const HOLD_MS = [400, 3000] as const;
/** Longer than lock and lease, and longer than a group of senders is patient. */
const LONG_HOLD_MS = { short: [3000, 3000], full: [10_000, 15_000] } as const;
const DRAIN_WITHIN_MS = 120_000;
/** A gateway that was struck last has its own counts a moment later. */
const SETTLE_WITHIN_MS = 10_000;

export async function run(options: RunOptions): Promise<History> {
  const random = createRandom(options.seed);
  const stage = await startStage({ random, appendfsync: options.appendfsync ?? "everysec" });
  const told = options.told ?? (() => {});
  try {
    const episodes: Episode[] = [];
    const endAt = Date.now() + options.forMs;
    await untilHeardOf(stage, Date.now());
    const most = (options.rounds ?? Number.POSITIVE_INFINITY) * options.faults.length;
    for (const fault of deck(options.faults, random.fork("deck"))) {
      if (episodes.length > 0 && (Date.now() > endAt || episodes.length >= most)) break;
      const turn = random.fork(`turn ${episodes.length}`);
      await pause(turn.between(...REST_MS));
      const episode = await strike(fault, stage, turn, options.lengths, episodes);
      const recovered = await untilHeardOf(stage, episode.recoverFrom);
      const seconds = ((episode.healedAt - episode.injectedAt) / 1000).toFixed(1);
      told(`${fault.name} for ${seconds} s${recovered ? "" : ": some unit is not heard of again"}`);
    }
    await stage.generator.stop();
    const drained = await untilDrained(stage);
    await stage.lookAtDeadLetters();
    stage.takings.look();
    const endedAt = Date.now();
    const last = episodes.at(-1);
    if (last) last.endedAt = endedAt;
    const { statuses } = stage.sandbox.summary();
    return {
      ratePerSecond: RATE_PER_SECOND,
      recoverWithinMs: options.recoverWithinMs ?? RECOVER_WITHIN_MS,
      requestTimeoutMs: REQUEST_TIMEOUT_MS,
      issued: stage.generator.issued,
      accepted: stage.takings.accepted,
      arrivals: stage.takings.arrivals,
      episodes,
      exempt: stage.exempt,
      exchanges: stage.exchanges,
      condemned: stage.condemned,
      dead: [...stage.dead.values()],
      spooled: stage.generator.spooled(),
      refusals: Object.entries(statuses).reduce(
        (sum, [status, count]) => (status === "none" || Number(status) >= 400 ? sum + count : sum),
        0,
      ),
      parted: [...(drained ? [] : ["pings wait although all is healed"]), ...(await whatParted(stage))],
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
  // What a fault empties would not be seen any more.
  await stage.lookAtDeadLetters();
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

/** Every fault once before any comes again, in an order of its own each time. */
function* deck(faults: readonly Fault[], random: Random): Generator<Fault> {
  for (;;) {
    const rest = [...faults];
    while (rest.length > 0) yield* rest.splice(random.integer(0, rest.length - 1), 1);
  }
}

/** False: some unit was silent for too long. */
async function untilHeardOf({ generator, takings }: Stage, since: number): Promise<boolean> {
  const deadline = Date.now() + GIVE_UP_MS;
  while (generator.units.some((unit) => takings.newestOf(unit) < since)) {
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

/** The accounting identity as each gateway tells it, once nothing moves any more. */
async function whatParted({ gateways }: Stage): Promise<string[]> {
  const deadline = Date.now() + SETTLE_WITHIN_MS;
  for (;;) {
    const parted = (await Promise.all(gateways.map(identityOf))).flat();
    if (parted.length === 0 || Date.now() > deadline) return [...new Set(parted)];
    await pause(200);
  }
}

async function identityOf({ process }: Gateway): Promise<string[]> {
  try {
    const { sources } = await process.status();
    return sources.flatMap(({ name, identity, accounting }) =>
      Object.values(identity).some((difference) => difference !== 0)
        ? [`${name}: ${JSON.stringify(identity)} in ${JSON.stringify(accounting)}`]
        : [],
    );
  } catch (error) {
    return [`a gateway does not say: ${String(error)}; it is ${process.ended() ?? "running"}`];
  }
}
