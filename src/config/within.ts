/** Checks one document by itself: its settings against each other and the adapters, and its secrets. */

import { checkRelationsWithin } from "./check.ts";
import { type AdapterFacts, parseOptions } from "./check-sources.ts";
import type { Config, SourceConfig } from "./config.ts";
import { checkDeviceTopics } from "./device-topics.ts";
import type { Document } from "./documents.ts";
import { checkExposure } from "./exposure.ts";
import { type Finding, pathText } from "./problems.ts";
import { configSchema } from "./schema.ts";
import { checkStrength, type SecretUse, secretUses } from "./secrets.ts";
import { tenantSchema } from "./tenant-schema.ts";
import type { ValidSettings } from "./valid-settings.ts";

/** What a tenant's document may use of the main configuration. */
export type Around = Pick<ValidSettings, "brokers" | "listen"> & {
  named: Pick<ValidSettings["named"], "brokers" | "listen">;
};

export interface Within {
  /** What is refused, what is refused unless allowed, and what is only said. */
  wrong: readonly Finding[];
  weak: readonly Finding[];
  risky: readonly Finding[];
  /** Its sources, each with its options as the adapter parsed them. */
  sources: ReadonlyMap<string, SourceConfig>;
  secrets: readonly SecretUse[];
}

/** `around`: null for the main configuration itself. */
export function checkWithin(
  { raw, valid: own, findings, gaps, settings }: Document<{ sources: Config["sources"] }>,
  around: Around | null,
  adapters: readonly AdapterFacts[],
): Within {
  const valid = around ? withAround(own, around) : own;
  const options = parseOptions(valid, adapters);
  // A reference that could not be replaced leaves a gap; the gap is no second problem.
  const isThere = ({ path }: Finding) => !gaps.has(pathText(path));
  const relations = [...checkRelationsWithin(valid, own, adapters), ...options.findings];
  const wrong = [...findings, ...relations.filter(isThere)];
  const secrets = secretUses(raw, around ? tenantSchema : configSchema, valid, adapters);
  const weak: Finding[] = [];
  checkStrength(raw, secrets, valid, (path, message) => void weak.push({ path, message }));
  checkExposure(own, (path, message) => void weak.push({ path, message }));
  const risky: Finding[] = [];
  checkDeviceTopics(valid, options.parsed, adapters, (path, message) => void risky.push({ path, message }));
  const sources = new Map(
    Object.entries(settings?.sources ?? {}).map(([name, source]) => [
      name,
      withOptions(source, options.parsed.get(name)),
    ]),
  );
  return { wrong, weak: weak.filter(isThere), risky, sources, secrets };
}

/** An adapter may compile its options into a form that cannot be shown. */
const optionsAsWritten = new WeakMap<object, unknown>();

function withOptions(source: SourceConfig, options: unknown): SourceConfig {
  if (typeof options !== "object" || options === null) return source;
  optionsAsWritten.set(options, source.options);
  return { ...source, options };
}

/** The options of a source as its document has them. */
export function writtenOptions(options: unknown): unknown {
  return typeof options === "object" && options !== null && optionsAsWritten.has(options)
    ? optionsAsWritten.get(options)
    : options;
}

/** A tenant's devices log in at the broker that the main configuration opens; its sources may use the main brokers. */
function withAround(own: ValidSettings, { brokers, listen, named }: Around): ValidSettings {
  return {
    ...own,
    brokers: new Map([...brokers, ...own.brokers]),
    listen: listen && { ...listen, devices: own.listen?.devices ?? [] },
    named: {
      ...own.named,
      listen: named.listen,
      brokers: new Set([...named.brokers, ...own.named.brokers]),
    },
  };
}
