/** Checks each source against the adapter of its vendor. */

import { z } from "zod";
import { overlap } from "../adapters/kit/topic.ts";
import { type ConfigurablePull, checkPullSource, type PullFacts } from "./check-pull.ts";
import type { SourceConfig } from "./config.ts";
import { type Finding, type SettingPath, validate } from "./problems.ts";
import type { ValidSettings } from "./valid-settings.ts";
import { settingsAt } from "./values.ts";

/** The facts about an adapter that are needed to check the sources that use it. */
export interface AdapterFacts {
  vendor: string;
  transports: readonly ("webhook" | "mqtt" | "pull")[];
  pull?: PullFacts | ConfigurablePull;
  auth: readonly {
    name: string;
    /** The source has to name it. */
    isByNameOnly?: true;
    needs: readonly ("secrets" | "username" | "header" | "allow")[];
    /** Why this secret cannot authenticate anything. */
    secretProblem?(secret: string): string | null;
    /** Absent: the method authenticates the body, and nothing beside it. */
    verifyHead?: unknown;
  }[];
  speedUnit: string;
  topics?: readonly string[];
  /** How long the vendor waits for an answer. */
  deadlineMs?: number;
  options?: z.ZodType;
  /** Topic filters outside which a source with these options ignores every message; null: no such limit. */
  topicsRead?: (options: unknown) => readonly string[] | null;
  /** Where outside the body the device's id may come from with these options. */
  idOutsideBody?: (options: unknown) => "header" | "query" | null;
  /** The adapter's problems with a source's settings, each as `setting: problem`; gets the parsed options. */
  settingProblems?: (settings: { speedUnit: SourceConfig["speedUnit"]; options: unknown }) => string[];
}

/** The name of the embedded broker in a source's settings. */
export const EMBEDDED = "listen";

type UserConfig = NonNullable<NonNullable<SourceConfig["auth"]>["users"]>[number];

export type Report = (path: SettingPath, message: string) => void;

export function checkSource(
  name: string,
  source: SourceConfig,
  valid: ValidSettings,
  adapters: readonly AdapterFacts[],
  report: Report,
): void {
  const at = ["sources", name];
  if (!valid.named.destinations.has(source.destination)) {
    report([...at, "destination"], "names no destination of this configuration");
  }
  const adapter = adapters.find(({ vendor }) => vendor === source.vendor);
  if (!adapter) {
    report(
      [...at, "vendor"],
      `is not a known vendor; known are ${listed(adapters.map(({ vendor }) => vendor))}`,
    );
    return;
  }
  if (adapter.pull) {
    checkPullSource(at, source, adapter.pull, adapter.vendor, report);
  } else if (source.pull) {
    report(
      [...at, "pull"],
      `has no effect: ${adapter.vendor} sends by itself${polledSibling(adapter, adapters)}`,
    );
  } else if (source.auth && source.mqtt) {
    report(
      [...at, "auth"],
      "does not go with mqtt, where the broker connection authenticates; make it two sources",
    );
  } else if (source.mqtt) {
    checkMqttSource([...at, "mqtt"], source.mqtt, valid, adapter, report);
  } else {
    checkWebhookSource(at, source, adapter, report);
  }
  if (adapter.speedUnit === "required" && source.speedUnit === undefined) {
    report([...at, "speedUnit"], `is required: ${adapter.vendor} does not document the unit of its speeds`);
  }
  if (source.speedUnit !== undefined && !["required", "optional"].includes(adapter.speedUnit)) {
    report(
      [...at, "speedUnit"],
      `has no effect: the speed unit of ${adapter.vendor} is known (${adapter.speedUnit})`,
    );
  }
  if (!adapter.options && source.options !== undefined) {
    report([...at, "options"], `has no effect: ${adapter.vendor} takes no options`);
  }
}

