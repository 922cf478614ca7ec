/** Faults of the gateway's own process: killed, stopped and ended, at random and at the worst moments. */

import { setTimeout as pause } from "node:timers/promises";
import type { Fault, Turn } from "../fault.ts";
import { PINGS_IN_FLIGHT } from "../stage.ts";

/** Within this time some request or message will be under way. */
const UNDER_WAY_MS = [50, 600] as const;

/** The other gateway may be the busier one; this one has its turn. */
const SENDS_WITHIN_MS = 5000;

const startAgain: Fault["heal"] = (_stage, { victim }) => victim.process.start();

async function untilEnded({ victim }: Turn): Promise<void> {
  while (victim.process.ended() === null) await pause(10);
}

export const GATEWAY_FAULTS: readonly Fault[] = [
  {
    name: "gateway_kill",
    repeatsAtMost: PINGS_IN_FLIGHT,
    recoverFrom: "injection",
    async inject(_stage, turn) {
      turn.victim.process.kill("SIGKILL");
      await untilEnded(turn);
    },
    heal: startAgain,
  },
  {
    name: "gateway_kill_between_post_and_settle",
    repeatsAtMost: PINGS_IN_FLIGHT,
    recoverFrom: "injection",
    async inject(_stage, turn) {
      const { victim, random } = turn;
      // ServiceTitan takes what it gets; the answer never comes.
      victim.toSandbox.set({ kind: "deaf" });
      const deadline = Date.now() + SENDS_WITHIN_MS;
      while (victim.toSandbox.unanswered() === 0 && Date.now() < deadline) await pause(5);
      await pause(random.between(...UNDER_WAY_MS));
      if (victim.toSandbox.unanswered() > 0) turn.killedUnderWay();
      victim.process.kill("SIGKILL");
      await untilEnded(turn);
      victim.toSandbox.set({ kind: "open" });
    },
    heal: startAgain,
  },
  {
    name: "gateway_kill_between_keep_and_answer",
    repeatsAtMost: PINGS_IN_FLIGHT,
    recoverFrom: "injection",
    async inject(_stage, turn) {
      const { victim, random } = turn;
      // Redis does what it is told; the gateway never hears of it, and cannot tell its senders.
      victim.toRedis.set({ kind: "deaf" });
      await pause(random.between(...UNDER_WAY_MS));
      victim.process.kill("SIGKILL");
      await untilEnded(turn);
      victim.toRedis.set({ kind: "open" });
    },
    heal: startAgain,
  },
  // Beside its batches it wakes with messages in its sockets, which their senders have sent elsewhere long ago.
  {
    name: "gateway_freeze",
    repeatsAtMost: 2 * PINGS_IN_FLIGHT,
    recoverFrom: "injection",
    long: true,
    inject: (_stage, { victim }) => victim.process.kill("SIGSTOP"),
    heal: (_stage, { victim }) => victim.process.kill("SIGCONT"),
  },
  {
    name: "gateway_freeze_under_way",
    repeatsAtMost: 2 * PINGS_IN_FLIGHT,
    recoverFrom: "injection",
    long: true,
    async inject(_stage, { victim, random }) {
      victim.toSandbox.set({ kind: "deaf" });
      await pause(random.between(...UNDER_WAY_MS));
      victim.process.kill("SIGSTOP");
    },
    // It wakes with the answer before it, and finds that another has settled the batch.
    heal(_stage, { victim }) {
      victim.toSandbox.set({ kind: "open" });
      victim.process.kill("SIGCONT");
    },
  },
  {
    name: "gateway_end",
    repeatsAtMost: 0,
    recoverFrom: "injection",
    async inject(_stage, turn) {
      turn.victim.process.kill("SIGTERM");
      await untilEnded(turn);
    },
    heal: startAgain,
  },
];
