/** Checks the sources whose vendor is asked: what the vendor needs, and where the credentials may go. */

import type { z } from "zod";
import { isConfidential, isPrivateHost } from "./address.ts";
import type { SourceConfig } from "./config.ts";
import { type SettingPath, validate } from "./problems.ts";
import { PULL_SETTINGS } from "./source-schema.ts";
import { settingsAt } from "./values.ts";

/** The facts about a vendor that is asked. */
export interface PullFacts {
  hosts: RegExp;
  needs: readonly ("secret" | "username" | "database")[];
  minIntervalMs: number;
}

/** A vendor that is described under `pull`. */
export interface ConfigurablePull {
  settings: z.ZodType<PullFacts>;
}

type Report = (path: SettingPath, message: string) => void;

export function checkPullSource(
  at: SettingPath,
  source: SourceConfig,
  asked: PullFacts | ConfigurablePull,
  vendor: string,
  report: Report,
): void {
  const { auth, mqtt, pull = {} } = source;
  if (mqtt) report([...at, "mqtt"], `is not a way ${vendor} sends; leave it out`);
  for (const key of ["method", "secrets", "users", "header", "allow"] as const) {
    if (auth?.[key] !== undefined) report([...at, "auth", key], `has no effect: ${vendor} is asked`);
  }
  const facts = "settings" in asked ? configured([...at, "pull"], asked, pull, report) : asked;
  if (!("settings" in asked)) {
    for (const key of Object.keys(pull)) {
      if (!PULL_SETTINGS.includes(key)) report([...at, "pull", key], "is not a setting");
    }
  }
  if (!facts) return;
  checkNeeds(at, source, facts, vendor, report);
  if (pull.intervalMs !== undefined && pull.intervalMs < facts.minIntervalMs) {
    report([...at, "pull", "intervalMs"], `must be at least ${facts.minIntervalMs}: ${vendor} asks for that`);
  }
  if ("settings" in asked) checkAddresses([...at, "pull"], pull, report);
  else checkBaseUrl([...at, "pull"], pull, facts.hosts, vendor, report);
}

/** By the adapter's own schema, so that every problem of a request is found before it is made. */
function configured(
  at: SettingPath,
  { settings }: ConfigurablePull,
  given: unknown,
  report: Report,
): PullFacts | undefined {
  const { data, findings } = validate(settings, given, (path) => settingsAt(settings, path));
  for (const { path, message } of findings) report([...at, ...path], message);
  return data;
}

function checkNeeds(
  at: SettingPath,
  { auth, pull }: SourceConfig,
  { needs }: PullFacts,
  vendor: string,
  report: Report,
): void {
  const given = {
    secret: { path: [...at, "auth", "secret"], value: auth?.secret },
    username: { path: [...at, "auth", "username"], value: auth?.username },
    database: { path: [...at, "pull", "database"], value: pull?.database },
  };
  for (const key of ["secret", "username", "database"] as const) {
    const { path, value } = given[key];
    const isNeeded = needs.includes(key);
    if (isNeeded && value === undefined) {
      const why = key === "secret" ? `: ${vendor} is asked with a token or a password` : ` by ${vendor}`;
      report(path, `is required${why}`);
    }
    if (!isNeeded && value !== undefined) report(path, `has no effect: ${vendor} knows none`);
  }
}

/** A foreign host would get the credentials; a private address belongs to a stand-in or to a forwarding proxy. */
function checkBaseUrl(
  at: SettingPath,
  { baseUrl }: NonNullable<SourceConfig["pull"]>,
  hosts: RegExp,
  vendor: string,
  report: Report,
): void {
  if (baseUrl === undefined || !URL.canParse(baseUrl)) return;
  const url = new URL(baseUrl);
  const isTheirs = url.protocol === "https:" && url.port === "" && hosts.test(url.hostname);
  if (!isTheirs && !(isConfidential(url) && url.protocol === "http:")) {
    report([...at, "baseUrl"], `must be https at a host of ${vendor}, which gets the credentials`);
  }
}

/** Of all requests: a login at another host gets the password. */
function checkAddresses(at: SettingPath, pull: NonNullable<SourceConfig["pull"]>, report: Report): void {
  const addresses: [SettingPath, unknown][] = [
    [["baseUrl"], pull.baseUrl],
    [["url"], pull.url],
    [["login", "url"], urlOf(pull.login)],
    [["lookup", "url"], urlOf(pull.lookup)],
  ];
  for (const [path, address] of addresses) {
    if (typeof address !== "string" || !URL.canParse(address)) continue;
    const url = new URL(address);
    if (!isPrivateHost(url.hostname)) {
      if (url.protocol !== "https:") report([...at, ...path], "must be https: it gets the credentials");
    } else if (pull.privateNetwork !== true) {
      report(
        [...at, ...path],
        "is an address of our own network; if that is meant, set privateNetwork: true",
      );
    }
  }
}

function urlOf(request: unknown): unknown {
  return typeof request === "object" && request !== null && "url" in request ? request.url : undefined;
}