/** Vendors that can also be asked have a second adapter, named after the first. */
function polledSibling({ vendor }: AdapterFacts, adapters: readonly AdapterFacts[]): string {
  const sibling = adapters.find((other) => other.pull && other.vendor.startsWith(`${vendor}-`));
  return sibling ? `; to ask it, use vendor: ${sibling.vendor}` : "";
}

function checkMqttSource(
  at: SettingPath,
  { broker, topics }: NonNullable<SourceConfig["mqtt"]>,
  valid: ValidSettings,
  adapter: AdapterFacts,
  report: Report,
): void {
  if (!adapter.transports.includes("mqtt")) {
    report(at, `is not a way ${adapter.vendor} sends; leave it out`);
    return;
  }
  if (broker === EMBEDDED) {
    if (!valid.named.listen)
      report([...at, "broker"], "means the embedded broker, which mqtt.listen switches on");
    return;
  }
  if (!valid.named.brokers.has(broker)) report([...at, "broker"], "names no broker under mqtt.brokers");
  if (!topics && !adapter.topics?.length) {
    report([...at, "topics"], `is required: ${adapter.vendor} has no usual topics`);
  }
}

function checkWebhookSource(
  at: SettingPath,
  source: SourceConfig,
  adapter: AdapterFacts,
  report: Report,
): void {
  const { auth } = source;
  const offered = listed(adapter.auth.map((authMethod) => authMethod.name));
  if (!adapter.transports.includes("webhook")) {
    report([...at, "mqtt"], `is required: ${adapter.vendor} sends over MQTT only`);
    return;
  }
  if (!auth) {
    report(
      [...at, "auth"],
      `is required: without it the source cannot authenticate its sender; ${adapter.vendor} offers ${offered}`,
    );
    return;
  }
  const chosen = adapter.auth.filter(({ name, isByNameOnly = false }) =>
    auth.method === undefined ? !isByNameOnly : name === auth.method,
  );
  const [authMethod] = chosen;
  if (!authMethod) {
    report([...at, "auth", "method"], `is not a method ${adapter.vendor} offers; it offers ${offered}`);
    return;
  }
  if (chosen.length > 1) {
    report([...at, "auth", "method"], `is required: ${adapter.vendor} offers ${offered}`);
    return;
  }
  const { secret, secrets, username, header, allow } = auth;
  if (secret !== undefined && secrets) {
    report([...at, "auth", "secrets"], "and secret are two ways to say one thing; leave one out");
  }
  const secretAt = secret === undefined ? "secrets" : "secret";
  for (const [index, each] of (secret === undefined ? (secrets ?? []) : [secret]).entries()) {
    const problem = authMethod.secretProblem?.(each) ?? null;
    const path = [...at, "auth", secretAt, ...(secretAt === "secrets" ? [index] : [])];
    if (problem !== null) report(path, problem);
  }
  if (auth.users) checkUsers([...at, "auth"], auth.users, auth, authMethod, report);
  const given = { secrets: secret ?? secrets, username, header, allow };
  for (const need of authMethod.needs) {
    const isTheUsers = auth.users !== undefined && (need === "secrets" || need === "username");
    if (given[need] === undefined && !isTheUsers) {
      const key = need === "secrets" ? "secret" : need;
      report([...at, "auth", key], `is required by the method ${authMethod.name}`);
    }
  }
  // An operator who lists addresses expects that only these get in.
  if (allow && !authMethod.needs.includes("allow")) {
    report(
      [...at, "auth", "allow"],
      `has no effect: the method ${authMethod.name} does not look at addresses`,
    );
  }
}

