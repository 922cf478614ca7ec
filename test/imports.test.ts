/** Who may import whom, so that the shape of the gateway is kept by more than good will. */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parseAst } from "vitest/node";

const src = fileURLToPath(new URL("../src", import.meta.url));

interface Part {
  /** Files of the part, relative to src; a folder ends with a slash. */
  files: readonly string[];
  /** Parts it may import from, beside itself. */
  from: readonly string[];
  /** Parts it may import types from. */
  typesFrom?: readonly string[];
}

/**
 * Every file belongs to exactly one part, and what is not named here may not be imported. The line runs from the ways
 * in through intake to the queue and ServiceTitan, and nothing on it looks back.
 */
const PARTS: Record<string, Part> = {
  reading: { files: ["reading.ts"], from: [] },
  adapters: { files: ["adapters/"], from: ["reading"] },
  intake: { files: ["intake.ts", "judge.ts", "shares.ts", "assembler.ts"], from: ["adapters", "reading"] },
  "ways in": {
    files: [
      ...["webhook.ts", "http-body.ts", "body-room.ts", "remote-address.ts", "confirm.ts"],
      ...[
        "mqtt.ts",
        "mqtt-library.ts",
        "receivers.ts",
        "arrivals.ts",
        "first-arrivals.ts",
        "offer.ts",
        "topic.ts",
      ],
      ...["publisher.ts"],
      ...["broker.ts", "broker-caps.ts", "mqtt-frames.ts"],
      ...["poll.ts", "poll-cursor.ts", "pull-http.ts"],
    ],
    from: ["intake", "adapters", "events", "network", "addresses"],
  },
  network: { files: ["network.ts"], from: [] },
  addresses: { files: ["address-share.ts"], from: [] },
  servicetitan: { files: ["servicetitan/"], from: ["reading", "events", "network"] },
  // What the queue tells and the ops endpoint shows: belongs to neither.
  status: { files: ["status.ts"], from: [] },
  incidents: { files: ["incidents.ts"], from: ["status"] },
  // It implements what intake declares.
  queue: { files: ["queue/"], from: ["servicetitan", "reading", "events", "status"], typesFrom: ["intake"] },
  // On the way of webhooks only, between them and intake; replayed without a new proof.
  spool: { files: ["spool.ts", "spool/"], from: ["intake", "adapters"] },
  redrive: { files: ["redrive.ts"], from: ["decode"], typesFrom: ["intake", "queue"] },
  mapping: { files: ["mapping.ts", "mapping-file.ts"], from: ["events"], typesFrom: ["servicetitan"] },
  ops: {
    files: ["ops/"],
    from: ["events", "status"],
    typesFrom: ["queue", "servicetitan", "mapping", "config", "intake"],
  },
  events: {
    files: ["events.ts", "log.ts"],
    from: ["status"],
    typesFrom: ["spool", "intake", "reading", "servicetitan", "queue", "incidents"],
  },
  config: { files: ["config.ts", "config/"], from: ["reading"] },
  // Written from the facts alone: a stand-in that shares code with what it tests proves nothing.
  sandbox: { files: ["sandbox/"], from: [] },
  decode: { files: ["decode.ts"], from: ["adapters", "intake", "reading"] },
  replay: { files: ["replay.ts", "replay-webhook.ts", "capture.ts"], from: ["sandbox"] },
  demo: {
    files: ["demo.ts"],
    from: ["config", "sandbox", "adapters", "status"],
    typesFrom: ["server", "ways in"],
  },
  server: {
    files: [
      "server.ts",
      "audit.ts",
      "parts.ts",
      "questions.ts",
      "leased-broker.ts",
      "leased-poller.ts",
      "cannot-start.ts",
    ],
    from: [
      "config",
      "intake",
      "network",
      "adapters",
      "ways in",
      "spool",
      "redrive",
      "queue",
      "servicetitan",
      "mapping",
      "ops",
      "events",
      "reading",
      "status",
      "incidents",
    ],
  },
  cli: {
    files: ["cli.ts", "last-resort.ts", "replay-command.ts", "redrive-command.ts"],
    from: ["server", "demo", "replay", "decode", "config", "adapters", "reading", "ways in", "events"],
    typesFrom: ["status", "redrive"],
  },
};

/** Single imports that no rule covers, each with its reason. */
const EXCEPTIONS = [
  // CannotKeep: intake declares what keep throws, and an error is told by its class.
  "queue/keep.ts imports intake.ts",
  "queue/group-commit.ts imports intake.ts",
];

/** Packages that only these files may import; any other package is free. */
const PACKAGES: Record<string, readonly string[]> = {
  bullmq: ["queue/"],
  ioredis: ["queue/"],
  mqtt: ["mqtt.ts", "mqtt-library.ts", "publisher.ts"],
  aedes: ["broker.ts"],
};

