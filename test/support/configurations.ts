/** Every configuration of the repository: the examples, the pages', and one source for each kind of captured message. */

import { existsSync, readFileSync } from "node:fs";
import { parse } from "yaml";
import { z } from "zod";
import { adapters } from "../../src/adapters/index.ts";
import type { Adapter } from "../../src/adapters/kit/adapter.ts";
import { blocksOf, pageAt } from "../docs/pages.ts";
import { fixturesOf } from "./fixtures.ts";

export interface Configuration {
  name: string;
  /** As written: references are not replaced. */
  settings: Record<string, unknown>;
  /** What its references name. */
  env: Record<string, string>;
}

const group = z.record(z.string(), z.unknown());
/** Long enough, and not to be guessed, for every use. */
const SECRET = "7c1e90b4a2d85f36";

export function configurations(): Configuration[] {
  return [...examples(), ...ofPages(), ...ofFixtures()];
}

function examples(): Configuration[] {
  return ["waypost.example.yaml", "deploy/waypost.yaml"].map((name) => {
    const text = readFileSync(name, "utf8");
    const env = Object.fromEntries(
      // What a plain letter does not follow is no reference.
      [...text.matchAll(/\$\{([A-Z0-9_]+)(?::-[^}]*)?\}/g)].map(([, variable = ""]) => [
        variable,
        variable.endsWith("TENANT") ? "1000001" : `${variable.toLowerCase().replaceAll("_", "-")}-${SECRET}`,
      ]),
    );
    delete env.WAYPOST_ENVIRONMENT;
    return { name, settings: group.parse(parse(text)), env };
  });
}

function ofPages(): Configuration[] {
  return ["docs/vendors.md", "docs/polling.md"].flatMap((page) => {
    const blocks = blocksOf(pageAt(page)).filter(({ language }) => language === "yaml");
    const sources = blocks
      .map(({ text }) => group.parse(parse(text)))
      .filter((block) => !("pull" in block) && !("options" in block));
    const variables = blocks.flatMap(({ text }) => [...text.matchAll(/\$\{(\w+)\}/g)]);
    const env = Object.fromEntries(variables.map(([, name = ""]) => [name, `${name}-${SECRET}`]));
    return { name: page, settings: around(Object.assign({}, ...sources)), env };
  });
}

function ofFixtures(): Configuration[] {
  return adapters.flatMap((adapter) => {
    const seen = new Map<string, Configuration>();
    for (const { name, message } of fixturesOf(adapter)) {
      const { speedUnit, options } = requestOf(name);
      const source = {
        vendor: adapter.vendor,
        destination: "acme",
        ...(speedUnit !== undefined && { speedUnit }),
        ...(options !== undefined && { options }),
        ...wayOf(adapter, message.topic),
      };
      const kind = JSON.stringify({ ...source, mqtt: undefined, auth: undefined });
      if (!seen.has(kind)) seen.set(kind, { name, settings: around({ fleet: source }), env: {} });
    }
    return [...seen.values()];
  });
}

/** As written: an adapter may compile its options. */
function requestOf(name: string): { speedUnit?: unknown; options?: unknown } {
  const file = `test/fixtures/${name}.request.json`;
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
}

function wayOf({ auth: [method], pull }: Adapter, topic: string | undefined) {
  if (topic !== undefined) return { mqtt: { broker: "house", topics: [topic] } };
  const needs = pull && "needs" in pull ? pull.needs : [];
  const given = {
    secret: `fleet-${SECRET}`,
    username: "waypost",
    header: "X-Fleet-Key",
    allow: ["203.0.113.7"],
  };
  if (pull)
    return { auth: pick(given, needs), ...(needs.includes("database") && { pull: { database: "acme" } }) };
  const wanted = (method?.needs ?? []).map((need) => (need === "secrets" ? "secret" : need));
  return { auth: { method: method?.name, ...pick(given, wanted) } };
}

function pick(from: Record<string, unknown>, names: readonly string[]) {
  return Object.fromEntries(Object.entries(from).filter(([name]) => names.includes(name)));
}

function around(sources: Record<string, unknown>): Record<string, unknown> {
  return {
    http: { host: "127.0.0.1", publicUrl: "https://gps.example.com" },
    ops: { token: `5f0c2a96d3b14e7a-${SECRET}` },
    mqtt: { brokers: { house: { url: "mqtts://house.example", clientId: "waypost-1" } } },
    sources,
    destinations: {
      acme: {
        tenant: "1",
        provider: "p",
        appKey: `app-${SECRET}`,
        clientId: "c",
        clientSecret: `client-${SECRET}`,
      },
    },
  };
}
