/** The `redrive` command: makes the running gateway send again what was set aside, or report what would happen. */

import { Command, Option } from "commander";
import type { DeadLettersRedriven, QuarantineRedriven } from "../ops/redrive.ts";
import { print, printJson } from "./print.ts";

interface Options {
  config?: string;
  source?: string;
  destination?: string;
  unit?: string;
  reason?: string;
  from?: string;
  to?: string;
  dryRun?: boolean;
  json?: boolean;
  token?: string;
}

export function redriveCommand(): Command {
  return new Command("redrive")
    .description("send dead letters or quarantined messages of the running gateway on their way again")
    .argument("<what>", "dead-letters or quarantine")
    .option("-c, --config <file>", "the running gateway's configuration")
    .option("--source <name>", "only of this source")
    .option("--destination <name>", "only for this destination")
    .option("--unit <unit>", "only of this unit")
    .option("--reason <reason>", "only set aside for this reason")
    .option("--from <time>", "only set aside since this time, ISO")
    .option("--to <time>", "only set aside until this time, ISO")
    .option(
      "--token <name>",
      "the token of ops.tokens to use; default: the first with the role that sees everything",
    )
    .option("--dry-run", "change nothing; report what would happen, and how decoding differs")
    .addOption(new Option("--json", "print the answer as it is"))
    .action(async (what: string, { config: file, dryRun, json, token, ...filter }: Options) => {
      if (what !== "dead-letters" && what !== "quarantine") {
        throw new Error(`There is no ${what} to redrive: use dead-letters or quarantine.`);
      }
      const { configOrExit } = await import("./configuration.ts");
      const { opsTokenFor } = await import("../config/ops-tokens.ts");
      const { ops } = configOrExit(file);
      const { refusalOf, requestApi } = await import("./gateway.ts");
      const caller = opsTokenFor(ops, dryRun ? "read" : "operate", token);
      const body = { ...filter, mode: dryRun ? "dry_run" : "do" };
      const response = await requestApi(ops, caller.token, `/${what}/redrive`, body);
      const text = await response.text();
      if (!response.ok) throw new Error(refusalOf(response, text));
      // The gateway is this program, of the same version, so the ops endpoint's types hold.
      const answer: Answer = JSON.parse(text);
      if (json) printJson(answer);
      else if (isOfQuarantine(answer)) printQuarantine(answer);
      else printDeadLetters(answer);
    });
}

type Answer = DeadLettersRedriven | QuarantineRedriven;

function isOfQuarantine(answer: Answer): answer is QuarantineRedriven {
  return "readable" in answer;
}

function printDeadLetters({ matched, waiting, expired, superseded, examples }: DeadLettersRedriven): void {
  for (const { fixTime, unit, destination, reason, message } of examples) {
    print(`${fixTime}  ${unit} → ${destination}  ${reason}: ${message}`);
  }
  print(
    `${matched} dead letters: ${waiting} waiting again, ${expired} too old to be sent, ${superseded} older than what was accepted since`,
  );
}

function printQuarantine(answer: QuarantineRedriven): void {
  for (const { id, source, before, after } of answer.examples) {
    print(`${id}  ${source}`);
    print(`  - ${before}`);
    print(`  + ${after}`);
  }
  print(
    `${answer.matched} messages: ${answer.readable} can be decoded now (${answer.readings} readings), ${answer.staying} stay`,
  );
}
