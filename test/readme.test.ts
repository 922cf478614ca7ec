/** The README says what is there: its tables, commands, variables, metrics and links are compared with the code. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import pino from "pino";
import { Registry } from "prom-client";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { adapters } from "../src/adapters/index.ts";
import type { Adapter } from "../src/adapters/kit/adapter.ts";
import { variableNames } from "../src/config/environment.ts";
import { configSchema } from "../src/config/schema.ts";
import { marks } from "../src/config/values.ts";
import { createEvents } from "../src/event-log.ts";
import type { RefusalReason, StoreError } from "../src/ingest/store.ts";
import type { PollReason } from "../src/inputs/poll/poller.ts";
import type { NetworkReason } from "../src/network.ts";
import { statusMetrics } from "../src/ops/metrics.ts";
import { processStatus, statusDocument } from "../src/ops/status-document.ts";
import type { DeadLetterReason } from "../src/queue/deliver/settlement.ts";
import { FIELD_DEFECTS, REJECTION_REASONS } from "../src/reading.ts";
import type { UnavailableReason } from "../src/servicetitan/exchange.ts";
import type { BlockedReason } from "../src/servicetitan/outcome.ts";
import { SPOOL_PROBLEMS } from "../src/spool/events.ts";
import { ACCOUNTING_TERMS } from "../src/status.ts";
import { healthy } from "./ops/sample.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const readme = readFileSync(`${root}README.md`, "utf8");
const manifest = z
  .object({ scripts: z.record(z.string(), z.string()), engines: z.object({ node: z.string() }) })
  .parse(JSON.parse(readFileSync(`${root}package.json`, "utf8")));
const tables = tablesIn(readme);

describe("configuration", () => {
  /** Their first heading is the place of their settings, such as `http.`; the whole file's is a lone dot. */
  const described = tables
    .filter(({ head }) => head[1] === "type" && head[2] === "default")
    .flatMap(({ head, rows }) =>
      rows.map(([name = "", ...cells]) => ({ name: place(head[0]) + bare(name), cells })),
    );

  test("names every setting with its type and its default, and no other", () => {
    const schema = z.toJSONSchema(configSchema, {
      io: "input",
      unrepresentable: "any",
      override: ({ zodSchema, jsonSchema }) => {
        const mark = marks.get(zodSchema);
        if (mark) jsonSchema.title = mark.is;
      },
    });
    const expected = settingsIn(node.parse(schema), "", false).map(
      ({ name, type, fallback }) => `${name} | ${type} | ${fallback}`,
    );
    expect(expected.length).toBeGreaterThan(80);
    expect(
      described.map(({ name, cells: [type, fallback] }) => `${name} | ${type} | ${fallback}`).sort(),
    ).toEqual(expected.sort());
  });

  test("says of every setting what it is for", () => {
    for (const { name, cells } of described) expect(cells[2], name).toMatch(/\w{3,}/);
  });
});

