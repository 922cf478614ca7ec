/** Waits for something outside the test to become true, by checking again and again until a deadline. */

import { setTimeout as pause } from "node:timers/promises";
import { scaled } from "./speed.ts";

/** Short enough not to slow a test down, long enough to leave the processor to the process that the test waits for. */
const ASK_EVERY_MS = 20;

/**
 * Resolves with the first answer that is neither false, null nor undefined. A check that throws counts as "not yet";
 * its last error is the cause when time runs out. `withinMs` is for
 * the machine the tests were written on; a slower one gets more.
 */
export async function until<T>(
  check: () => T | Promise<T>,
  { withinMs = 15_000, what }: { withinMs?: number; what: string },
): Promise<Exclude<T, false | null | undefined>> {
  const deadline = performance.now() + scaled(withinMs);
  let failure: unknown;
  let last: unknown;
  for (;;) {
    try {
      const answer = await check();
      if (isSettled(answer)) return answer;
      last = answer;
      failure = undefined;
    } catch (error) {
      failure = error;
    }
    if (performance.now() >= deadline) {
      const seen = failure === undefined ? `last answer: ${String(last)}` : "the check threw";
      throw new Error(`waited ${scaled(withinMs)} ms for ${what}; ${seen}`, { cause: failure });
    }
    await pause(ASK_EVERY_MS);
  }
}

function isSettled<T>(answer: T): answer is Exclude<T, false | null | undefined> {
  return answer !== false && answer !== null && answer !== undefined;
}
