/** Rolling changes of the configuration: a tenant comes, changes and goes while it sends, one gateway after the other. */

import { setTimeout as pause } from "node:timers/promises";
import type { Fault, Turn } from "../fault.ts";
import type { Visit } from "../generator.ts";
import { type Gateway, NEWCOMER, type Stage } from "../stage.ts";

/** From one gateway to the other, beside the seconds that each needs to notice its file. */
const DELAY_MS = [50, 800] as const;
const [FIRST_BATCH_AGE_MS, CHANGED_BATCH_AGE_MS] = [100, 300];
/** The next fault must not meet the pings that still wait; by then they are late in any case. */
const GONE_WITHIN_MS = 20_000;
const CHECK_EVERY_MS = 50;

/** The tenant that is there now. */
const visits = new WeakMap<Stage, Visit>();

function otherOf({ gateways: [one, two] }: Stage, { victim }: Turn): Gateway {
  return victim === one ? two : one;
}

/** The victim has the tenant first, and is the only one until the fault is healed. */
async function come(stage: Stage, { victim }: Turn): Promise<void> {
  await victim.setNewcomer(FIRST_BATCH_AGE_MS);
  const webhooks = stage.gateways.map(({ process }) => process.webhook(NEWCOMER));
  visits.set(stage, stage.generator.visit({ source: NEWCOMER, webhooks }));
}

/** The other gateway follows one change behind, until the tenant goes, with pings that wait. */
async function changeAndGo(stage: Stage, turn: Turn): Promise<void> {
  const { victim, random } = turn;
  const other = otherOf(stage, turn);
  const next = () => pause(random.between(...DELAY_MS));
  await Promise.all([
    other.setNewcomer(FIRST_BATCH_AGE_MS),
    next().then(() => victim.setNewcomer(CHANGED_BATCH_AGE_MS)),
  ]);
  await Promise.all([other.setNewcomer(CHANGED_BATCH_AGE_MS), next().then(() => victim.setNewcomer(null))]);
  // Only the other gateway knows the tenant now.
  await next();
  const owed = (await visits.get(stage)?.leave()) ?? [];
  await other.setNewcomer(null);
  const deadline = Date.now() + GONE_WITHIN_MS;
  while (!owed.every((id) => stage.observed.has(id)) && Date.now() < deadline) await pause(CHECK_EVERY_MS);
}

export const CONFIGURATION_FAULTS: readonly Fault[] = [
  {
    name: "rolling_change",
    unsettledAtMost: 0,
    recoverFrom: "injection",
    inject: come,
    heal: changeAndGo,
  },
];
