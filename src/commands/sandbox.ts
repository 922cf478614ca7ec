/** The `sandbox` command where there is no sandbox: scripts/waypost.mjs runs the real one, which is no part of the product. */

import { Command } from "commander";
import { printError } from "./print.ts";

/** EX_UNAVAILABLE of sysexits.h. */
const UNAVAILABLE = 69;

export function sandboxCommand(): Command {
  return new Command("sandbox")
    .description("run a stand-in for ServiceTitan; in a clone of the repository only")
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      printError(
        "The sandbox is no part of the product. It comes with the repository: in a clone run npm run waypost -- sandbox",
      );
      process.exitCode = UNAVAILABLE;
    });
}
