/** The example files name every setting with its default and nothing else, and are configurations that work. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { adapters, findAdapter } from "../../src/adapters/index.ts";
import { settingsFromEnvironment, variableNames } from "../../src/config/environment.ts";
import { loadConfig } from "../../src/config/load.ts";
import { configSchema } from "../../src/config/schema.ts";

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const yaml = readFileSync(path("waypost.example.yaml"), "utf8");
const dotEnv = readFileSync(path(".env.example"), "utf8");

describe("waypost.example.yaml", () => {
  /** What it says by itself, and with everything that is commented out. */
  const asWritten = settingsIn(parse(yaml), "");
  const withOptional = settingsIn(parse(yaml.replaceAll(/^( *)#(?=[a-z ]+\S*:)(?! [A-Za-z])/gim, "$1")), "");

  test("is a configuration that works with the real adapters", () => {
    const env = Object.fromEntries(
      [...yaml.matchAll(/\$\{([A-Z0-9_]+)/g)].map(([, name]) => [name, `${name}-7c1e90b4`]),
    );
    delete env.NAME;
    const loaded = loadConfig({ file: path("waypost.example.yaml"), env, adapters });
    if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems, null, 2));
  });

  test("names every setting there is, and no other", () => {
    const known = settingsOf(configSchema, "").map(({ name }) => name);
    expect(known.length).toBeGreaterThan(80);
    expect([...new Set(withOptional.map(({ name }) => name))].sort()).toEqual(known.sort());
  });

  test("shows a setting that is commented out with its default", () => {
    const defaults = new Map(settingsOf(configSchema, "").map(({ name, fallback }) => [name, fallback]));
    const written = new Set(asWritten.map(({ name }) => name));
    const optional = withOptional.filter(({ name }) => !written.has(name));
    expect(optional.length).toBeGreaterThan(40);
    for (const { name, value } of optional) {
      const fallback = defaults.get(name);
      if (fallback !== undefined) expect({ name, value }).toEqual({ name, value: fallback });
    }
  });
});

describe("docs/vendors.md", () => {
  const guide = readFileSync(path("docs/vendors.md"), "utf8");
  const blocks = [...guide.matchAll(/```yaml\n([^`]+)```/g)].flatMap(([, block = ""]) => block);
  const sources: Record<string, { vendor: string; mqtt?: unknown }> = Object.assign(
    {},
    ...blocks.map((block) => parse(block.replaceAll(/\$\{(\w+)\}/g, "$1-7c1e90b4a2d85f36"))),
  );

  test("shows a source for each vendor and way that it describes, and they work together", () => {
    expect(Object.keys(sources)).toHaveLength(28);
    const mqtt = { brokers: { house: { url: "mqtts://house.example", clientId: "waypost-1" } } };
    const destination = { tenant: "1", provider: "p", appKey: "a", clientId: "c", clientSecret: "s" };
    const settings = {
      ops: { token: "5f0c2a96d3b14e7a" },
      mqtt,
      sources,
      destinations: { acme: destination },
    };
    expect(loadConfig({ settings, env: {}, adapters })).toHaveProperty("config");
  });

  test("names the address of each that has one", () => {
    const sent = Object.entries(sources).filter(
      ([, { vendor, mqtt }]) => !mqtt && !findAdapter(vendor)?.pull,
    );
    const named = [...guide.matchAll(/gps\.example\.com\/webhooks\/([a-z-]+)/g)].map(([, name]) => name);
    expect(named).toEqual(sent.map(([name]) => name));
  });
});

describe(".env.example", () => {
  const lines = [...dotEnv.matchAll(/^(#?)(WAYPOST_[A-Z0-9_]+)=(.*)$/gm)];

  test("names every variable there is, once, and no other", () => {
    expect(lines.map(([, , name]) => name).sort()).toEqual(variableNames().sort());
  });

  test("filled in, is a configuration that works with the real adapters", () => {
    const env: Record<string, string> = {};
    for (const [, hash, name = "", value = ""] of lines)
      if (hash === "") env[name] = value || `${name}-7c1e90b4`;
    expect(loadConfig({ env: { ...env, WAYPOST_TENANT: "123" }, adapters })).toHaveProperty("config");
  });

  test("every variable stands for a setting there is", () => {
    const env = Object.fromEntries(variableNames().map((name) => [name, "x"]));
    const known = new Set(settingsOf(configSchema, "").map(({ name }) => name));
    const { raw } = settingsFromEnvironment(env) ?? {};
    for (const { name } of settingsIn(raw, "")) expect(known).toContain(name);
  });

  test("shows a variable that is commented out with its default", () => {
    const defaults = new Map(settingsOf(configSchema, "").map(({ name, fallback }) => [name, fallback]));
    for (const [, hash, name = "", value = ""] of lines) {
      if (hash === "" || value === "") continue;
      const [setting] = settingsIn(settingsFromEnvironment({ [name]: "x" })?.raw, "").filter(
        ({ value: v }) => String(v) === "x",
      );
      const fallback = setting && defaults.get(setting.name);
      if (fallback !== undefined) expect(`${name}=${value}`).toBe(`${name}=${fallback}`);
    }
  });
});

interface Setting {
  /** Names that the operator chooses are `*`, places in a list `[]`. */
  name: string;
  fallback: unknown;
}

function settingsOf(schema: z.core.$ZodType, name: string): Setting[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodPrefault)
    return settingsOf(schema.unwrap(), name);
  if (schema instanceof z.ZodDefault && !(schema.unwrap() instanceof z.ZodRecord)) {
    return [{ name, fallback: schema.def.defaultValue }];
  }
  if (schema instanceof z.ZodDefault) return settingsOf(schema.unwrap(), name);
  if (schema instanceof z.ZodObject) {
    return Object.entries<z.core.$ZodType>(schema.shape).flatMap(([key, inside]) =>
      settingsOf(inside, join(name, key)),
    );
  }
  if (schema instanceof z.ZodRecord) return settingsOf(schema.valueType, join(name, "*"));
  if (schema instanceof z.ZodArray && schema.element instanceof z.ZodObject)
    return settingsOf(schema.element, `${name}[]`);
  return [{ name, fallback: undefined }];
}

/** Follows the value as far as the schema goes: lists of texts and options are values. */
function settingsIn(value: unknown, name: string): { name: string; value: unknown }[] {
  if (Array.isArray(value) && value.some((item) => typeof item === "object")) {
    return value.flatMap((item) => settingsIn(item, `${name}[]`));
  }
  if (typeof value !== "object" || value === null || Array.isArray(value) || name.endsWith(".options")) {
    return [{ name, value }];
  }
  const isNamed = ["sources", "destinations", "mqtt.brokers"].includes(name);
  return Object.entries(value).flatMap(([key, item]) => settingsIn(item, join(name, isNamed ? "*" : key)));
}

function join(name: string, key: string): string {
  return name === "" ? key : `${name}.${key}`;
}
