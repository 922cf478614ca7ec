/** Preloaded into a command with `--import`: writes the address of every module it loads into the file LOADED_MODULES. */

import { appendFileSync } from "node:fs";
import module from "node:module";
import { isMainThread } from "node:worker_threads";

// Node runs the hooks of this same file in a thread of their own.
if (isMainThread) module.register(import.meta.url);

export async function load(url, context, nextLoad) {
  appendFileSync(process.env.LOADED_MODULES, `${url}\n`);
  return nextLoad(url, context);
}
