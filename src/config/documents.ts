/** Reads the documents of a configuration: the main one, from a file or the environment, and one for each tenant. */

import { readdirSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { z } from "zod";
import { settingsFromEnvironment } from "./environment.ts";
import { readSettingsFile } from "./file.ts";
import { type ConfigProblem, type Finding, pathText, validate } from "./problems.ts";
import { type Environment, resolveReferences } from "./references.ts";
import { configSchema } from "./schema.ts";
import { nameSchema } from "./setting-types.ts";
import { stampOf, stampsOf } from "./stamps.ts";
import { type TenantOrigin, type TenantSettings, tenantSchema } from "./tenant-schema.ts";
import { type ValidSettings, validSettingsIn } from "./valid-settings.ts";
import { type FillContext, fill, settingsAt } from "./values.ts";

/** A document as it is by itself, with its references replaced. */
export interface Document<Settings = unknown> {
  /** Null: the main configuration. */
  tenant: { name: string; origin: TenantOrigin } | null;
  raw: unknown;
  /** Undefined where it is not right by itself. */
  settings: Settings | undefined;
  valid: ValidSettings;
  findings: readonly Finding[];
  /** Places of references that could not be replaced: what is missing there is no second problem. */
  gaps: ReadonlySet<string>;
  toProblem(finding: Finding): ConfigProblem;
  /** The files it was made of, those its references name among them, as they were before they were read. */
  stamps: ReadonlyMap<string, string>;
  /** By value, the reference that it is named by. */
  references: ReadonlyMap<string, string>;
}

export type ReadDocument<Settings> =
  | { kind: "read"; document: Document<Settings> }
  | { kind: "unreadable"; problems: ConfigProblem[]; stamps: ReadonlyMap<string, string> };

export type MainSettings = z.output<typeof configSchema>;

/** A text of a document that the API was given is what it says: it may refer to nothing of this machine. */
const NO_REFERENCES: FillContext["resolveText"] = () => ({ kind: "as_written" });

export function mainFromSettings(settings: unknown): ReadDocument<MainSettings> {
  return read({
    ...{ raw: settings, schema: configSchema, tenant: null, baseDir: process.cwd() },
    resolveText: NO_REFERENCES,
    toProblem: ({ path, message }) => ({ path: pathText(path), message }),
  });
}

export function mainFromEnvironment(env: Environment): ReadDocument<MainSettings> {
  const own = settingsFromEnvironment(env);
  if (own === null) {
    const message = "is missing: name a file with --config, or set the variables listed in .env.example";
    return { kind: "unreadable", problems: [{ path: "configuration", message }], stamps: new Map() };
  }
  return read({
    ...{ raw: own.raw, schema: configSchema, tenant: null, baseDir: process.cwd() },
    findings: own.findings,
    resolveText: (text) => ({ kind: "from_outside", text }),
    toProblem: ({ path, message }) => ({ path: own.nameOf(path), message }),
    references: new Map(Object.entries(env).map(([name, value = ""]) => [value, `\${${name}}`])),
  });
}

export function mainFromFile(file: string, env: Environment): ReadDocument<MainSettings> {
  return fromFile({ ...{ file, shown: undefined, env, schema: configSchema, tenant: null } });
}

/** The folder of tenants' files that belongs to a configuration file. */
export function tenantsDirOf(file: string): string {
  return join(dirname(resolve(file)), "tenants.d");
}

/** The files of tenants, by name; null: there is no such folder. Hidden files and editors' copies are passed over. */
export function tenantFilesIn(dir: string): string[] | null {
  try {
    const names = readdirSync(dir).filter((name) => /^[^.].*\.ya?ml$/.test(name));
    return names.sort().map((name) => join(dir, name));
  } catch {
    return null;
  }
}

/** How operators call a tenant's file. */
function shownName(file: string): string {
  return `${basename(dirname(file))}/${basename(file)}`;
}

export function tenantFromFile(file: string, env: Environment): ReadDocument<TenantSettings> {
  const name = basename(file).replace(/\.ya?ml$/, "");
  const shown = shownName(file);
  const named = nameSchema.safeParse(name);
  if (!named.success) {
    const message = `has a name that no tenant can have: it ${named.error.issues[0]?.message ?? "is not possible"}`;
    return {
      kind: "unreadable",
      problems: [{ path: "", message, file: shown }],
      stamps: stampsOf([file]),
    };
  }
  const tenant = { name, origin: { kind: "file", file } } as const;
  return fromFile({ file, shown, env, schema: tenantSchema, tenant });
}

/** What the API was given for a tenant, as JSON, with its secrets. */
export function tenantFromApi(name: string, raw: unknown): Document<TenantSettings> {
  const findings: Finding[] = [];
  const document = read({
    ...{ raw, schema: tenantSchema, tenant: { name, origin: { kind: "api" } }, baseDir: "", findings },
    resolveText: (_text, mark) =>
      mark === "file"
        ? { kind: "problem", message: "names a file; documents of the API bring everything with them" }
        : { kind: "as_written" },
    toProblem: ({ path, message }) => ({ path: pathText(path), message, tenant: name, steps: path }),
  });
  if (document.kind === "unreadable") throw new Error("A document of the API is read without any file.");
  return document.document;
}

interface FileInput<Settings> {
  file: string;
  /** In problems; undefined for the main file, which needs no name. */
  shown: string | undefined;
  env: Environment;
  schema: z.ZodType<Settings>;
  tenant: Document["tenant"];
}

function fromFile<Settings>({ file, shown, env, ...rest }: FileInput<Settings>): ReadDocument<Settings> {
  // Before the file is read: a change meanwhile makes another stamp.
  const stamps = new Map(stampsOf([file]));
  const inFile = shown === undefined ? {} : { file: shown };
  const found = readSettingsFile(file);
  if (found.kind === "unreadable") {
    const problems = found.problems.map((problem) => (shown ? { ...problem, ...inFile, path: "" } : problem));
    return { kind: "unreadable", problems, stamps };
  }
  const note = (name: string) => void stamps.set(name, stampOf(name));
  const written = new Map<string, string>();
  const references = {
    ...{ env, baseDir: dirname(resolve(file)), refersTo: note },
    replaced: (value: string, reference: string) => void written.set(value, reference),
  };
  return read({
    ...rest,
    raw: found.raw,
    baseDir: references.baseDir,
    resolveText: (text, mark) => resolveReferences(text, references, mark),
    // Certificates and mapping files: with another content the configuration may be right or wrong.
    namesFile: note,
    toProblem({ path, message }) {
      const line = found.lineOf(path);
      const place = pathText(path) || (shown === undefined ? file : "");
      return { path: place, message, ...inFile, ...(line === undefined ? {} : { line }) };
    },
    stamps,
    references: written,
  });
}

interface ReadInput<Settings> {
  raw: unknown;
  schema: z.ZodType<Settings>;
  tenant: Document["tenant"];
  baseDir: string;
  findings?: readonly Finding[];
  resolveText: FillContext["resolveText"];
  namesFile?: NonNullable<FillContext["namesFile"]>;
  toProblem: Document["toProblem"];
  stamps?: ReadonlyMap<string, string>;
  references?: ReadonlyMap<string, string>;
}

function read<Settings>(input: ReadInput<Settings>): ReadDocument<Settings> {
  const { schema, tenant, baseDir, resolveText, toProblem, stamps = new Map<string, string>() } = input;
  const { references = new Map<string, string>() } = input;
  const unfilled: Finding[] = [];
  const raw = fill(input.raw, schema, [], {
    ...{ resolveText, baseDir, ...(input.namesFile ? { namesFile: input.namesFile } : {}) },
    report: (finding) => void unfilled.push(finding),
  });
  const { data, findings } = validate(schema, raw, (path) => settingsAt(schema, path));
  const gaps = new Set(unfilled.map(({ path }) => pathText(path)));
  const document: Document<Settings> = {
    ...{ tenant, raw, settings: data, valid: validSettingsIn(raw), gaps, toProblem, stamps, references },
    findings: [
      ...(input.findings ?? []),
      ...unfilled,
      ...findings.filter(({ path }) => !hasGap(pathText(path), gaps)),
    ],
  };
  return { kind: "read", document };
}

/** Also where a setting is missing in the group that the finding is about. */
function hasGap(place: string, gaps: ReadonlySet<string>): boolean {
  return [...gaps].some((gap) => gap === place || gap.startsWith(`${place}.`));
}
