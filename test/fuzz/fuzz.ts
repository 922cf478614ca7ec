/** Starts a fuzz run and watches over it; `npm run fuzz` runs it for as long as one likes. */

import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

export interface FuzzPlan {
  seed: string;
  /** Number of the first case. */
  from: number;
  /** Null: until time is up. */
  cases: number | null;
  /** UTC milliseconds since 1970: not longer than until then. */
  untilMs: number;
}

export interface FuzzTally {
  cases: number;
  /** Cases that passed the envelope. */
  decoded: number;
  readings: number;
  rejections: number;
  failures: string[];
  byVendor: Record<string, { cases: number; decoded: number }>;
}

export type FuzzMessage = { kind: "at"; case: number } | { kind: "done"; tally: FuzzTally };

/** No case comes near it unless it hangs, not even on a machine that does ten other things. */
const HANG_MS = 20_000;

/** Resolves with what was found; rejects, naming the neighbourhood, when a case does not end. */
export function fuzz(plan: FuzzPlan): Promise<FuzzTally> {
  const file = fileURLToPath(new URL("./worker.ts", import.meta.url));
  const child = fork(file, [JSON.stringify(plan)], { execArgv: ["--import", "tsx"] });
  return new Promise((resolve, reject) => {
    let at = plan.from;
    let watchdog: NodeJS.Timeout | undefined;
    function rearm() {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => {
        child.kill("SIGKILL");
        reject(new Error(`Case ${at} of seed ${plan.seed}, or one soon after it, does not end.`));
      }, HANG_MS);
    }
    rearm();
    child.on("message", (message: FuzzMessage) => {
      rearm();
      if (message.kind === "at") at = message.case;
      else resolve(message.tally);
    });
    child.once("exit", (code) => {
      clearTimeout(watchdog);
      reject(new Error(`The fuzz process ended with ${code} near case ${at} of seed ${plan.seed}.`));
    });
  });
}
