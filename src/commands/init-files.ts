/** Writes the files of `init`, none where one of them is there already or the whole would not pass `check`, and says what is next. */

import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { adapters } from "../adapters/index.ts";
import type { Adapter } from "../adapters/kit/adapter.ts";
import { loadConfig } from "../config/load.ts";
import { problemText } from "../config/problems.ts";
import { type DraftAnswers, type DraftSecret, draftOf } from "../setup/draft.ts";
import { instructionsOf } from "../setup/instructions.ts";
import { notesOf } from "../setup/notes.ts";
import { print, printError } from "./print.ts";

export interface WriteInput {
  adapter: Adapter;
  answers: DraftAnswers;
  out: string;
  secrets: "files" | "env";
  force: boolean;
}

const PRIVATE = 0o600;
const PRIVATE_DIRECTORY = 0o700;

/** Gives the exit code. */
export async function writeDraft({
  adapter,
  answers,
  out,
  secrets: how,
  force,
}: WriteInput): Promise<number> {
  const draft = draftOf(adapter, answers);
  const loaded = loadConfig({ settings: draft.settings, adapters });
  if ("problems" in loaded) {
    for (const problem of loaded.problems) printError(problemText(problem));
    printError(
      `Nothing was written: ${adapter.vendor} needs what init was not told. Give it with a flag, or see docs/vendors.md.`,
    );
    return 1;
  }
  const inFiles = how === "files";
  const envFile = out.replace(/\.ya?ml$/, "").concat(".env");
  const places = draft.secrets.map((secret) => ({
    secret,
    file: inFiles ? join(dirname(out), SECRETS, secret.name) : envFile,
    reference: inFiles ? `\${file:${SECRETS}/${secret.name}}` : `\${${variableOf(secret)}}`,
    shown: inFiles ? join(dirname(out), SECRETS, secret.name) : variableOf(secret),
  }));
  const referenceOf = (secret: DraftSecret) => places.find((each) => each.secret === secret)?.reference ?? "";
  const variables = draft.secrets.map((secret) => `${variableOf(secret)}=${secret.value}\n`).join("");
  const files = new Map([
    [out, { content: draft.yaml(referenceOf), mode: 0o644 }],
    ...(inFiles
      ? places.map(({ file, secret }) => [file, { content: `${secret.value}\n`, mode: PRIVATE }] as const)
      : [[envFile, { content: variables, mode: PRIVATE }] as const]),
  ]);
  const there = [...files.keys()].filter((file) => existsSync(file));
  if (there.length > 0 && !force) {
    printError(
      `Nothing was written: ${there.join(", ")} is there already. Give --force to write over it, or another --out.`,
    );
    return 1;
  }
  mkdirSync(dirname(out), { recursive: true });
  if (inFiles) mkdirSync(join(dirname(out), SECRETS), { recursive: true, mode: PRIVATE_DIRECTORY });
  for (const [file, { content, mode }] of files) {
    writeFileSync(file, content, { mode });
    // A file that was there keeps its mode otherwise.
    chmodSync(file, mode);
  }
  print(
    `Written: ${out}, and ${inFiles ? `${places.length} secrets in ${join(dirname(out), SECRETS)}` : envFile}.`,
  );
  const instructions = instructionsOf(loaded.config, answers.source);
  sayNext({
    out,
    load: inFiles ? null : `set -a; . ./${basename(envFile)}; set +a`,
    notes: [
      ...(instructions ? notesOf(instructions) : []),
      ...places
        .filter(({ secret }) => secret.name.startsWith(`${answers.source}-`))
        .map(({ shown }) => `  The secret stands in ${shown}.`),
    ],
    theirs: (from) => places.filter(({ secret }) => secret.from === from).map(({ shown }) => shown),
    envFile,
  });
  return 0;
}

/** Beside the configuration. */
const SECRETS = "secrets";

function variableOf({ name }: DraftSecret): string {
  return name.toUpperCase().replaceAll("-", "_");
}

interface Next {
  out: string;
  /** What puts the secrets into the environment; null: they are files. */
  load: string | null;
  notes: readonly string[];
  theirs(from: DraftSecret["from"]): readonly string[];
  envFile: string;
}

function sayNext({ out, load, notes, theirs, envFile }: Next): void {
  const where = load === null ? "" : ` of ${envFile}`;
  const steps = [
    [
      `Put what ServiceTitan gave you in place of what stands in${where}: ${theirs("ServiceTitan").join(", ")}.`,
    ],
    ...(theirs("the vendor").length > 0
      ? [
          [
            `Put what the vendor gives you in place of what stands in${where}: ${theirs("the vendor").join(", ")}.`,
          ],
        ]
      : []),
    ["At the vendor:", ...notes.map((line) => `  ${line}`)],
    [`${load === null ? "" : `${load}, then `}waypost check --config ${out}`],
    [`waypost doctor --config ${out}`],
    [`waypost start --config ${out}`],
  ];
  for (const [index, [first, ...more]] of steps.entries()) {
    print(`${index + 1}. ${first}`);
    for (const line of more) print(`   ${line}`);
  }
}
