/** Finds problems of the configuration that is in force: refused, waiting for a restart, different between processes, and what it leaves. */

import type { ProcessRow } from "../../status/configuration.ts";
import { durationText } from "./duration.ts";
import { error, type Finding, listed, warning } from "./problem.ts";

/** A change goes from process to process within seconds; a rolling restart takes longer, and is watched anyway. */
const DIFFER_AFTER_MS = 60_000;
/** Usually what waits is sent within seconds. */
const LEAVING_AFTER_MS = 30_000;

export function diagnoseConfiguration(processes: readonly ProcessRow[], nowMs: number): Finding[] {
  return [
    ...processes.flatMap(refused),
    ...leftOut(processes),
    ...processes.flatMap(waitsForRestart),
    ...differing(processes, nowMs),
    ...leaving(processes, nowMs),
  ];
}

function refused({ name, configuration }: ProcessRow): Finding[] {
  if (configuration.refused === null) return [];
  const { since, problems } = configuration.refused;
  return [
    error("configuration_refused", `process ${name}`, {
      what: `The configuration as it is now is not in force, and the one before stays: ${listed(problems)}.`,
      doNext:
        "Correct it: it is read again by itself. Until then no change counts, and a process that starts refuses it.",
      sinceMs: Date.parse(since),
      subjects: problems,
    }),
  ];
}

/** Every process leaves out the same, so it is said once. */
function leftOut(processes: readonly ProcessRow[]): Finding[] {
  const problems = [...new Set(processes.flatMap(({ configuration }) => configuration.leftOut))];
  if (problems.length === 0) return [];
  return [
    error("tenant_left_out", "tenants of the API", {
      what: `The configuration goes on without them: ${listed(problems)}.`,
      doNext: "Replace the tenant through the API, or change the file whose names or secrets it meets.",
      subjects: problems,
    }),
  ];
}

function waitsForRestart({ name, configuration }: ProcessRow): Finding[] {
  const { restart } = configuration;
  if (restart.length === 0) return [];
  return [
    warning("restart_needed", `process ${name}`, {
      what: `${listed(restart)} ${restart.length === 1 ? "differs" : "differ"} in the configuration and ${restart.length === 1 ? "is" : "are"} read at the start only.`,
      doNext: "Restart the process when it suits; everything else of the change is in force.",
      subjects: restart,
    }),
  ];
}

function differing(processes: readonly ProcessRow[], nowMs: number): Finding[] {
  const known = new Set(processes.map(({ configuration }) => configuration.fingerprint));
  const newest = Math.max(...processes.map(({ configuration }) => Date.parse(configuration.appliedAt)));
  if (known.size < 2 || nowMs - newest < DIFFER_AFTER_MS) return [];
  const rows = processes.map(({ name, configuration }) => `${name} has ${configuration.fingerprint}`);
  return [
    warning("configurations_differ", "gateway", {
      what: `The processes have different configurations: ${listed(rows)}.`,
      doNext:
        "Give all of them the same files, or restart those that are behind. Until then a source that only some know is answered 503 by the others.",
      sinceMs: newest,
      subjects: rows,
    }),
  ];
}

function leaving(processes: readonly ProcessRow[], nowMs: number): Finding[] {
  const byName = new Map(processes.flatMap((each) => each.leaving.map((one) => [one.destination, one])));
  return [...byName.values()].flatMap(({ destination, since, waiting }) => {
    const sinceMs = Date.parse(since);
    if (waiting === 0 || nowMs - sinceMs < LEAVING_AFTER_MS) return [];
    return [
      warning("destination_leaving", `destination ${destination}`, {
        what: `It was removed from the configuration ${durationText(nowMs - sinceMs)} ago, and ${waiting ?? "an unknown number of"} pings still wait for it. They are sent as long as a process knows it.`,
        doNext:
          "Wait until they are sent. A process that restarts forgets the destination: put it back where the pings must not be left.",
        sinceMs,
      }),
    ];
  });
}
