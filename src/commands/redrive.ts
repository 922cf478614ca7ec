/** The `redrive` command: asks the running gateway to send again what was set aside, or to say what would happen. */

import { Command, Option } from "commander";
import type { Config } from "../config/config.ts";
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
    .option("--from <time>", "only set aside since then, ISO")
    .option("--to <time>", "only set aside until then, ISO")
    .option(
      "--token <name>",
      "the token of ops.tokens to ask with; otherwise the first that may and sees everything",
    )
    .option("--dry-run", "change nothing; say what would happen, and how decoding differs")
    .addOption(new Option("--json", "print the answer as it is"))
    .action(async (what: string, { config: file, dryRun, json, token, ...filter }: Options) => {
      if (what !== "dead-letters" && what !== "quarantine") {
        throw new Error(`There is no ${what} to redrive: use dead-letters or quarantine.`);
      }
      const { configOrExit } = await import("./configuration.ts");
      const { opsTokenFor } = await import("../config/ops-tokens.ts");
      const { ops } = configOrExit(file);
      const asker = opsTokenFor(ops, dryRun ? "read" : "operate", token);
      const body = { ...filter, mode: dryRun ? "dry_run" : "do" };
      const answer = await ask(ops, asker.token, `/${what}/redrive`, body);
      if (json) printJson(answer);
      else if (isOfQuarantine(answer)) tellQuarantine(answer);
      else tellDeadLetters(answer);
    });
}

type Answer = DeadLettersRedriven | QuarantineRedriven;

function isOfQuarantine(answer: Answer): answer is QuarantineRedriven {
  return "readable" in answer;
}

async function ask(ops: Config["ops"], token: string, path: string, body: object): Promise<Answer> {
  const host = ops.host === "0.0.0.0" || ops.host === "::" ? "127.0.0.1" : ops.host;
  const url = `http://${host}:${ops.port}${path}`;
  const { fetch } = await import("undici");
  const response = await fetch(url, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  }).catch((cause: unknown) => {
    throw new Error(`The gateway does not answer at ${url}: is it running with this configuration?`, {
      cause,
    });
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`The gateway answered ${response.status}: ${text.slice(0, 500)}`);
  // Of our own making, by the same version: the ops endpoint's types are the command's.
  const answer: Answer = JSON.parse(text);
  return answer;
}

function tellDeadLetters({ matched, waiting, expired, superseded, examples }: DeadLettersRedriven): void {
  for (const { fixTime, unit, destination, reason, message } of examples) {
    print(`${fixTime}  ${unit} → ${destination}  ${reason}: ${message}`);
  }
  print(
    `${matched} dead letters: ${waiting} waiting again, ${expired} too old to be sent, ${superseded} older than what was accepted since`,
  );
}

function tellQuarantine(answer: QuarantineRedriven): void {
  for (const { id, source, before, after } of answer.examples) {
    print(`${id}  ${source}`);
    print(`  - ${before}`);
    print(`  + ${after}`);
  }
  print(
    `${answer.matched} messages: ${answer.readable} can be read now (${answer.readings} readings), ${answer.staying} stay`,
  );
}
