/** Faults of ServiceTitan: refusals of every kind, silence, and answers without content. */

import { setTimeout as pause } from "node:timers/promises";
import type { FaultInput } from "../../sandbox/faults.ts";
import type { Fault } from "../fault.ts";
import { REQUEST_TIMEOUT_MS } from "../stage.ts";

/** Seconds a 429 asks for. */
const RETRY_AFTER_S = 2;

/** A fault that the sandbox has until the fault is healed. */
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
    // A date has whole seconds, so it may name a moment up to one second later.
    allowanceMs: (RETRY_AFTER_S + 1) * 1000,
  });

/** Refuses some readings until they have been given up, and accepts them when they come again. */
function refusing(kind: "poison" | "fail"): Fault {
  return {
    name: `servicetitan_${kind}`,
    unsettledAtMost: 0,
    // Pings that share a batch with a refused one wait until that one is found, and the rate limits the search.
    recoverFrom: "healing",
    async inject({ generator, doomed, setFaults }, { random }) {
      // Of several pings in one batch the sandbox fails only one.
      const count = kind === "fail" ? 1 : random.integer(1, 3);
      const faults: FaultInput[] = [];
      for (let i = 0; i < count; i++) {
        const [chosen] = await generator.next(1);
        if (!chosen) continue;
        doomed.push({ id: chosen.id, listedAt: null });
        // Set before the next reading is created: by then this one may have been accepted.
        faults.push({ kind, match: { externalId: chosen.id } });
        setFaults(faults);
      }
    },
    async heal({ generator, doomed, observed, readDeadLetters, redrive, setFaults }) {
      const deadline = Date.now() + GIVEN_UP_WITHIN_MS;
      const waiting = doomed.filter(({ listedAt }) => listedAt === null);
      // A reading that is not owed may be missing.
      const isDone = (dead: ReadonlySet<string>) =>
        waiting.every(({ id }) => dead.has(id) || generator.issued.get(id)?.owedAt === null);
      let dead = new Set<string>();
      do {
        await pause(CHECK_EVERY_MS);
        dead = new Set((await readDeadLetters()).map(({ id }) => id));
      } while (!isDone(dead) && Date.now() < deadline);
      setFaults([]);
      for (const each of waiting) if (dead.has(each.id)) each.listedAt = Date.now();
      await redrive(REASON_OF[kind]);
      // Wait for them now: the next fault may empty Redis, which then knows nothing of them.
      const isAccepted = () => waiting.every(({ id, listedAt }) => listedAt === null || observed.has(id));
      while (!isAccepted() && Date.now() < deadline) await pause(CHECK_EVERY_MS);
    },
  };
}

/** The reasons among the dead letters. */
const REASON_OF = { poison: "refused", fail: "failed" } as const;
/** A poisoned batch is halved until its poison is alone, which is then tested twice, beside all other traffic. */
const GIVEN_UP_WITHIN_MS = 20_000;
const CHECK_EVERY_MS = 100;

/** A random share of the requests is answered 500: no ping is the cause, though each may be sent many times. */
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

/** About as long as a request needs, so that chance decides anew for the next one. */
const FLAPS_EVERY_MS = 20;

/** A request that hangs still hangs after the fault is healed. */
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
