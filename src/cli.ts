#!/usr/bin/env node
/** The command line: its commands, and how each explains itself when it cannot go on. */

import { Command } from "commander";
import { captureCommand } from "./commands/capture.ts";
import { checkCommand } from "./commands/check.ts";
import { decodeCommand } from "./commands/decode.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { initCommand } from "./commands/init.ts";
import { runCommand } from "./commands/options.ts";
import { redriveCommand } from "./commands/redrive.ts";
import { replayCommand } from "./commands/replay.ts";
import { sandboxCommand } from "./commands/sandbox.ts";
import { startCommand } from "./commands/start.ts";
import { VERSION } from "./version.ts";

const program = new Command("waypost")
  .description("Takes vendors' GPS messages in and delivers them to ServiceTitan.")
  .version(VERSION);
for (const command of [
  initCommand(),
  startCommand(),
  checkCommand(),
  doctorCommand(),
  decodeCommand(),
  captureCommand(),
  redriveCommand(),
  replayCommand(),
  sandboxCommand(),
])
  program.addCommand(command);

await runCommand(program);
