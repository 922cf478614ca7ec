/** Writes a configuration as YAML that can be loaded again and means the same, with no secret in it. */

import { Document, isMap, isScalar, Scalar, visit } from "yaml";
import { visible, visibleJson } from "../untrusted.ts";
import type { Config } from "./config.ts";
import { pathText, type SettingPath } from "./problems.ts";
import { hideProxySecrets } from "./proxy.ts";
import { configSchema } from "./schema.ts";
import { hideUrlSecrets, isNamedSecret, mapTexts, type TextPlace } from "./values.ts";
import { writtenOptions } from "./within.ts";

export interface ShowInput {
  config: Config;
  /** Values that came from elsewhere, and the reference by which the configuration names each. */
  references: ReadonlyMap<string, string>;
  /** Lines that stand as a comment above a source. */
  notesOf(source: string): readonly string[];
}

export function configAsYaml({ config, references, notesOf }: ShowInput): string {
  const { proxy, sources, tenants, ...settings } = config;
  const placeholders = createPlaceholders(references);
  const written = Object.entries(sources).map(([name, { options, ...source }]) => [
    name,
    options === undefined ? source : { ...source, options: writtenOptions(options) },
  ]);
  const whole = { ...settings, sources: Object.fromEntries(written) };
  const shown = mapTexts(whole, configSchema, placeholders.shown);
  const document = new Document(shown);
  keepVisible(document);
  noteSources(document, notesOf);
  document.commentBefore = comment([
    "The configuration as Waypost understands it, every default included. It can be loaded again.",
    "A secret stands as the reference by which the configuration names it.",
    ...placeholders.explained(),
    ...Object.entries(tenants).map(([name, tenant]) => tenantNote(name, tenant)),
    ...Object.entries(hideProxySecrets(proxy)).map(
      ([name, value]) => `From the environment: ${name} ${value}`,
    ),
  ]);
  return visibleJson(document.toString({ lineWidth: 0 }));
}

function createPlaceholders(references: ReadonlyMap<string, string>) {
  /** Names made up for secrets that stand in the configuration itself, by value. */
  const made = new Map<string, string>();
  const names = new Set<string>();
  const hidden: string[] = [];

  function placeholder(value: string, path: SettingPath): string {
    const reference = references.get(value) ?? made.get(value);
    if (reference !== undefined) return reference;
    const base = pathText(path)
      .replaceAll(/[^A-Za-z0-9]+/g, "_")
      .replaceAll(/^_|_$/g, "")
      .toUpperCase();
    const name = [base, ...Array.from({ length: names.size }, (_, i) => `${base}_${i + 2}`)].find(
      (each) => !names.has(each),
    );
    const text = `\${${name}}`;
    names.add(name ?? base);
    made.set(value, text);
    return text;
  }

  return {
    shown(text: string, { path, mark, isOpaque }: TextPlace): string {
      const isUrl = mark === "url" || isOpaque;
      const isSecret =
        mark === "secret" ||
        (isUrl && hasUrlSecret(text)) ||
        (isOpaque && (references.has(text) || isNamedSecret(text, path)));
      // What is written as a reference would be one when it is loaded again.
      if (!isSecret) return text.replaceAll("${", "$${");
      if (URL.canParse(text) && isUrl) hidden.push(`${pathText(path)} is ${hideUrlSecrets(text)}`);
      return placeholder(text, path);
    },
    explained(): string[] {
      const variables = [...names];
      return [
        ...(variables.length === 0
          ? []
          : [
              "Those written in it in the clear are hidden. To load this, set:",
              ...variables.map((name) => `  ${name}`),
            ]),
        ...hidden,
      ];
    },
  };
}

function hasUrlSecret(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { username, password, search } = new URL(text);
  return username !== "" || password !== "" || search !== "";
}

/** A terminal shows no control characters: text with any is put in quotes, in which YAML has escapes for them. */
function keepVisible(document: Document): void {
  visit(document, {
    Scalar(_key, node) {
      if (typeof node.value === "string" && visible(node.value) !== node.value)
        node.type = Scalar.QUOTE_DOUBLE;
    },
  });
}

function noteSources(document: Document, notesOf: ShowInput["notesOf"]): void {
  const sources = document.get("sources", true);
  if (!isMap(sources)) return;
  for (const { key } of sources.items) {
    if (!isScalar(key)) continue;
    const lines = notesOf(String(key.value));
    if (lines.length > 0) key.commentBefore = comment(lines);
  }
}

/** What one file cannot say of a tenant that has a file of its own. */
function tenantNote(name: string, { origin, mapping, isPaused }: Config["tenants"][string]): string {
  const from = origin.kind === "file" ? origin.file : "the API";
  const own = [
    ...(mapping ? [`a mapping of its own (${mapping.file ?? "rows"})`] : []),
    ...(isPaused ? ["paused"] : []),
  ];
  return `Tenant ${name} comes from ${from}, with its limits${own.length > 0 ? `, ${own.join(", ")}` : ""}; below stands the rest of it.`;
}

function comment(lines: readonly string[]): string {
  return lines.map((line) => ` ${visible(line)}`).join("\n");
}