function checkUsers(
  at: SettingPath,
  users: readonly UserConfig[],
  { username, secret, secrets }: NonNullable<SourceConfig["auth"]>,
  authMethod: AdapterFacts["auth"][number],
  report: Report,
): void {
  if (!authMethod.needs.includes("username")) {
    report([...at, "users"], `has no effect: the method ${authMethod.name} knows no usernames`);
  }
  for (const [key, value] of Object.entries({ username, secret, secrets })) {
    if (value !== undefined) report([...at, key], "does not go with users; make it one of them");
  }
  const seen = new Set<string>();
  for (const [index, user] of users.entries()) {
    const where = [...at, "users", index];
    if (seen.has(user.username)) report([...where, "username"], "is given twice");
    seen.add(user.username);
    if (user.secret === undefined && user.secrets === undefined) {
      report([...where, "secret"], `is required by the method ${authMethod.name}`);
    }
    if (user.secret !== undefined && user.secrets !== undefined) {
      report([...where, "secrets"], "and secret are two ways to say one thing; leave one out");
    }
  }
}

/** Messages of a topic that the options do not name would all be ignored, without any problem being reported. */
function checkTopics(
  at: SettingPath,
  { broker, topics }: NonNullable<SourceConfig["mqtt"]>,
  name: string,
  { listen }: ValidSettings,
  read: readonly string[],
  { vendor, topics: defaults = [] }: AdapterFacts,
  report: Report,
): void {
  const isRead = (filter: string) => read.some((one) => overlap(one, filter));
  const problem = (filter: string) =>
    `must meet what ${vendor} reads with these options (${listed(read)}), which ${filter} does not: give options.topic as well`;
  if (broker === EMBEDDED) {
    for (const [index, device] of (listen?.devices ?? []).entries()) {
      if (device.source !== name) continue;
      const filters = device.topics.map((filter) => filter.replaceAll("%u", device.username));
      if (!filters.some(isRead)) {
        report(["mqtt", "listen", "devices", index, "topics"], problem(listed(filters)));
      }
    }
  } else if (topics) {
    for (const [index, filter] of topics.entries()) {
      if (!isRead(filter)) report([...at, "mqtt", "topics", index], problem(filter));
    }
  } else if (!defaults.some(isRead)) report([...at, "mqtt", "topics"], problem(listed(defaults)));
}

/** The options of each source, parsed by its adapter's own schema. */
export function parseOptions(valid: ValidSettings, adapters: readonly AdapterFacts[]) {
  const parsed = new Map<string, unknown>();
  const found: Finding[] = [];
  for (const [name, { vendor, options, speedUnit, mqtt, auth }] of valid.sources) {
    const at = ["sources", name];
    const adapter = adapters.find((candidate) => candidate.vendor === vendor);
    const schema = adapter?.options ?? z.unknown();
    const { data, findings } = validate(schema, options, (path) => settingsAt(schema, path));
    for (const { path, message } of findings) found.push({ path: [...at, "options", ...path], message });
    if (findings.length > 0) continue;
    parsed.set(name, data);
    const read = adapter?.topicsRead?.(data) ?? null;
    if (mqtt && adapter && read) {
      checkTopics(
        at,
        mqtt,
        name,
        valid,
        read,
        adapter,
        (path, message) => void found.push({ path, message }),
      );
    }
    const outside = adapter?.idOutsideBody?.(data) ?? null;
    const authMethod =
      auth && adapter?.auth.find((each) => auth.method === undefined || each.name === auth.method);
    if (outside !== null && authMethod && authMethod.verifyHead === undefined) {
      const message = `comes from ${outside === "query" ? "the query" : "a header"}, which the method ${authMethod.name} does not cover: anyone who has seen one signed message could send it as any device; take the id from the body, or use another method`;
      found.push({ path: [...at, "options", "deviceId"], message });
    }
    for (const problem of adapter?.settingProblems?.({ speedUnit, options: data }) ?? []) {
      const [setting = "", ...words] = problem.split(": ");
      found.push({ path: [...at, ...setting.split(".")], message: words.join(": ") });
    }
  }
  return { parsed, findings: found };
}

function listed(names: readonly string[]): string {
  return names.length > 0 ? names.join(", ") : "none";
}
