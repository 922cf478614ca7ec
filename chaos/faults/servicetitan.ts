/** Faults of ServiceTitan: refusals of every kind, silence, and answers that say nothing. */

import { setTimeout as pause } from "node:timers/promises";
import type { FaultInput } from "../../sandbox/faults.ts";
import type { Fault } from "../fault.ts";
import { REQUEST_TIMEOUT_MS } from "../stage.ts";

/** Seconds a 429 asks for. */
const RETRY_AFTER_S = 2;

/** One that the sandbox has until it is taken from it. */
function answering(name: string, faults: FaultInput[], more: Partial<Fault> = {}): Fault {
  return {
    name,
    unsettledAtMost: 0,
    recoverFrom: "healing",
    inject: ({ setFaults }) => setFaults(faults),
    heal: ({ setFaults }) => setFaults([]),
    ...more,
  };
}

const throttling = (hint: "seconds" | "date" | "body") =>
  answering(`servicetitan_429_${hint}`, [{ kind: "throttle", hint, seconds: RETRY_AFTER_S }], {
    // A date has whole seconds, so it may be up to one later.
    allowanceMs: (RETRY_AFTER_S + 1) * 1000,
  });

/** Refuses some readings until they have been given up, and takes them when they come again. */
function refusing(kind: "poison" | "fail"): Fault {
  return {
    name: `servicetitan_${kind}`,
    unsettledAtMost: 0,
    // Until then pings that share a batch with a refused one wait for it to be found, at the rate there is.
    recoverFrom: "healing",
    async inject({ generator, condemned, setFaults }, { random }) {
      // Of several that are to fail in one batch the sandbox fails only one.
      const count = kind === "fail" ? 1 : random.integer(1, 3);
      const faults: FaultInput[] = [];
      for (let i = 0; i < count; i++) {
        const [chosen] = await generator.next(1);
        if (!chosen) continue;
        condemned.push({ id: chosen.id, listedAt: null });
        // Before the next one is made up: by then this one may have been accepted.
        faults.push({ kind, match: { externalId: chosen.id } });
        setFaults(faults);
      }
    },
    async heal({ generator, condemned, takings, lookAtDeadLetters, redrive, setFaults }) {
      const deadline = Date.now() + GIVEN_UP_WITHIN_MS;
      const waiting = condemned.filter(({ listedAt }) => listedAt === null);
      // One that nobody took responsibility for need not come.
      const isDone = (dead: ReadonlySet<string>) =>
        waiting.every(({ id }) => dead.has(id) || generator.issued.get(id)?.owedAt === null);
      let dead = new Set<string>();
      do {
        await pause(LOOK_EVERY_MS);
        dead = new Set((await lookAtDeadLetters()).map(({ id }) => id));
      } while (!isDone(dead) && Date.now() < deadline);
      setFaults([]);
      for (const each of waiting) if (dead.has(each.id)) each.listedAt = Date.now();
      await redrive(REASON_OF[kind]);
      // Before the next fault empties Redis: then nothing would be known of them.
      const isTaken = () => waiting.every(({ id, listedAt }) => listedAt === null || takings.has(id));
      while (!isTaken() && Date.now() < deadline) await pause(LOOK_EVERY_MS);
    },
  };
}

/** What the dead letters call them. */
const REASON_OF = { poison: "refused", fail: "failed" } as const;
/** A poisoned batch is halved until its poison is alone, which is then heard twice, beside all other traffic. */
const GIVEN_UP_WITHIN_MS = 20_000;
const LOOK_EVERY_MS = 100;

/** A part of all requests, by chance, is answered 500: no ping's fault, though each may be sent many times. */
function flapping(): Fault {
  let ticker: NodeJS.Timeout | undefined;
  return {
    name: "servicetitan_500_by_chance",
    unsettledAtMost: 0,
    recoverFrom: "healing",
    long: true,
    inject({ setFaults }, { random }) {
      const share = random.between(0.5, 0.9);
      ticker = setInterval(
        () => setFaults(random.chance(share) ? [{ kind: "status", status: 500 }] : []),
        FLAPS_EVERY_MS,
      );
    },
    heal({ setFaults }) {
      clearInterval(ticker);
      setFaults([]);
    },
  };
}

/** About as long as a request takes: the next one is another throw of the dice. */
const FLAPS_EVERY_MS = 20;

/** What hangs goes on hanging after the fault is healed. */
const HANGING = { allowanceMs: REQUEST_TIMEOUT_MS } as const;

export const SERVICETITAN_FAULTS: readonly Fault[] = [
  throttling("seconds"),
  throttling("date"),
  throttling("body"),
  answering("servicetitan_429", [{ kind: "throttle", hint: "none" }]),
  ...[500, 502, 503, 504].map((status) => answering(`servicetitan_${status}`, [{ kind: "status", status }])),
  flapping(),
  answering("servicetitan_hang", [{ kind: "hang" }], HANGING),
  answering("servicetitan_hang_after_accepting", [{ kind: "hang", when: "after_accepting" }], HANGING),
  answering("servicetitan_slow_body", [{ kind: "slow_body", seconds: 5 }], HANGING),
  answering("servicetitan_reset", [{ kind: "reset" }]),
  answering("servicetitan_reset_after_accepting", [{ kind: "reset", when: "after_accepting" }]),
  answering("servicetitan_unreadable", [{ kind: "unreadable" }]),
  answering("servicetitan_token_revoked", [{ kind: "token_revoked" }]),
  answering("servicetitan_token_down", [{ kind: "token_revoked" }, { kind: "token_down" }]),
  refusing("poison"),
  refusing("fail"),
];
