/** Faults of ServiceTitan: refusals of every kind, silence, and answers that say nothing. */

import type { FaultInput } from "../../src/sandbox/faults.ts";
import type { Fault } from "../fault.ts";
import { healed } from "../fault.ts";
import { REQUEST_TIMEOUT_MS } from "../stage.ts";

/** Seconds a 429 asks for. */
const RETRY_AFTER_S = 2;

/** One that the sandbox has until it is taken from it. */
function answering(name: string, faults: FaultInput[], more: Partial<Fault> = {}): Fault {
  return {
    name,
    repeatsAtMost: 0,
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

function refusing(kind: "poison" | "fail"): Fault {
  return {
    name: `servicetitan_${kind}`,
    repeatsAtMost: 0,
    recoverFrom: "injection",
    async inject({ generator, condemn }, { random }) {
      const condemned = await generator.next(random.integer(1, 3));
      condemn(
        kind,
        condemned.map(({ id }) => id),
      );
    },
    heal: healed,
  };
}

/** The sandbox takes the request, and its answer does not come through. */
const SILENT = { repeatsAtMost: Number.POSITIVE_INFINITY } as const;
/** What hangs goes on hanging after the fault is healed. */
const HANGING = { allowanceMs: REQUEST_TIMEOUT_MS } as const;

export const SERVICETITAN_FAULTS: readonly Fault[] = [
  throttling("seconds"),
  throttling("date"),
  throttling("body"),
  answering("servicetitan_429", [{ kind: "throttle", hint: "none" }]),
  ...[500, 502, 503, 504].map((status) => answering(`servicetitan_${status}`, [{ kind: "status", status }])),
  answering("servicetitan_hang", [{ kind: "hang" }], HANGING),
  answering("servicetitan_hang_after_accepting", [{ kind: "hang", when: "after_accepting" }], {
    ...SILENT,
    ...HANGING,
  }),
  answering("servicetitan_slow_body", [{ kind: "slow_body", seconds: 5 }], { ...SILENT, ...HANGING }),
  answering("servicetitan_reset", [{ kind: "reset" }]),
  answering("servicetitan_reset_after_accepting", [{ kind: "reset", when: "after_accepting" }], SILENT),
  answering("servicetitan_unreadable", [{ kind: "unreadable" }], SILENT),
  answering("servicetitan_token_revoked", [{ kind: "token_revoked" }]),
  answering("servicetitan_token_down", [{ kind: "token_revoked" }, { kind: "token_down" }]),
  refusing("poison"),
  refusing("fail"),
];
