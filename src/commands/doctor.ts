/** The `doctor` command: asks everything outside that a configuration needs, and says what is not well and what to do. */

import { Command, InvalidArgumentError } from "commander";
import { CONFIG_OPTION, duration } from "./options.ts";
import { print, printError, printJson } from "./print.ts";

interface Options {
  config?: string;
  source?: string;
  destination?: string;
  testPing?: string;
  at?: Place;
  within?: number;
  json?: boolean;
}

interface Place {
  latitude: number;
  longitude: number;
}

/** With the start of the process, which a busy machine takes seconds for, the whole run stays under 10 s. */
const WHOLE_RUN_MS = 9000;
const WITHIN_MS = { most: 7000, least: 4000 };
/** In the Atlantic: within 125 m of a customer, ServiceTitan would mark a technician as arrived. */
const NOWHERE: Place = { latitude: 0, longitude: 0 };
const USAGE_WRONG = 2;
/** What is still under way then waits for something that does not answer, such as a resolver. */
const END_WITHIN_MS = 500;

export function doctorCommand(): Command {
  return new Command("doctor")
    .description("ask Redis, ServiceTitan, brokers and vendors, and say what is not well and what to do")
    .option(...CONFIG_OPTION)
    .option("--source <name>", "only this source's broker or vendor")
    .option("--destination <name>", "only this destination's ServiceTitan")
    .option("--test-ping <unit>", "also send one position of this unit to the one destination")
    .option("--at <lat,lon>", "where the test ping is; default: 0,0, far from every customer", place)
    .option(
      "--within <time>",
      "how long all checks together may take; default: the whole run at most 10s",
      duration,
    )
    .option("--json", "print one line of JSON")
    .addHelpText("after", EXAMPLES)
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : USAGE_WRONG))
    .action(async (options: Options) => {
      const lines = await linesFor(options);
      if (lines === null) return;
      const { asJson, exitCodeOf, inWords } = await import("../doctor/report.ts");
      process.exitCode = exitCodeOf(lines);
      // Counted from the start of the process.
      if (options.json) printJson(asJson(lines, performance.now()));
      else for (const line of inWords(lines)) print(line);
      setTimeout(() => process.exit(), END_WITHIN_MS).unref();
    });
}

const EXAMPLES = `
Examples:
  waypost doctor --config waypost.yaml
  waypost doctor --config waypost.yaml --destination acme --test-ping van-41
  waypost doctor --config waypost.yaml --source acme --within 60s

Exit codes: 0 all is well, 69 something is not, 78 the configuration is wrong, 2 the command line is.`;

/** Null where the command line asks for what is not there; that has been said. */
async function linesFor(options: Options) {
  const { config: file, source, destination, testPing, at, within } = options;
  const { loadConfig } = await import("../config/load.ts");
  const { adapters } = await import("../adapters/index.ts");
  // It starts nothing, so that weak secrets are none of its business.
  const loaded = loadConfig({ file, adapters, allowWeak: true });
  if ("problems" in loaded) {
    const { configurationLines } = await import("../doctor/configuration.ts");
    return configurationLines(loaded.problems);
  }
  const { config } = loaded;
  const wrong = usageProblem(config, options);
  if (wrong !== null) {
    printError(wrong);
    process.exitCode = USAGE_WRONG;
    return null;
  }
  const { runDoctor } = await import("../doctor/run.ts");
  const ping = testPing === undefined ? null : { unit: testPing, ...(at ?? NOWHERE) };
  // Of a test ping there is one destination, whether it was named or not.
  const [target] = ping === null || source === undefined ? [] : Object.keys(config.destinations);
  const only = { source, destination: destination ?? target };
  return runDoctor({ config, only, testPing: ping, withinMs: within ?? withinDefault() });
}

function withinDefault(): number {
  const left = WHOLE_RUN_MS - performance.now();
  return Math.min(WITHIN_MS.most, Math.max(WITHIN_MS.least, left));
}

function usageProblem(
  { sources, destinations }: { sources: object; destinations: object },
  { source, destination, testPing, at }: Options,
): string | null {
  if (source !== undefined && !Object.hasOwn(sources, source))
    return `The configuration has no source called ${source}.`;
  if (destination !== undefined && !Object.hasOwn(destinations, destination))
    return `The configuration has no destination called ${destination}.`;
  if (testPing === "") return "--test-ping needs the unit's id.";
  if (testPing === undefined) return at === undefined ? null : "--at is the place of a --test-ping.";
  const names = Object.keys(destinations);
  return destination === undefined && names.length > 1
    ? `A test ping goes to one destination: add --destination with one of ${names.join(", ")}.`
    : null;
}

function place(text: string): Place {
  const [, latitude, longitude] = /^(-?\d+(?:\.\d+)?),(-?\d+(?:\.\d+)?)$/.exec(text)?.map(Number) ?? [];
  const isOnEarth =
    latitude !== undefined &&
    longitude !== undefined &&
    Math.abs(latitude) <= 90 &&
    Math.abs(longitude) <= 180;
  if (!isOnEarth) throw new InvalidArgumentError("use degrees, for example 33.4484,-112.074");
  return { latitude, longitude };
}