const PURE = ["reading.ts", "adapters/"];
/** What a pure file may import beside its own: no I/O, no clock, no configuration. */
const PURE_PACKAGES = ["zod", "node:crypto", "ipaddr.js", "@jmespath-community/jmespath", "tweetnacl"];

interface Import {
  file: string;
  /** As written. */
  specifier: string;
  kind: "value" | "type";
}

interface Source {
  imports: Import[];
  readsEnvironment: boolean;
  /** Ways to load code that this test could not follow. */
  hidden: string[];
}

const files = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((file) => /\.[cm]?[jt]sx?$/.test(file))
  .sort();
const sources = new Map(files.map((file) => [file, read(file, readFileSync(join(src, file), "utf8"))]));
const imports = [...sources.values()].flatMap((source) => source.imports);

describe("the reader of imports", () => {
  test("sees every way to import, and only imports", () => {
    const { imports: found, hidden } = read(
      "x.ts",
      `
      import a, { type B } from "./value.ts";
      import type { C } from "./type.ts";
      import { type D, type E } from "./types-only.ts";
      import "./bare.ts";
      export { f } from "./reexport.ts";
      export type { G } from "./retype.ts";
      export * from "./star.ts";
      const h = await import("./dynamic.ts");
      const i: import("./in-type.ts").I = h;
      new Worker(new URL("./worker.ts", import.meta.url));
      new URL("./page.html", import.meta.url);
      // import j from "./comment.ts";
      const k = 'import l from "./string.ts"';
      const m = \`\${await import(\`./template.ts\`)}\`;
      `,
    );
    expect(found.map(({ specifier, kind }) => `${kind} ${specifier}`)).toEqual([
      "value ./value.ts",
      "type ./type.ts",
      "type ./types-only.ts",
      "value ./bare.ts",
      "value ./reexport.ts",
      "type ./retype.ts",
      "value ./star.ts",
      "value ./dynamic.ts",
      "type ./in-type.ts",
      "value ./worker.ts",
      "value ./template.ts",
    ]);
    expect(hidden).toEqual([]);
  });

  test("says what it cannot follow", () => {
    const { hidden } = read("x.ts", 'import(name); require("./a.cjs"); createRequire(import.meta.url);');
    expect(hidden).toHaveLength(3);
  });

  test.each([
    "process.env.A",
    'process["env"]',
    "globalThis.process.env",
    "const { env } = process",
    'import { env } from "node:process"',
  ])("sees that the environment is read by %s", (code) =>
    expect(read("x.ts", code).readsEnvironment).toBe(true),
  );

  test("process is more than its environment", () => {
    expect(read("x.ts", "process.exit(env.code); context.env").readsEnvironment).toBe(false);
  });
});

test("there is something to look at", () => {
  expect(files).toContain("config.ts");
  expect(imports.length).toBeGreaterThan(100);
});

test.each(files)("%s belongs to exactly one part", (file) => {
  expect(partsOf(file)).toHaveLength(1);
});

test("no file hides what it loads", () => {
  expect([...sources].flatMap(([file, { hidden }]) => hidden.map((what) => `${file}: ${what}`))).toEqual([]);
});

test("files import only from the parts their own part may look at", () => {
  const wrong = imports.flatMap(({ file, specifier, kind }) => {
    if (!specifier.startsWith(".")) return [];
    const target = relative(src, join(src, dirname(file), specifier));
    const [own] = partsOf(file);
    const [other] = partsOf(target);
    if (own === undefined || other === undefined)
      return [`${file} imports ${target}, which belongs to no part`];
    const part = PARTS[own];
    const allowed = [own, ...(part?.from ?? []), ...(kind === "type" ? (part?.typesFrom ?? []) : [])];
    if (allowed.includes(other) || EXCEPTIONS.includes(`${file} imports ${target}`)) return [];
    return [`${file} (${own}) imports ${target} (${other}), ${kind}`];
  });
  expect(wrong).toEqual([]);
});

test("imports name their file with its extension", () => {
  const relativeOnes = imports.filter(({ specifier }) => specifier.startsWith("."));
  expect(relativeOnes.filter(({ specifier }) => !specifier.endsWith(".ts"))).toEqual([]);
});

test("some packages stay in their files", () => {
  const wrong = imports.filter(({ file, specifier }) => {
    const owners = PACKAGES[packageOf(specifier)];
    return owners !== undefined && !owners.some((owner) => isIn(file, owner));
  });
  expect(wrong).toEqual([]);
});

