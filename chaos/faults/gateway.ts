/** Faults of the gateway's own process: killed, stopped and ended, at random and at the worst moments. */

import { setTimeout as pause } from "node:timers/promises";
import { until } from "../../test/support/wait.ts";
import type { Fault, Turn } from "../fault.ts";
import { findFaketime, type Gateway, PINGS_IN_FLIGHT, type Stage } from "../stage.ts";

/** Within this time some request or message is under way. */
const UNDER_WAY_MS = [50, 600] as const;

/** By then the gateway has read what was sent. */
const IN_SOCKETS_MS = 500;

/** The other gateway may be the busier one; this long the fault waits for its victim's turn. */
const SENDS_WITHIN_MS = 5000;

const startAgain: Fault["heal"] = (_stage, { victim }) => victim.process.start();

async function untilEnded({ victim }: Turn): Promise<void> {
  while (victim.process.ended() === null) await pause(10);
}

async function isReady({ process }: Gateway): Promise<boolean> {
  return (await fetch(`http://127.0.0.1:${process.opsPort}/readyz`)).ok;
}

/** The clock of one gateway is off by more than a ping may be old, and no load balancer sends to it: it only delivers. */
function wrongClock(name: string, offset: string): Fault {
  const struck = ({ gateways }: Stage) => gateways[1];
  return {
    name,
    unsettledAtMost: 0,
    recoverFrom: "injection",
    long: true,
    async inject(stage) {
      const gateway = struck(stage);
      const { process } = gateway;
      const { brokers } = await process.status();
      // The other gateway then holds the broker, not this one.
      if (brokers.some(({ state }) => state === "connected")) {
        process.kill("SIGTERM");
        await until(() => process.ended() !== null, { what: "the gateway to end" });
        await process.start();
      }
      stage.generator.avoid(gateway.webhook);
      await pause(IN_SOCKETS_MS);
      gateway.setClock?.(offset);
      await until(async () => !(await isReady(gateway)), { what: "the gateway to notice its clock" });
    },
    async heal(stage) {
      const gateway = struck(stage);
      gateway.setClock?.("+0");
      await until(() => isReady(gateway), { what: "the gateway to trust its clock" });
      stage.generator.avoid(null);
    },
  };
}

const CLOCK_FAULTS = [wrongClock("gateway_clock_ahead", "+15m"), wrongClock("gateway_clock_behind", "-15m")];

export const GATEWAY_FAULTS: readonly Fault[] = [
  ...(findFaketime() === null ? [] : CLOCK_FAULTS),
  {
    name: "gateway_kill",
    unsettledAtMost: PINGS_IN_FLIGHT,
    kills: true,
    recoverFrom: "injection",
    async inject(_stage, turn) {
      turn.victim.process.kill("SIGKILL");
      await untilEnded(turn);
    },
    heal: startAgain,
  },
  {
    name: "gateway_kill_between_post_and_settle",
    unsettledAtMost: PINGS_IN_FLIGHT,
    kills: true,
    recoverFrom: "injection",
    async inject(_stage, turn) {
      const { victim, random } = turn;
      // ServiceTitan accepts what it gets; the answer never comes.
      victim.toSandbox.set({ kind: "deaf" });
      const deadline = Date.now() + SENDS_WITHIN_MS;
      while (victim.toSandbox.unanswered() === 0 && Date.now() < deadline) await pause(5);
      await pause(random.between(...UNDER_WAY_MS));
      victim.process.kill("SIGKILL");
      await untilEnded(turn);
      victim.toSandbox.set({ kind: "open" });
    },
    heal: startAgain,
  },
  {
    name: "gateway_kill_between_store_and_answer",
    unsettledAtMost: PINGS_IN_FLIGHT,
    kills: true,
    recoverFrom: "injection",
    async inject(_stage, turn) {
      const { victim, random } = turn;
      // Redis stores; the gateway gets no reply, and so cannot answer its senders.
      victim.toRedis.set({ kind: "deaf" });
      await pause(random.between(...UNDER_WAY_MS));
      victim.process.kill("SIGKILL");
      await untilEnded(turn);
      victim.toRedis.set({ kind: "open" });
    },
    heal: startAgain,
  },
  // Beside its batches the gateway wakes with messages in its sockets that their senders have sent elsewhere meanwhile.
  {
    name: "gateway_freeze",
    unsettledAtMost: 2 * PINGS_IN_FLIGHT,
    recoverFrom: "injection",
    long: true,
    inject: (_stage, { victim }) => victim.process.kill("SIGSTOP"),
    heal: (_stage, { victim }) => victim.process.kill("SIGCONT"),
  },
  {
    name: "gateway_freeze_under_way",
    unsettledAtMost: 2 * PINGS_IN_FLIGHT,
    recoverFrom: "injection",
    long: true,
    async inject(_stage, { victim, random }) {
      victim.toSandbox.set({ kind: "deaf" });
      await pause(random.between(...UNDER_WAY_MS));
      victim.process.kill("SIGSTOP");
    },
    // The gateway wakes, reads the answer, and finds that the other one has settled the batch.
    heal(_stage, { victim }) {
      victim.toSandbox.set({ kind: "open" });
      victim.process.kill("SIGCONT");
    },
  },
  {
    name: "gateway_end",
    unsettledAtMost: 0,
    recoverFrom: "injection",
    async inject(_stage, turn) {
      turn.victim.process.kill("SIGTERM");
      await untilEnded(turn);
    },
    heal: startAgain,
  },
];
