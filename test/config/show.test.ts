/** What `check --show` prints: it loads again, means the same, holds no secret, and says what to enter at each vendor. */

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references of the configuration

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { adapters } from "../../src/adapters/index.ts";
import type { Config } from "../../src/config/config.ts";
import { loadConfig } from "../../src/config/load.ts";
import { configSchema } from "../../src/config/schema.ts";
import { configAsYaml } from "../../src/config/show.ts";
import { secretsIn } from "../../src/config/values.ts";
import { writtenOptions } from "../../src/config/within.ts";
import { isRecord } from "../../src/untrusted.ts";
import { configurations } from "../support/configurations.ts";

const dir = mkdtempSync(join(tmpdir(), "waypost-show-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function loaded(text: string, env: Record<string, string>) {
  const file = join(dir, "waypost.yaml");
  writeFileSync(file, text);
  return loadConfig({ file, env, adapters, allowWeak: true });
}

function right(text: string, env: Record<string, string>) {
  const found = loaded(text, env);
  if ("problems" in found) throw new Error(`${JSON.stringify(found.problems)}\n${text}`);
  return found;
}

/** Compiled options cannot be compared; what they were made of can. */
function comparable({ sources, ...config }: Config) {
  const written = Object.entries(sources).map(([name, { options, ...source }]) => [
    name,
    { ...source, options: writtenOptions(options) },
  ]);
  return { ...config, sources: Object.fromEntries(written) };
}

/** The variables that are left to the reader, with the values that they stand for. */
function variablesOf(shown: unknown, whole: unknown, found: Record<string, string> = {}) {
  if (typeof shown === "string" && typeof whole === "string") {
    const name = /^\$\{(\w+)\}$/.exec(shown)?.[1];
    if (name !== undefined) found[name] = whole;
  } else if (Array.isArray(shown) && Array.isArray(whole)) {
    for (const [index, item] of shown.entries()) variablesOf(item, whole[index], found);
  } else if (isRecord(shown) && isRecord(whole)) {
    for (const [key, item] of Object.entries(shown)) variablesOf(item, whole[key], found);
  }
  return found;
}

const all = configurations()
  .map(({ name, settings, env }) => ({ name, env, text: stringify(settings) }))
  .filter(({ text, env }) => "config" in loaded(text, env));

test("nearly every kind of source is among the configurations", () => {
  expect(all.length).toBeGreaterThan(80);
  expect(all.map(({ name }) => name)).toEqual(
    expect.arrayContaining([
      "waypost.example.yaml",
      "deploy/waypost.yaml",
      "docs/vendors.md",
      "docs/polling.md",
    ]),
  );
});

describe("loads again and means the same, without a secret in it:", () => {
  test.each(all)("$name", ({ text, env }) => {
    const { config, references } = right(text, env);
    const shown = configAsYaml({ config, references, notesOf: () => [] });
    for (const { value } of secretsIn(comparable(config), configSchema)) {
      // Some captured messages are signed with words.
      if (value.length > 8) expect(shown).not.toContain(value);
    }
    const again = right(shown, { ...env, ...variablesOf(parse(shown), comparable(config)) });
    expect(comparable(again.config)).toEqual(comparable(config));
  });
});

test("keeps the references of every document, and says what one file cannot say", () => {
  const folder = join(dir, "with-tenants");
  mkdirSync(join(folder, "tenants.d"), { recursive: true });
  writeFileSync(join(folder, "tenants.d", "acme-key"), "a2d85f367c1e90b4\n");
  const main = {
    ops: { token: "${OPS_TOKEN}" },
    redis: { url: "redis://u:${REDIS_PASSWORD}@127.0.0.1:6379" },
  };
  writeFileSync(join(folder, "waypost.yaml"), stringify(main));
  const tenant = {
    sources: { vans: { vendor: "bouncie", destination: "acme", auth: { secret: "${file:acme-key}" } } },
    destinations: { acme: { tenant: "1", provider: "p", appKey: "a", clientId: "c", clientSecret: "${S}" } },
    mapping: { rows: [{ device: "1", unit: "V-1" }] },
  };
  writeFileSync(join(folder, "tenants.d", "acme.yaml"), stringify(tenant));
  const env = {
    OPS_TOKEN: "5f0c2a96d3b14e7a-7c1e90b4",
    REDIS_PASSWORD: "pass-5f0c2a96",
    S: "client-7c1e90b4",
  };
  const found = loadConfig({ file: join(folder, "waypost.yaml"), env, adapters });
  if ("problems" in found) throw new Error(JSON.stringify(found.problems));
  const shown = configAsYaml({ ...found, notesOf: (source) => [`enter it at ${source}`] });
  expect(parse(shown)).toMatchObject({
    redis: { url: "redis://u:${REDIS_PASSWORD}@127.0.0.1:6379" },
    ops: { token: "${OPS_TOKEN}" },
    sources: { vans: { auth: { secret: `\${file:${join(folder, "tenants.d", "acme-key")}}` } } },
    destinations: { acme: { clientSecret: "${S}", clientId: "${DESTINATIONS_ACME_CLIENTID}" } },
  });
  expect(shown).toContain("# Tenant acme comes from");
  expect(shown).toContain("  # enter it at vans\n  vans:\n");
  const again = right(shown, { ...env, DESTINATIONS_ACME_CLIENTID: "c", DESTINATIONS_ACME_APPKEY: "a" });
  expect(comparable({ ...again.config, tenants: found.config.tenants })).toEqual(comparable(found.config));
});
