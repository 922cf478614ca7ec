/** Reads the configuration, main document and tenants, and reports every problem at once; the only reader of process.env. */

import { existsSync, readFileSync } from "node:fs";
import type { Placed } from "./across.ts";
import type { AdapterFacts } from "./check-sources.ts";
import { createChecker } from "./checked.ts";
import type { Config } from "./config.ts";
import {
  type Document,
  type MainSettings,
  mainFromEnvironment,
  mainFromFile,
  mainFromSettings,
  type ReadDocument,
  tenantFilesIn,
  tenantFromApi,
  tenantFromFile,
  tenantsDirOf,
} from "./documents.ts";
import { joinedConfig } from "./joined.ts";
import type { ConfigProblem } from "./problems.ts";
import { readProxySettings } from "./proxy.ts";
import type { Environment } from "./references.ts";
import { readSealKeys } from "./seal-keys.ts";
import { areUnchanged, stampsOf } from "./stamps.ts";
import type { TenantSettings } from "./tenant-schema.ts";

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
  /** Tenants may come through the API: then the files need name none. */
  takesTenants?: boolean;
}

/** A tenant that came through the API. */
export interface ApiTenant {
  /** In the form of a file of `tenants.d/`, with its secrets. */
  settings: unknown;
  isPaused: boolean;
}

export type LoadedConfig =
  | {
      config: Config;
      /** About settings that are valid but risky. */
      warnings: ConfigProblem[];
      leftOut: ConfigProblem[];
      /** By value, the reference that a document names it by. */
      references: ReadonlyMap<string, string>;
    }
  | { problems: ConfigProblem[] };

export interface ConfigReader {
  /**
   * Reads what has changed since the last time, and checks all of it. Tenants of the API that are not right are left out
   * and named, because files are there first; anything else that is not right is a problem of the whole.
   */
  read(tenants?: ReadonlyMap<string, ApiTenant>): LoadedConfig;
  /** What the files were at the last reading. */
  mark(): ReadMark;
  /** What the same files are now; for telling whether they are still being written. */
  lookNow(): ReadMark;
  /** Whether a file has changed since, or one has come or gone. */
  hasChanged(since: ReadMark): boolean;
}

export interface ReadMark {
  stamps: ReadonlyMap<string, string>;
  /** The names in `tenants.d/`. */
  files: string;
}

export function loadConfig(input: ConfigInput): LoadedConfig {
  return createConfigReader(input).read();
}