describe("closed lists", () => {
  /** Checked when types are: a reason that is added or goes makes one of these objects wrong. */
  const refusals = {
    ...{
      unauthenticated: 0,
      guessing: 0,
      too_large: 0,
      wrong_method: 0,
      unsupported_encoding: 0,
      given_up: 0,
    },
  } satisfies Record<RefusalReason, 0>;
  const unacked = { storage_unavailable: 0, buffer_full: 0, share_used_up: 0 } satisfies Record<
    StoreError["reason"],
    0
  >;
  const deadLetters = { failed: 0, unconfirmed: 0, oversize: 0, refused: 0 } satisfies Record<
    DeadLetterReason,
    0
  >;
  const passing = {
    timeout: 0,
    connection_refused: 0,
    connection_reset: 0,
    connect_timeout: 0,
    dns_error: 0,
    tls_error: 0,
    proxy_refused: 0,
    network_error: 0,
    token_unavailable: 0,
  } satisfies Record<Exclude<UnavailableReason, `http_${number}`>, 0>;
  const blocking = {
    unauthorized: 0,
    forbidden: 0,
    not_found: 0,
    credentials_refused: 0,
    redirect: 0,
    refused_everything: 0,
    unreadable_answers: 0,
  } satisfies Record<Exclude<BlockedReason, `http_${number}`>, 0>;

  const asking = {
    throttled: 0,
    vendor_unavailable: 0,
    vendor_error: 0,
    unreadable_answer: 0,
    answer_too_large: 0,
    cursor_refused: 0,
    storage_unavailable: 0,
    internal_error: 0,
    unauthorized: 0,
    forbidden: 0,
    not_found: 0,
    bad_request: 0,
    over_limit: 0,
    redirect: 0,
    foreign_host: 0,
  } satisfies Record<Exclude<PollReason, NetworkReason | `http_${number}`>, 0>;

  test.each([
    ["rejection", REJECTION_REASONS],
    ["field defect", FIELD_DEFECTS],
    ["refusal", Object.keys(refusals)],
    ["503", [...Object.keys(unacked), "late", "no_room", "guessing", "unknown_here_yet"]],
    ["dead letter", Object.keys(deadLetters)],
    ["passes by itself", [...Object.keys(passing), "throttled", "http_408", "http_5xx"]],
    ["needs a person", [...Object.keys(blocking), "http_…"]],
    ["spool problem", SPOOL_PROBLEMS],
    ["not asked with success", [...Object.keys(asking), "http_408", "http_5xx"]],
    ["term", ACCOUNTING_TERMS],
  ])("%s: each is explained in one line", (heading, reasons) => {
    const { rows } = tableHeaded(heading);
    expect(rows.flatMap(([words = ""]) => codeIn(words)).sort()).toEqual([...reasons].sort());
    for (const [words, meaning] of rows) expect(meaning, words).toMatch(/\w{3,}/);
  });
});

test("vendors are those of the list, as their adapters describe themselves", () => {
  const { rows } = tableHeaded("vendor");
  expect(rows.map((row) => row.join(" | "))).toEqual(
    adapters.map((adapter) => vendorRow(adapter).join(" | ")),
  );
});

test("the tour of src names every file and folder there is", () => {
  const [, tour = ""] = /```\nsrc\/\n([\s\S]*?)```/.exec(readme) ?? [];
  const named = [...tour.matchAll(/^ {2}(\S+) {2,}\S/gm)].flatMap(([, name = ""]) => name);
  const there = readdirSync(`${root}src`, { withFileTypes: true }).map((entry) =>
    entry.isDirectory() ? `${entry.name}/` : entry.name,
  );
  expect([...named].sort()).toEqual(there.sort());
});

