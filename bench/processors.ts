/** Gives the contestant its own half of the processors, so that the scheduler does not decide the figures. */

import { execFileSync } from "node:child_process";
import { availableParallelism } from "node:os";

/**
 * Measured on two processors: Linux likes to run Redis where the one who wrote to it runs, and the contestant then waits
 * for it within its own `write`, a quarter of the time, while the other processor rests.
 */
const HALF = Math.floor(availableParallelism() / 2);

/** To be called before anything is started: what this process starts stays where it is. False: cannot be done here. */
export function stepAside(): boolean {
  return HALF > 0 && pin(process.pid, `${HALF}-${availableParallelism() - 1}`);
}

export function giveOwnProcessors(pid: number): void {
  pin(pid, `0-${HALF - 1}`);
}

function pin(pid: number, processors: string): boolean {
  try {
    execFileSync("taskset", ["-acp", processors, String(pid)], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
