/** Compiles the command line and the demo once for a test run: loading TypeScript costs a started process more than all else. */

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import type { TestProject } from "vitest/node";

const ROOT = resolve(import.meta.dirname, "../..");
/** Within the clone, so that the compiled files find the packages. */
const BUILDS = join(".waypost", "test-builds");

/** Passed on to the processes of the run: the folder of the compiled programs. */
const VARIABLE = "WAYPOST_TEST_COMPILED";

/** Vitest calls it once, before the first test. */
export default function setup(project: TestProject): () => void {
  removeLeftOver();
  // Two runs may go on at a time, each with other sources.
  const folder = join(BUILDS, String(process.pid));
  compile(folder);
  process.env[VARIABLE] = resolve(folder);
  project.onTestsRerun(async () => compile(folder));
  return () => rmSync(folder, { recursive: true, force: true });
}

/** What Node has to be given to run one of the repository's programs, by its path there; outside a test run it loads TypeScript. */
export function programArgs(program: string): string[] {
  const folder = process.env[VARIABLE];
  if (folder === undefined) return ["--import", "tsx", program];
  return [join(folder, relative(ROOT, resolve(ROOT, program)).replace(/\.ts$/, ".js"))];
}

function compile(folder: string): void {
  const { status } = spawnSync(process.execPath, ["scripts/build.mjs", "test", folder], {
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0) throw new Error("the programs that the tests start could not be compiled; see above");
}

/** A run that was killed leaves its folder. */
function removeLeftOver(): void {
  mkdirSync(BUILDS, { recursive: true });
  for (const pid of readdirSync(BUILDS)) {
    if (!existsSync(`/proc/${pid}`)) rmSync(join(BUILDS, pid), { recursive: true, force: true });
  }
}