test("commands are scripts of the package, and files are there", () => {
  const scripts = [...readme.matchAll(/npm (?:run (?:--silent )?)?([a-z]+)/g)].flatMap(
    ([, name = ""]) => name,
  );
  const own = scripts.filter((name) => name !== "ci");
  expect(own.length).toBeGreaterThan(5);
  for (const name of own) expect(manifest.scripts).toHaveProperty([name]);
  const links = [...readme.matchAll(/\]\(((?!https?:)[^)#]+)[^)]*\)/g)].flatMap(([, file = ""]) => file);
  expect(links.length).toBeGreaterThan(5);
  for (const file of links) expect(existsSync(`${root}${file}`), file).toBe(true);
  expect(readme).toContain(`Node ${manifest.engines.node.replace(">=", "")}`);
});

test("headings that are linked to are there", () => {
  const anchors = [...readme.matchAll(/^#+ (.+)$/gm)].map(([, text = ""]) =>
    text
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, "")
      .replaceAll(" ", "-"),
  );
  for (const [, anchor = ""] of readme.matchAll(/\]\(#([^)]+)\)/g)) expect(anchors).toContain(anchor);
});

test("environment variables are known ones", () => {
  const named = new Set(readme.match(/\bWAYPOST_[A-Z_]+\b/g));
  expect(named.size).toBeGreaterThan(5);
  for (const name of named) expect(variableNames()).toContain(name);
});

test("metrics are served", async () => {
  const registry = new Registry();
  createEvents({ logger: pino({ level: "silent" }), registry });
  const broker = {
    name: "b",
    kind: "client",
    state: "connected",
    since: new Date(0).toISOString(),
    reason: null,
    unacked: 0,
    clients: null,
  } as const;
  const process = processStatus({ version: "0", startedAtMs: 0, policies: [] }, 0);
  const status = statusDocument({
    queue: healthy(),
    process,
    brokers: [broker],
    pollers: [],
    spool: null,
    clocks: [],
    incidents: [],
    policies: [],
  });
  const served = `${await registry.metrics()}\n${await statusMetrics(status)}`;
  const named = new Set(readme.match(/\bwaypost_[a-z0-9_]+/g));
  expect(named.size).toBeGreaterThan(8);
  for (const name of named) expect(served).toMatch(new RegExp(`^# TYPE ${name} `, "m"));
});

interface Table {
  head: string[];
  rows: string[][];
}

function tablesIn(markdown: string): Table[] {
  const blocks = markdown.match(/(?:^\|.*\|\n)+/gm) ?? [];
  return blocks.map((block) => {
    const [head = [], , ...rows] = block
      .trim()
      .split("\n")
      .map((line) =>
        line
          .slice(1, -1)
          .split("|")
          .map((cell) => cell.trim()),
      );
    return { head, rows };
  });
}

function tableHeaded(first: string): Table {
  const found = tables.find(({ head }) => head[0] === first);
  if (!found) throw new Error(`The README has no table whose first heading is "${first}".`);
  return found;
}

function codeIn(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].flatMap(([, code = ""]) => code);
}

function bare(cell: string): string {
  return cell.replaceAll("`", "");
}

function place(heading = ""): string {
  return bare(heading) === "." ? "" : bare(heading);
}

const node = z.looseObject({
  type: z.string().optional(),
  title: z.string().optional(),
  format: z.string().optional(),
  enum: z.array(z.union([z.string(), z.number()])).optional(),
  default: z.unknown().optional(),
  required: z.array(z.string()).default([]),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  properties: z.record(z.string(), z.unknown()).optional(),
  items: z.unknown().optional(),
  additionalProperties: z.unknown().optional(),
  anyOf: z.array(z.unknown()).optional(),
});
type Node = z.output<typeof node>;

/** Names that an operator chooses are `<name>`, places in a list `[]`. */
function settingsIn(
  schema: Node,
  name: string,
  isRequired: boolean,
): { name: string; type: string; fallback: string }[] {
  const { type, properties } = schema;
  if (type === "object" && properties) {
    return Object.entries(properties).flatMap(([key, inside]) =>
      settingsIn(node.parse(inside), name === "" ? key : `${name}.${key}`, schema.required.includes(key)),
    );
  }
  if (type === "object") return settingsIn(node.parse(schema.additionalProperties), `${name}.<name>`, false);
  const item = node.safeParse(schema.items).data;
  if (type === "array" && item?.type === "object") return settingsIn(item, `${name}[]`, false);
  return [{ name, type: typeOf(schema), fallback: isRequired ? "required" : fallbackOf(schema.default) }];
}

/** What setTimeout holds; bounds from there on are nobody's concern. */
const NO_BOUND = 2 ** 31 - 1;

function typeOf({ type, title, anyOf, enum: choices, minimum = 1, maximum = NO_BOUND }: Node): string {
  if (anyOf) return anyOf.map((each) => typeOf(node.parse(each)).split(",")[0]).join(" or ");
  if (choices) return choices.map((choice) => `\`${choice}\``).join(", ");
  if (type === "boolean") return "`true`, `false`";
  if (type === "array") return "list";
  if (type === "string") return title === "url" ? "URL" : (title ?? "text");
  if (type !== "integer" && type !== "number") return "any";
  if (maximum < NO_BOUND) return `number, ${minimum} to ${maximum}`;
  return minimum === 1 ? "number" : `number, from ${minimum}`;
}

function fallbackOf(value: unknown): string {
  if (value === undefined) return "–";
  return Array.isArray(value) && value.length === 0
    ? "none"
    : `\`${Array.isArray(value) ? value.join(", ") : String(value)}\``;
}

function vendorRow({ vendor, docs, transports, auth, speedUnit, ignores, evidence }: Adapter): string[] {
  return [
    `[${vendor}](${docs})`,
    [...transports].map((way) => (way === "mqtt" ? "MQTT" : way)).join(", "),
    auth.length === 0 ? "–" : auth.map(({ name }) => `\`${name}\``).join(", "),
    speedUnit === "required" || speedUnit === "optional" ? `${speedUnit} \`speedUnit\`` : speedUnit,
    ignores ?? "–",
    evidence,
  ];
}
