/** The documentation says what is there: its links, tables, commands, variables, metrics and paths are compared with the code. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import pino from "pino";
import { Registry } from "prom-client";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { checkCommand } from "../../src/commands/check.ts";
import { decodeCommand } from "../../src/commands/decode.ts";
import { doctorCommand } from "../../src/commands/doctor.ts";
import { redriveCommand } from "../../src/commands/redrive.ts";
import { replayCommand } from "../../src/commands/replay.ts";
import { startCommand } from "../../src/commands/start.ts";
import { variableNames } from "../../src/config/environment.ts";
import { listenSchema } from "../../src/config/mqtt-schema.ts";
import { createEvents } from "../../src/events/writer.ts";
import { createLasting } from "../../src/ops/diagnose/lasting.ts";
import { statusMetrics } from "../../src/ops/metrics/scrape.ts";
import { processStatus, statusDocument } from "../../src/ops/status-document.ts";
import { healthy } from "../ops/sample.ts";
import { allPages, anchorOf, blocksOf, headingsOf, linksOf, pageAt, ROOT, tablesOf } from "./pages.ts";

const pages = allPages();
const everything = pages.map(({ text }) => text).join("\n");
const byFile = new Map(pages.map((page) => [page.file, page]));
const manifest = z
  .object({ scripts: z.record(z.string(), z.string()), engines: z.object({ node: z.string() }) })
  .parse(JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")));

describe("README.md", () => {
  const readme = pageAt("README.md");

  test("fits on two screens", () => {
    expect(readme.text.trimEnd().split("\n").length).toBeLessThanOrEqual(90);
  });

  test("leads to every page", () => {
    const linked = new Set(linksOf(readme).map(({ file }) => file));
    const index = new Set(linksOf(pageAt("docs/README.md")).map(({ file }) => file));
    for (const { file } of pages) if (file !== "README.md") expect([...linked, ...index]).toContain(file);
    for (const { file } of pages.filter(({ file }) => /^docs\/(?!README)/.test(file)))
      expect([...linked], file).toContain(file);
  });

  test("names the Node that is needed", () => {
    expect(readme.text).toContain(`Node ${manifest.engines.node.replace(">=", "")}`);
  });
});

describe.each(pages.map((page) => [page.file, page] as const))("%s", (_, page) => {
  test("links to files that are there, and to headings that are there", () => {
    const links = linksOf(page);
    for (const { file, anchor } of links) {
      expect(existsSync(join(ROOT, file)), file).toBe(true);
      const target = byFile.get(file);
      if (anchor === null || target === undefined) {
        expect(anchor, `${file} is no page with headings`).toBeNull();
        continue;
      }
      expect(headingsOf(target).map(anchorOf), `${file}#${anchor}`).toContain(anchor);
    }
  });

  test("has no two headings with one anchor", () => {
    const anchors = headingsOf(page).map(anchorOf);
    expect(anchors.filter((anchor, at) => anchors.indexOf(anchor) !== at)).toEqual([]);
  });

  test("has tables of at most four columns and 110 characters, without padding", () => {
    for (const { head, rows, lines } of tablesOf(page)) {
      expect(head.length, lines[0]).toBeLessThanOrEqual(4);
      for (const row of rows) expect(row, row.join(" | ")).toHaveLength(head.length);
      for (const line of lines) {
        expect(line.trim().length, line).toBeLessThanOrEqual(110);
        expect(line.trim(), line).not.toMatch(/\S {2,}|-{4,}/);
      }
    }
  });

  test("has lines that fit on a screen, but for links and vendors' names", () => {
    const long = page.text.split("\n").filter((line) => line.length > 140 && !/https?:|^\{"/.test(line));
    expect(long.filter((line) => !line.startsWith("!["))).toEqual([]);
  });

  test("names files that are there", () => {
    const named = page.text.match(/\b(?:src|test|sandbox|bench|chaos|deploy|scripts)\/[\w./-]*\w/g) ?? [];
    const made = named.filter((path) => !/acme|<|\.\.\./.test(path));
    for (const path of made) expect(existsSync(join(ROOT, path)), path).toBe(true);
  });
});

test("there are links, tables and pages to be looked at", () => {
  expect(pages.length).toBeGreaterThan(14);
  expect(pages.flatMap(linksOf).length).toBeGreaterThan(80);
  expect(pages.flatMap(tablesOf).length).toBeGreaterThan(2);
});

test("the architecture names every file and folder of src", () => {
  const { text } = pageAt("docs/architecture.md");
  const missing = readdirSync(join(ROOT, "src")).filter((entry) => !text.includes(`\`src/${entry}`));
  expect(missing).toEqual([]);
});

test("commands are scripts of the package and commands of ours", () => {
  const scripts = [...everything.matchAll(/npm (?:run (?:--silent )?)?([a-z]+)/g)].flatMap(
    ([, name = ""]) => name,
  );
  const own = scripts.filter((name) => !["ci", "install"].includes(name));
  expect(new Set(own).size).toBeGreaterThan(8);
  for (const name of own) expect(manifest.scripts).toHaveProperty([name]);

  const commands = [
    ...[startCommand(), checkCommand(), doctorCommand(), decodeCommand(), redriveCommand(), replayCommand()],
  ];
  const options = new Map(
    commands.map((command) => [command.name(), command.options.map(({ long }) => long)]),
  );
  const used = [
    ...everything.matchAll(/(?:waypost(?: --)?|cli\.js) ([a-z]+)\b([^\n`|#]*)/g),
    ...everything.matchAll(/npm (start) ([^\n`|#]*)/g),
  ].filter(([, name = ""]) => options.has(name));
  expect(new Set(used.map(([, name]) => name)).size).toBe(options.size);
  for (const [line, name = "", rest = ""] of used)
    for (const option of rest.match(/--[a-z-]+\b/g) ?? [])
      expect([...(options.get(name) ?? []), "--help", "--silent"], line).toContain(option);
});

test("environment variables are known ones", () => {
  const named = new Set(everything.match(/\bWAYPOST_[A-Z_]+\b/g));
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
  const status = statusDocument(
    {
      queue: healthy(),
      process,
      processes: [],
      brokers: [broker],
      pollers: [],
      spool: null,
      clocks: [],
      incidents: [],
      mapping: null,
      policies: [],
    },
    createLasting(),
  );
  const served = `${await registry.metrics()}\n${statusMetrics(status, { exportsRedis: true, own: status })}`;
  const named = new Set(everything.match(/\bwaypost_[a-z0-9_]+/g));
  expect(named.size).toBeGreaterThan(12);
  for (const name of named) expect(served).toMatch(new RegExp(`^# TYPE ${name} `, "m"));
});

test("the logins that the configuration shows are valid", () => {
  const shown = blocksOf(pageAt("docs/configuration.md")).filter(({ language }) => language === "yaml");
  expect(shown).toHaveLength(1);
  for (const { text } of shown) {
    const { devices } = z.object({ devices: z.unknown() }).parse(parse(text));
    expect(listenSchema.safeParse({ devices }).error).toBeUndefined();
  }
});
