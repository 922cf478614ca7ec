/** Runs Waypost in a clone: makes the clone ready, compiles the sources where they have changed, and starts the result. */

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import module from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "./build.mjs";
import { makeReady } from "./setup.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const builds = join(root, ".waypost", "builds");

if (process.argv[2] === "sandbox") await runSandbox();
else {
  makeReady(new Set(["--quiet"]));
  const program = join(compiled(), "cli.js");
  // Node has it since 22.1: V8 need not compile the same files again at each start.
  module.enableCompileCache?.(join(root, ".waypost", "compile-cache"));
  await import(pathToFileURL(program).href);
}

/** The sandbox is no part of the product, whose own command says only where it is. */
async function runSandbox() {
  const needsRedis = process.argv.some((arg) => arg.startsWith("--vendor"));
  makeReady(new Set(["--quiet", ...(needsRedis ? ["--redis-server"] : [])]));
  process.argv.splice(2, 1);
  const { register } = await import("tsx/esm/api");
  register();
  await import("../sandbox/try.ts");
}

/**
 * Compiling TypeScript at each start would cost more than all else that a short command does. Each state of the sources
 * has a folder of its own, so that a process that is running never sees its files change.
 */
function compiled() {
  const folder = join(builds, stateOfSources());
  if (existsSync(folder)) return folder;
  process.stderr.write("waypost: compiling the sources, once\n");
  const unfinished = `${folder}.${process.pid}`;
  mkdirSync(builds, { recursive: true });
  // Types are for `npm run check`, and take ten times as long.
  build("tsconfig.build.json", unfinished, unfinished, ["--noCheck"]);
  for (const name of readdirSync(builds)) {
    if (!name.includes(".")) rmSync(join(builds, name), { recursive: true, force: true });
  }
  try {
    renameSync(unfinished, folder);
  } catch {
    // Another process has compiled the same sources at the same time.
    rmSync(unfinished, { recursive: true, force: true });
  }
  return folder;
}

/** Names, sizes and times of all that goes into a build. */
function stateOfSources() {
  const sources = readdirSync(join(root, "src"), { recursive: true }).map((name) => join("src", name));
  const state = createHash("sha256");
  for (const name of [...sources, "tsconfig.json", "tsconfig.build.json", "package-lock.json"].sort()) {
    const { mtimeMs, size } = statSync(join(root, name));
    state.update(`${name} ${size} ${mtimeMs}\n`);
  }
  return state.digest("hex").slice(0, 16);
}