export function createConfigReader(input: ConfigInput): ConfigReader {
  const { env = process.env, allowWeak = false, takesTenants = readSealKeys(env).keys.length > 0 } = input;
  const file = input.settings === undefined ? (input.file ?? env.WAYPOST_CONFIG) : undefined;
  const tenantsDir = file ? tenantsDirOf(file) : null;
  const check = createChecker(input.adapters);
  const main = remembered<MainSettings>();
  const tenants = remembered<TenantSettings>();
  const apiTenants = rememberedApiTenants();
  let lastStamps: ReadonlyMap<string, string> = new Map();
  let lastFiles = "";

  const filesNow = () => (tenantsDir === null ? null : tenantFilesIn(tenantsDir));

  function readMain(): ReadDocument<MainSettings> {
    if (input.settings !== undefined) return mainFromSettings(input.settings);
    return file ? main.of(file, () => mainFromFile(file, env)) : mainFromEnvironment(env);
  }

  return {
    read(given = new Map()) {
      const { proxy, problems: ofProxy } = readProxySettings(env);
      const ofEnvironment = [...ofProxy, ...readSealKeys(env).problems];
      const files = filesNow();
      lastFiles = JSON.stringify(files);
      const mainRead = readMain();
      const tenantsRead = (files ?? []).map((name) => tenants.of(name, () => tenantFromFile(name, env)));
      const all: ReadDocument<unknown>[] = [mainRead, ...tenantsRead];
      lastStamps = new Map(all.flatMap((each) => [...stampsIn(each)]));
      const unreadable = all.flatMap((each) => (each.kind === "unreadable" ? each.problems : []));
      if (mainRead.kind === "unreadable") return { problems: [...unreadable, ...ofEnvironment] };

      const { document } = mainRead;
      const ofFiles = tenantsRead.flatMap((each) => (each.kind === "read" ? [each.document] : []));
      const ofApi = apiTenants.of(given);
      const rules = { main: document, proxy, allowWeak, mayBeEmpty: takesTenants || files !== null };
      const first = check({ ...rules, tenants: [...ofFiles, ...ofApi] });
      const isOfApi = ({ tenant }: Document) => tenant?.origin.kind === "api";
      const left = first.refused.filter((each) => isOfApi(each.document));
      const used = ofApi.filter((each) => !left.some((finding) => finding.document === each));
      const verdict = left.length === 0 ? first : check({ ...rules, tenants: [...ofFiles, ...used] });
      const problems = [...unreadable, ...verdict.refused.map(problemOf), ...ofEnvironment];
      const config = joinedConfig({
        ...{ main: document, tenants: [...ofFiles, ...used], within: verdict.within, proxy },
        isPaused: (name) => given.get(name)?.isPaused === true,
      });
      if (problems.length > 0 || config === undefined) return { problems };
      return {
        config,
        warnings: verdict.warned.map(problemOf),
        leftOut: left.map(problemOf),
        references: new Map([document, ...ofFiles].flatMap(({ references }) => [...references])),
      };
    },
    mark: () => ({ stamps: lastStamps, files: lastFiles }),
    lookNow: () => ({ stamps: stampsOf(lastStamps.keys()), files: JSON.stringify(filesNow()) }),
    hasChanged: ({ stamps, files }) => JSON.stringify(filesNow()) !== files || !areUnchanged(stamps),
  };
}

/** Documents whose files are as they were when they were read. */
function remembered<Settings>() {
  const known = new Map<string, ReadDocument<Settings>>();
  return {
    of(file: string, read: () => ReadDocument<Settings>): ReadDocument<Settings> {
      const before = known.get(file);
      if (before && areUnchanged(stampsIn(before))) return before;
      const now = read();
      known.set(file, now);
      return now;
    },
  };
}

/** A tenant's settings come as one object that is replaced by each change of it. */
function rememberedApiTenants() {
  const known = new WeakMap<object, Document<TenantSettings>>();
  return {
    of(given: ReadonlyMap<string, ApiTenant>): Document<TenantSettings>[] {
      return [...given].map(([name, { settings }]) => {
        if (typeof settings !== "object" || settings === null) return tenantFromApi(name, settings);
        const before = known.get(settings);
        if (before?.tenant?.name === name) return before;
        const document = tenantFromApi(name, settings);
        known.set(settings, document);
        return document;
      });
    },
  };
}

function stampsIn(read: ReadDocument<unknown>): ReadonlyMap<string, string> {
  return read.kind === "read" ? read.document.stamps : read.stamps;
}

function problemOf({ document, ...finding }: Placed): ConfigProblem {
  return document.toProblem(finding);
}

/** The keys that seal the secrets of tenants in Redis; empty where none is set. */
export function givenSealKeys(env: Environment = process.env): readonly Buffer[] {
  return readSealKeys(env).keys;
}

/** Where `scripts/setup.mjs` leaves the address of a container it had to start. */
const CONTAINER_URL_FILE = ".waypost/redis-url";

/** A Redis named in the environment, or started in a container; null: the demo starts its own. */
export function givenRedisUrl(env: Environment = process.env): string | null {
  if (env.REDIS_URL) return env.REDIS_URL;
  return existsSync(CONTAINER_URL_FILE) ? readFileSync(CONTAINER_URL_FILE, "utf8").trim() : null;
}
