/** Runs Prometheus' own checker over metrics. */

import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { findProgram } from "../../sandbox/owned-process.ts";

/** Where scripts/setup.mjs puts it. */
const OWN = join(import.meta.dirname, "../../.waypost/bin/promtool");

function findPromtool(): string | null {
  try {
    accessSync(OWN, constants.X_OK);
    return OWN;
  } catch {
    return findProgram(["promtool"]);
  }
}

/** Why metrics cannot be checked here, or null when they can. */
export function whyNotPromtool(): string | null {
  return findPromtool() === null ? "promtool is not there (node scripts/setup.mjs --promtool)" : null;
}

/** What it has against them; empty when nothing. */
export function checkMetrics(text: string): string {
  const promtool = findPromtool();
  if (promtool === null) throw new Error(whyNotPromtool() ?? "unreachable");
  const { status, stdout, stderr } = spawnSync(promtool, ["check", "metrics"], {
    input: text,
    encoding: "utf8",
  });
  return `${stdout}${stderr}${status === 0 ? "" : `exit code ${status}`}`;
}
