/** Looks for problems when nobody asks, and reports each when it begins and when it has ended. */

import type { Events } from "../events/events.ts";
import type { Problem } from "./diagnose/problem.ts";
import type { NoStatus, StatusDocument } from "./status-document.ts";

export interface ProblemWatchOptions {
  status(): Promise<StatusDocument | NoStatus>;
  events: Pick<Events, "problemBegan" | "problemEnded" | "failed">;
  everyMs?: number;
}

/** A problem is to be known within five seconds, and a question costs what has changed. */
const EVERY_MS = 2500;

export function startProblemWatch({ status, events, everyMs = EVERY_MS }: ProblemWatchOptions): {
  stop(): void;
} {
  let known = new Map<string, Problem>();
  let isStopped = false;
  let timer = setTimeout(() => void look(), everyMs);

  async function look(): Promise<void> {
    try {
      const answer = await status();
      // Without Redis nothing is known of the others; that Redis is away is reported where it is noticed.
      if ("sources" in answer) report(answer.problems);
    } catch (error) {
      events.failed({ where: "problems", error });
    }
    if (!isStopped) timer = setTimeout(() => void look(), everyMs);
  }

  function report(problems: readonly Problem[]): void {
    const now = new Map(problems.map((problem) => [problem.id, problem]));
    for (const [id, { kind, severity, where, whose, what, doNext, since }] of now) {
      if (!known.has(id)) events.problemBegan({ kind, severity, where, whose, what, doNext, since });
    }
    for (const [id, { kind, where, whose, since }] of known) {
      if (!now.has(id)) events.problemEnded({ kind, where, whose, since });
    }
    known = now;
  }

  return {
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}
