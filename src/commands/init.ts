/** The `init` command: asks for vendor, tenant and provider, and writes a configuration that passes `check`, its secrets apart. */

import { Command, Option } from "commander";
import type { Adapter } from "../adapters/kit/adapter.ts";
import type { DraftAnswers } from "../setup/draft.ts";
import { json, wholeNumber } from "./options.ts";
import { printError, terminalToAsk } from "./print.ts";

interface Options extends Partial<Omit<DraftAnswers, "environment">> {
  vendor?: string;
  environment: DraftAnswers["environment"];
  secrets: "files" | "env";
  out: string;
  force?: boolean;
}

/** EX_USAGE of old: what was typed cannot be meant. */
const USAGE = 2;

export function initCommand(): Command {
  return new Command("init")
    .description("write a first configuration for one vendor and one ServiceTitan tenant")
    .option("--vendor <vendor>", "whose messages come; docs/vendors.md lists them")
    .option("--tenant <id>", "numeric tenant id at ServiceTitan")
    .option("--provider <name>", "the gps_provider that ServiceTitan gave you")
    .addOption(
      new Option("--environment <name>", "of ServiceTitan; custom needs both addresses")
        .choices(["production", "integration", "custom"])
        .default("production"),
    )
    .option("--api-url <url>", "with custom: base of the API")
    .option("--auth-url <url>", "with custom: base of the token endpoint")
    .option("--source <name>", "the source's name, which stands in the address; default: the vendor")
    .option("--auth <method>", "how the vendor proves who it is; default: its usual method")
    .option("--username <name>", "of HTTP Basic, of the account that is polled, or at the broker")
    .option("--header <name>", "of the method custom-header")
    .option("--allow <ranges>", "of the method address-list, with commas", listed)
    .option("--speed-unit <unit>", "where the vendor documents none: mph, kph, mps or knots")
    .option("--base-url <url>", "where a polled vendor is asked")
    .option("--database <name>", "of Geotab")
    .option("--broker <url>", "an MQTT broker; left out, devices connect to the embedded one")
    .option("--topics <filters>", "of MQTT, with commas", listed)
    .option("--options <json>", "the source's options", json)
    .option("--public-url <url>", "under which vendors reach the webhooks")
    .option("--redis <url>", "default redis://127.0.0.1:6379")
    .option("--port <n>", "of the webhooks; default 8080", wholeNumber)
    .option("--ops-port <n>", "of the ops endpoint; default 9090", wholeNumber)
    .addOption(
      new Option("--secrets <how>", "a file for each secret, or variables in one file")
        .choices(["files", "env"])
        .default("files"),
    )
    .option("--out <file>", "the configuration", "waypost.yaml")
    .option("--force", "write over files that are there")
    .action(async (options: Options) => {
      const answered = await answersOf(options);
      if (!answered) {
        process.exitCode = USAGE;
        return;
      }
      const { writeDraft } = await import("./init-files.ts");
      process.exitCode = await writeDraft({
        ...answered,
        out: options.out,
        secrets: options.secrets,
        force: options.force ?? false,
      });
    });
}

function listed(text: string): string[] {
  return text.split(",").map((entry) => entry.trim());
}

interface Question {
  key: "vendor" | "tenant" | "provider" | "speedUnit" | "baseUrl" | "database" | "apiUrl" | "authUrl";
  flag: string;
  question: string;
  /** What to say of a wrong answer; null: it will do. */
  problem(answer: string): string | null;
}

/** Everything that is missing is asked on a terminal; elsewhere it is an error of usage, and null. */
async function answersOf(options: Options): Promise<{ adapter: Adapter; answers: DraftAnswers } | null> {
  const { adapters, findAdapter } = await import("../adapters/index.ts");
  const { SPEED_UNITS } = await import("../reading.ts");
  const terminal = await terminalToAsk();
  const given: Options = { ...options };
  const lacking: string[] = [];
  const problems: string[] = [];
  const settle = async (questions: readonly Question[]) => {
    for (const { key, flag, question, problem } of questions) {
      for (;;) {
        const answer = given[key] ?? (await terminal?.ask(question));
        if (answer === undefined) {
          lacking.push(flag);
          break;
        }
        given[key] = answer;
        const wrong = problem(answer);
        if (wrong === null) break;
        if (!terminal) {
          problems.push(`${flag} ${wrong}`);
          break;
        }
        printError(`${flag} ${wrong}`);
        delete given[key];
      }
    }
  };
  try {
    await settle(firstQuestions(adapters.map(({ vendor }) => vendor)));
    const adapter = findAdapter(given.vendor ?? "");
    if (adapter) await settle(questionsOf(adapter, given, SPEED_UNITS));
    if (lacking.length > 0) problems.push(`init needs ${lacking.join(", ")}: it asks only on a terminal`);
    for (const problem of problems) printError(problem);
    const { tenant, provider, environment } = given;
    if (!adapter || problems.length > 0 || tenant === undefined || provider === undefined) return null;
    return {
      adapter,
      answers: { ...given, source: given.source ?? adapter.vendor, tenant, provider, environment },
    };
  } finally {
    terminal?.close();
  }
}

function firstQuestions(vendors: readonly string[]): Question[] {
  return [
    {
      ...{ key: "vendor", flag: "--vendor", question: "Vendor (docs/vendors.md lists them):" },
      problem: (answer) => (vendors.includes(answer) ? null : `must be one of ${vendors.join(", ")}`),
    },
    {
      ...{ key: "tenant", flag: "--tenant", question: "Numeric tenant id at ServiceTitan:" },
      problem: (answer) => (/^[1-9]\d{0,18}$/.test(answer) ? null : "must be the numeric tenant id"),
    },
    {
      ...{ key: "provider", flag: "--provider", question: "Provider (gps_provider at ServiceTitan):" },
      problem: (answer) =>
        /^[A-Za-z0-9._~-]+$/.test(answer) ? null : "must be the name that stands in the address",
    },
  ];
}

/** What only some vendors and environments need. */
function questionsOf(
  { speedUnit, pull }: Adapter,
  { environment }: Options,
  units: readonly string[],
): Question[] {
  const isUrl = (answer: string) => (URL.canParse(answer) ? null : "must be a URL");
  const needs: readonly string[] = pull?.needs ?? [];
  const isText = (answer: string) => (answer === "" ? "must not be empty" : null);
  const all: (Question & { isNeeded: boolean })[] = [
    {
      ...{ key: "speedUnit", flag: "--speed-unit", isNeeded: speedUnit === "required" },
      question: `Unit of its speeds, which it does not document (${units.join(", ")}):`,
      problem: (answer) => (units.includes(answer) ? null : `must be one of ${units.join(", ")}`),
    },
    {
      ...{ key: "baseUrl", flag: "--base-url", isNeeded: needs.includes("baseUrl") },
      ...{ question: "Where it is asked (URL):", problem: isUrl },
    },
    {
      ...{ key: "database", flag: "--database", isNeeded: needs.includes("database") },
      ...{ question: "Database:", problem: isText },
    },
    {
      ...{ key: "apiUrl", flag: "--api-url", isNeeded: environment === "custom" },
      ...{ question: "Base of the API (URL):", problem: isUrl },
    },
    {
      ...{ key: "authUrl", flag: "--auth-url", isNeeded: environment === "custom" },
      ...{ question: "Base of the token endpoint (URL):", problem: isUrl },
    },
  ];
  return all.filter(({ isNeeded }) => isNeeded);
}