test("what decodes and judges does no I/O", () => {
  const wrong = imports.filter(
    ({ file, specifier }) =>
      PURE.some((pure) => isIn(file, pure)) &&
      !specifier.startsWith(".") &&
      !PURE_PACKAGES.includes(packageOf(specifier)),
  );
  expect(wrong).toEqual([]);
});

test("only config.ts reads the environment", () => {
  const readers = [...sources].filter(([, { readsEnvironment }]) => readsEnvironment).map(([file]) => file);
  expect(readers).toEqual(["config.ts"]);
});

test("only cli.ts imports server.ts", () => {
  const importers = imports
    .filter(({ specifier, kind }) => kind === "value" && /(^|\/)server\.ts$/.test(specifier))
    .map(({ file }) => file);
  expect(importers.filter((file) => file !== "cli.ts")).toEqual([]);
});

test("the sandbox imports nothing of ours, types neither", () => {
  const wrong = imports.filter(
    ({ file, specifier }) => isIn(file, "sandbox/") && /^\.\.\/(?!sandbox\/)/.test(specifier),
  );
  expect(wrong).toEqual([]);
});

function partsOf(file: string): string[] {
  return Object.entries(PARTS)
    .filter(([, part]) => part.files.some((pattern) => isIn(file, pattern)))
    .map(([name]) => name);
}

function isIn(file: string, pattern: string): boolean {
  return pattern.endsWith("/") ? file.startsWith(pattern) : file === pattern;
}

function packageOf(specifier: string): string {
  const parts = specifier.split("/");
  return parts.slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}

type Node = Record<string, unknown>;

function read(file: string, text: string): Source {
  const source: Source = { imports: [], readsEnvironment: false, hidden: [] };
  const add = (literal: unknown, kind: Import["kind"]) => {
    const specifier = textOf(literal);
    if (specifier === null) source.hidden.push("an import whose target is computed");
    else source.imports.push({ file, specifier, kind });
    if (specifier === "process" || specifier === "node:process") source.readsEnvironment = true;
  };
  walk(parseAst(text, { lang: "ts", astType: "ts" }), (node) => {
    switch (node.type) {
      case "ImportDeclaration":
        return add(node.source, isTypeOnly(node, "importKind") ? "type" : "value");
      case "ExportNamedDeclaration":
      case "ExportAllDeclaration":
        if (node.source) add(node.source, isTypeOnly(node, "exportKind") ? "type" : "value");
        return;
      case "ImportExpression":
        return add(node.source, "value");
      case "TSImportType":
        return add(node.source, "type");
      case "TSExternalModuleReference":
        return add(node.expression, "value");
      case "NewExpression": {
        if (!isNamed(node.callee, "URL") || !Array.isArray(node.arguments)) return;
        const target = textOf(node.arguments[0]);
        // A worker is started from a URL beside the file; pages and pictures are read, not run.
        if (target?.startsWith(".") && /\.[cm]?[jt]s$/.test(target)) add(node.arguments[0], "value");
        return;
      }
      case "CallExpression":
        if (isNamed(node.callee, "require")) source.hidden.push("require()");
        if (isNamed(node.callee, "createRequire")) source.hidden.push("createRequire()");
        return;
      case "MemberExpression": {
        const { object, property } = node;
        const isProcess = isNamed(object, "process") || isNamed(asNode(object).property, "process");
        if (isProcess && (isNamed(property, "env") || textOf(property) === "env"))
          source.readsEnvironment = true;
        return;
      }
      case "VariableDeclarator":
        if (isNamed(node.init, "process")) source.readsEnvironment = true;
        return;
    }
  });
  return source;
}

function isTypeOnly(node: Node, key: "importKind" | "exportKind"): boolean {
  if (node[key] === "type") return true;
  const specifiers = Array.isArray(node.specifiers) ? node.specifiers : [];
  return specifiers.length > 0 && specifiers.every((specifier) => asNode(specifier)[key] === "type");
}

function textOf(value: unknown): string | null {
  const node = asNode(value);
  if (node.type === "Literal" && typeof node.value === "string") return node.value;
  if (node.type === "TemplateLiteral" && Array.isArray(node.quasis) && node.quasis.length === 1) {
    const cooked = asNode(asNode(node.quasis[0]).value).cooked;
    return typeof cooked === "string" ? cooked : null;
  }
  return null;
}

function isNamed(value: unknown, name: string): boolean {
  const node = asNode(value);
  return node.type === "Identifier" && node.name === name;
}

function asNode(value: unknown): Node {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function walk(value: unknown, visit: (node: Node) => void): void {
  if (Array.isArray(value)) {
    for (const item of value) walk(item, visit);
  } else if (typeof value === "object" && value !== null) {
    const node = asNode(value);
    if (typeof node.type === "string") visit(node);
    for (const child of Object.values(node)) walk(child, visit);
  }
}
