/** Reads the configuration from a file or the environment and reports every problem at once; the only reader of process.env. */

import { existsSync, readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { checkRelations } from "./check.ts";
import { type AdapterFacts, parseOptions } from "./check-sources.ts";
import type { Config } from "./config.ts";
import { withDefaults } from "./defaults.ts";
import { checkDeviceTopics } from "./device-topics.ts";
import { settingsFromEnvironment } from "./environment.ts";
import { checkExposure, findOpenPorts } from "./exposure.ts";
import { readSettingsFile } from "./file.ts";
import { type ConfigProblem, type Finding, pathText, validate } from "./problems.ts";
import { readProxySettings } from "./proxy.ts";
import { type Environment, resolveReferences } from "./references.ts";
import { configSchema } from "./schema.ts";
import { checkSecrets } from "./secrets.ts";
import { validSettingsIn } from "./valid-settings.ts";
import { type FillContext, fill, settingsAt } from "./values.ts";

export interface ConfigInput {
  /** YAML. By default the file named by WAYPOST_CONFIG; without that the environment alone is read. */
  file?: string | undefined;
  /** Instead of a file, in the same form. */
  settings?: unknown;
  /** Default: the environment of this process. */
  env?: Environment;
  adapters: readonly AdapterFacts[];
  /** Weak secrets, and passwords sent in the clear, are warned of and not refused. */
  allowWeak?: boolean;
}

export type LoadedConfig =
  /** Warnings are about settings that are valid but risky. */
  | { config: Config; warnings: ConfigProblem[]; references: ReadonlyMap<string, string> }
  | { problems: ConfigProblem[] };

export function loadConfig(input: ConfigInput): LoadedConfig {
  const { file, settings, env = process.env, adapters, allowWeak = false } = input;
  const { proxy, problems: proxyProblems } = readProxySettings(env);
  const origin = findSettings(file ?? env.WAYPOST_CONFIG, settings, env);
  if (origin.kind === "none") return { problems: [...origin.problems, ...proxyProblems] };

  const unfilled: Finding[] = [];
  const raw = fill(origin.raw, configSchema, [], {
    resolveText: origin.resolveText,
    baseDir: origin.baseDir,
    report: (finding) => void unfilled.push(finding),
  });
  const parsed = validate(configSchema, raw, (path) => settingsAt(configSchema, path));
  const valid = validSettingsIn(raw);
  const options = parseOptions(valid, adapters);
  const weak: Finding[] = [];
  checkSecrets(raw, valid, adapters, (path, message) => void weak.push({ path, message }));
  checkExposure(valid, (path, message) => void weak.push({ path, message }));
  const open: Finding[] = [];
  findOpenPorts(valid, proxy, (path, message) => void open.push({ path, message }));
  const risky: Finding[] = [];
  checkDeviceTopics(valid, options.parsed, adapters, (path, message) => void risky.push({ path, message }));
  const wrong = [...parsed.findings, ...checkRelations(valid, adapters), ...options.findings];
  const refused = allowWeak ? wrong : [...wrong, ...unlessReported(weak, wrong)];
  // A reference that could not be replaced leaves a gap; the gap is no second problem.
  const gaps = new Set(unfilled.map(({ path }) => pathText(path)));
  const found = [...origin.findings, ...unfilled, ...refused.filter(({ path }) => !gaps.has(pathText(path)))];
  const problems = [...found.map((finding) => origin.toProblem(finding)), ...proxyProblems];
  if (problems.length > 0 || parsed.data === undefined) return { problems };
  for (const [name, source] of Object.entries(parsed.data.sources)) {
    const parsedOptions = options.parsed.get(name);
    if (typeof parsedOptions !== "object" || parsedOptions === null) continue;
    optionsAsWritten.set(parsedOptions, source.options);
    source.options = parsedOptions;
  }
  const warnings = [...(allowWeak ? weak : []), ...open, ...risky].map((finding) =>
    origin.toProblem(finding),
  );
  return { config: { ...withDefaults(parsed.data), proxy }, warnings, references: origin.references };
}

/** One problem for each setting: a secret that is too short for the schema is not reported as weak as well. */
function unlessReported(findings: readonly Finding[], reported: readonly Finding[]): Finding[] {
  const places = new Set(reported.map(({ path }) => pathText(path)));
  return findings.filter(({ path }) => !places.has(pathText(path)));
}

/** Where `scripts/setup.mjs` leaves the address of a container it had to start. */
const CONTAINER_URL_FILE = ".waypost/redis-url";

/** A Redis named in the environment, or started in a container; null: the demo starts its own. */
export function givenRedisUrl(env: Environment = process.env): string | null {
  if (env.REDIS_URL) return env.REDIS_URL;
  return existsSync(CONTAINER_URL_FILE) ? readFileSync(CONTAINER_URL_FILE, "utf8").trim() : null;
}

/** An adapter may compile its options into a form that cannot be shown. */
const optionsAsWritten = new WeakMap<object, unknown>();

/** The options of a source as its document has them. */
export function writtenOptions(options: unknown): unknown {
  return typeof options === "object" && options !== null && optionsAsWritten.has(options)
    ? optionsAsWritten.get(options)
    : options;
}

type Origin =
  | { kind: "none"; problems: ConfigProblem[] }
  | {
      kind: "settings";
      raw: unknown;
      findings: Finding[];
      baseDir: string;
      /** By value, how it was written. */
      references: ReadonlyMap<string, string>;
      resolveText: FillContext["resolveText"];
      toProblem(finding: Finding): ConfigProblem;
    };

function findSettings(file: string | undefined, settings: unknown, env: Environment): Origin {
  if (settings !== undefined) {
    return {
      kind: "settings",
      raw: settings,
      findings: [],
      baseDir: process.cwd(),
      references: new Map(),
      resolveText: () => ({ kind: "as_written" }),
      toProblem: ({ path, message }) => ({ path: pathText(path), message }),
    };
  }
  return file ? settingsInFile(file, env) : settingsInEnvironment(env);
}

function settingsInFile(file: string, env: Environment): Origin {
  const read = readSettingsFile(file);
  if (read.kind === "unreadable") return { kind: "none", problems: read.problems };
  const baseDir = dirname(resolve(file));
  const references = new Map<string, string>();
  const replaced = (value: string, written: string) => void references.set(value, written);
  return {
    kind: "settings",
    raw: read.raw,
    findings: [],
    baseDir,
    references,
    resolveText: (text, mark) => resolveReferences(text, { env, baseDir, replaced }, mark),
    toProblem({ path, message }) {
      const line = read.lineOf(path);
      return { path: pathText(path) || file, message, ...(line === undefined ? {} : { line }) };
    },
  };
}

function settingsInEnvironment(env: Environment): Origin {
  const own = settingsFromEnvironment(env);
  if (own === null) {
    const message = "is missing: name a file with --config, or set the variables listed in .env.example";
    return { kind: "none", problems: [{ path: "configuration", message }] };
  }
  return {
    kind: "settings",
    raw: own.raw,
    findings: own.findings,
    baseDir: process.cwd(),
    references: new Map(Object.entries(env).map(([name, value = ""]) => [value, `\${${name}}`])),
    resolveText: (text) => ({ kind: "from_outside", text }),
    toProblem: ({ path, message }) => ({ path: own.nameOf(path), message }),
  };
}
