/** Who may import whom, so that the shape of the gateway is kept by more than good will. */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parseAst } from "vitest/node";

const src = fileURLToPath(new URL("../../src", import.meta.url));

interface Place {
  /** Places it may import from, beside itself. */
  from: readonly string[];
  /** Places it may import types from. */
  typesFrom?: readonly string[];
}

const EVERYTHING = ["every place"];
/** They know nothing of ours, and every place may use them; adapters have no use for time. */
const FOR_ALL = ["time.ts", "untrusted.ts"];

/**
 * The pipeline as folders: from the inputs through ingest to the queue and ServiceTitan; nothing on it looks back. A
 * file belongs to the place with the longest name that it begins with. What is not named here may not be imported.
 */
const PLACES: Record<string, Place> = {
  "reading.ts": { from: ["details.ts"] },
  "details.ts": { from: [] },
  "addresses.ts": { from: [] },
  "network.ts": { from: ["addresses.ts"] },
  "status/": { from: [] },
  "time.ts": { from: [] },
  "untrusted.ts": { from: [] },
  "version.ts": { from: [] },
  "events/": {
    from: ["limits/", "spool/", "status/"],
    typesFrom: ["ingest/", "servicetitan/"],
  },
  "adapters/": { from: ["addresses.ts", "reading.ts"] },
  // Beside the pipeline: it looks at what has come through ingest, and writes nothing of it but scrubbed.
  "capture/": { from: ["adapters/", "reading.ts"], typesFrom: ["ingest/"] },
  "ingest/": { from: ["adapters/", "reading.ts"], typesFrom: ["status/"] },
  // On the way of webhooks only, between them and ingest.
  "spool/": { from: ["adapters/", "ingest/"] },
  // One budget for all doors: the inputs, and the ops endpoint.
  "limits/": { from: ["addresses.ts"], typesFrom: ["status/"] },
  // The inputs never import each other.
  "inputs/": { from: [] },
  "inputs/webhook/": {
    from: ["adapters/", "ingest/", "limits/", "network.ts", "version.ts"],
    typesFrom: ["events/"],
  },
  "inputs/mqtt/": {
    from: ["adapters/", "ingest/", "inputs/", "limits/"],
    typesFrom: ["events/", "status/"],
  },
  "inputs/poll/": {
    from: ["adapters/", "addresses.ts", "ingest/", "inputs/", "network.ts", "version.ts"],
    typesFrom: ["events/", "status/"],
  },
  "servicetitan/": { from: ["network.ts", "reading.ts", "version.ts"] },
  // It implements what ingest declares.
  "queue/": { from: ["reading.ts", "servicetitan/", "status/"], typesFrom: ["events/", "ingest/"] },
  // What came through the API; it reads and writes by what the queue stores.
  "tenants/": { from: [], typesFrom: ["config/", "queue/"] },
  "config/": { from: ["adapters/", "addresses.ts", "reading.ts"] },
  // What to enter at vendors, and what an operator begins with: shown, never part of the pipeline.
  "setup/": { from: ["adapters/", "config/"] },
  "mapping/": { from: ["config/"], typesFrom: ["servicetitan/", "status/"] },
  // It gets what it shows and does as functions.
  "ops/": {
    from: ["capture/", "limits/", "reading.ts", "status/"],
    typesFrom: [
      "adapters/",
      "config/",
      "events/",
      "ingest/",
      "mapping/",
      "queue/",
      "servicetitan/",
      "setup/",
      "tenants/",
    ],
  },
  // It asks each part's other end once, by what the parts themselves ask with.
  "doctor/": {
    from: [
      "adapters/",
      "config/",
      "ingest/",
      "inputs/mqtt/",
      "inputs/poll/",
      "limits/",
      "network.ts",
      "queue/",
      "servicetitan/",
      "wiring.ts",
    ],
  },
  "startup/": { from: ["inputs/", "inputs/mqtt/", "mapping/", "spool/"], typesFrom: ["config/"] },
  "wiring.ts": { from: EVERYTHING },
  // What is in force is given to every stage; the rest of the folder changes it while all of them run.
  "reload/in-force.ts": { from: EVERYTHING },
  "reload/tenant-gates.ts": { from: ["ingest/"], typesFrom: ["config/"] },
  "reload/": { from: EVERYTHING },
  "pipeline.ts": { from: EVERYTHING },
  "ops-endpoint.ts": { from: EVERYTHING },
  "server.ts": { from: EVERYTHING },
  "commands/": { from: EVERYTHING },
  "cli.ts": { from: ["commands/", "version.ts"] },
};

/** Single imports that no rule covers, each with its reason. */
const EXCEPTIONS = [
  // Ingest declares what storage throws, and an error is told by its class.
  "queue/store/store.ts imports ingest/store.ts",
  "queue/store/group-commit.ts imports ingest/store.ts",
];

/** Packages that only these files may import; any other package is free. */
const PACKAGES: Record<string, readonly string[]> = {
  bullmq: ["queue/"],
  ioredis: ["queue/"],
  mqtt: ["inputs/mqtt/", "commands/capture/publisher.ts"],
  aedes: ["inputs/mqtt/"],
};

/**
 * Files that may open a connection to somebody else, each with its reason. Everything else asks network.ts for its way
 * out, which honours the proxy and verifies certificates whatever the environment says.
 */
const REACHING_OUT: Record<string, string> = {
  "network.ts": "makes the one guarded way out",
  "inputs/webhook/confirm.ts": "sends through the dispatcher it is given",
  "inputs/poll/http.ts": "sends through network.ts's dispatcher",
  "limits/descriptors.ts": "asks the shell for the process's limits where /proc has none",
  "commands/gateway.ts": "requests the ops endpoint of the gateway whose configuration it was given",
  "commands/capture/webhook.ts":
    "sends a capture to the webhook of the gateway whose configuration it was given",
};

/** What opens connections by itself, by module; a namespace or a default import may do anything in it. */
const CONNECTING: Record<string, readonly string[]> = {
  http: ["request", "get", "Agent", "ClientRequest", "globalAgent"],
  https: ["request", "get", "Agent", "globalAgent"],
  http2: ["connect"],
  net: ["connect", "createConnection"],
  tls: ["connect"],
  dgram: ["createSocket"],
};
/** Everything in these opens connections, or starts what does. */
const ALL_CONNECTING = [
  "undici",
  "axios",
  "got",
  "node-fetch",
  "ws",
  "child_process",
  "cluster",
  "inspector",
];
const CONNECTING_GLOBALS = ["fetch", "WebSocket", "EventSource", "XMLHttpRequest", "WebSocketStream"];
/** Beside the folders: what every folder may need, and the files that put the whole together. */
const MAX_LOOSE_FILES = 12;

/** Files of the sandbox that run the gateway itself: the demo, and a gateway for one vendor. */
const STARTS_GATEWAY = ["main.ts", "demo.ts", "try.ts"];

const PURE = ["reading.ts", "untrusted.ts", "adapters/"];
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
  /** What it could open a connection to somebody else with. */
  reachesOut: string[];
}

const files = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((file) => /\.[cm]?[jt]sx?$/.test(file))
  .sort();
const sources = new Map(files.map((file) => [file, read(file, readFileSync(join(src, file), "utf8"))]));
const imports = [...sources.values()].flatMap((source) => source.imports);

describe("the reader of imports", () => {
  test.each([
    'import { request } from "undici"',
    'import * as undici from "undici"',
    'import { Agent } from "undici/lib/agent.js"',
    'import { request } from "node:http"',
    'import { get as ask } from "https"',
    'import http from "node:http"',
    'import * as https from "node:https"',
    'export { connect } from "node:tls"',
    'export * from "node:net"',
    'const { connect } = await import("node:net")',
    'import { createSocket } from "node:dgram"',
    'import { execFile } from "node:child_process"',
    "await fetch(url)",
    "const ask = fetch",
    "globalThis.fetch(url)",
    'globalThis["fetch"](url)',
    "const { fetch: ask } = globalThis",
    "new WebSocket(url)",
    "new EventSource(url)",
    "new Socket().connect(80, host)",
    'process.getBuiltinModule("http")',
  ])("sees that %s can reach out", (code) => expect(read("x.ts", code).reachesOut).not.toEqual([]));

  test.each([
    'import type { Dispatcher } from "undici"',
    'import { type Dispatcher } from "undici"',
    'import { createServer, type IncomingMessage } from "node:http"',
    'import { type AddressInfo, createServer } from "node:net"',
    "serve({ fetch: app.fetch, port })",
    "const { fetch, port } = app",
    "interface Parts { fetch(request: Request): Response }",
    "client.connect()",
    "function listen(fetch: (request: Request) => Response) { return serve({ fetch }) }",
  ])("sees that %s cannot", (code) => expect(read("x.ts", code).reachesOut).toEqual([]));

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
  expect(files).toContain("config/load.ts");
  expect(imports.length).toBeGreaterThan(100);
});

test.each(files)("%s has a place", (file) => {
  expect(placeOf(file)).not.toBeNull();
});

test("every place has files", () => {
  expect(Object.keys(PLACES).filter((place) => !files.some((file) => isIn(file, place)))).toEqual([]);
});

test("few files stand outside the folders", () => {
  expect(files.filter((file) => !file.includes("/")).length).toBeLessThanOrEqual(MAX_LOOSE_FILES);
});

test("no file hides what it loads", () => {
  expect([...sources].flatMap(([file, { hidden }]) => hidden.map((what) => `${file}: ${what}`))).toEqual([]);
});

test("files import only from the places that their own may see", () => {
  const wrong = imports.flatMap(({ file, specifier, kind }) => {
    if (!specifier.startsWith(".")) return [];
    const target = targetOf(file, specifier);
    const [own, other] = [placeOf(file), placeOf(target)];
    if (own === null || other === null) return [`${file} imports ${target}, which has no place`];
    const { from, typesFrom = [] } = PLACES[own] ?? { from: [] };
    const allowed = [own, ...FOR_ALL, ...from, ...(kind === "type" ? typesFrom : [])];
    if (from === EVERYTHING || allowed.includes(other)) return [];
    if (EXCEPTIONS.includes(`${file} imports ${target}`)) return [];
    return [`${file} imports ${target}, ${kind}`];
  });
  expect(wrong).toEqual([]);
});

test("no imports go in a circle, types neither", () => {
  expect(circles()).toEqual([]);
});

test("nothing of the sandbox, the bench, the chaos runs or the tests is part of the product", () => {
  const outside = imports.filter(
    ({ file, specifier }) => specifier.startsWith(".") && targetOf(file, specifier).startsWith(".."),
  );
  expect(outside).toEqual([]);
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

test("only the files that are listed reach out, and all of them do", () => {
  const found = [...sources].flatMap(([file, { reachesOut }]) => reachesOut.map((what) => ({ file, what })));
  expect(found.filter(({ file }) => !(file in REACHING_OUT))).toEqual([]);
  expect(Object.keys(REACHING_OUT).filter((file) => !found.some((each) => each.file === file))).toEqual([]);
});

test("only commands/print.ts writes to the terminal", () => {
  // The log goes to standard output by a stream of its own, through the same function.
  const writers = files.filter((file) => {
    const text = readFileSync(join(src, file), "utf8");
    return /\b(stdout|stderr)\b|\bconsole\s*[.[]|writeSync\(\s*[12]\b/.test(
      text.replace(/^\s*(\/\/|\*|\/\*).*$/gm, ""),
    );
  });
  expect(writers.filter((file) => !isIn(file, "ops/page/"))).toEqual(["commands/print.ts"]);
});

test("who sends by undici says through which dispatcher", () => {
  for (const file of ["inputs/webhook/confirm.ts", "inputs/poll/http.ts"]) {
    const calls: Node[] = [];
    walk(parseAst(readFileSync(join(src, file), "utf8"), { lang: "ts", astType: "ts" }), (node) => {
      if (node.type === "CallExpression" && (isNamed(node.callee, "request") || isNamed(node.callee, "send")))
        calls.push(node);
    });
    expect(calls, file).toHaveLength(1);
    expect(JSON.stringify(calls[0]?.arguments), file).toContain('"name":"dispatcher"');
  }
});

test("what decodes and validates does no I/O", () => {
  const wrong = imports.filter(
    ({ file, specifier }) =>
      PURE.some((pure) => isIn(file, pure)) &&
      !specifier.startsWith(".") &&
      !PURE_PACKAGES.includes(packageOf(specifier)),
  );
  expect(wrong).toEqual([]);
});

test("only config/load.ts reads the environment", () => {
  const readers = [...sources].filter(([, { readsEnvironment }]) => readsEnvironment).map(([file]) => file);
  expect(readers).toEqual(["config/load.ts"]);
});

test("only the start command imports server.ts", () => {
  const importers = imports
    .filter(({ file, specifier }) => specifier.startsWith(".") && targetOf(file, specifier) === "server.ts")
    .map(({ file }) => file);
  expect(importers).toEqual(["commands/start.ts"]);
});

// Written from the documentation alone: a stand-in that shares code with what it tests proves nothing.
test("the sandbox imports nothing of ours, types neither, but where it starts the gateway", () => {
  const folder = fileURLToPath(new URL("../../sandbox", import.meta.url));
  const wrong = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !STARTS_GATEWAY.includes(file))
    .flatMap((file) => read(file, readFileSync(join(folder, file), "utf8")).imports)
    .filter(({ specifier }) => /^\.\.\/(?!sandbox\/)/.test(specifier));
  expect(wrong).toEqual([]);
});

function targetOf(file: string, specifier: string): string {
  return relative(src, join(src, dirname(file), specifier));
}

function placeOf(file: string): string | null {
  const places = Object.keys(PLACES).filter((place) => isIn(file, place));
  return places.sort((a, b) => b.length - a.length)[0] ?? null;
}

/** Groups of files that import each other, directly or by way of others. */
function circles(): string[][] {
  const reached = new Map(
    files.map((file) => {
      const seen = new Set<string>();
      const next = [file];
      for (let at = next.pop(); at !== undefined; at = next.pop()) {
        for (const { specifier } of sources.get(at)?.imports ?? []) {
          const target: string = specifier.startsWith(".") ? targetOf(at, specifier) : at;
          if (target !== at && !seen.has(target)) {
            seen.add(target);
            next.push(target);
          }
        }
      }
      return [file, seen] as const;
    }),
  );
  return files
    .filter((file) => reached.get(file)?.has(file))
    .map((file) => [
      file,
      ...files.filter(
        (other) => other !== file && reached.get(file)?.has(other) && reached.get(other)?.has(file),
      ),
    ]);
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
  const source: Source = { imports: [], readsEnvironment: false, hidden: [], reachesOut: [] };
  const ast = parseAst(text, { lang: "ts", astType: "ts" });
  // A parameter may be called fetch; what it names is not the global.
  const own = ownNamesIn(ast);
  const add = (literal: unknown, kind: Import["kind"]) => {
    const specifier = textOf(literal);
    if (specifier === null) source.hidden.push("an import whose target is computed");
    else source.imports.push({ file, specifier, kind });
    if (specifier === "process" || specifier === "node:process") source.readsEnvironment = true;
  };
  walk(ast, (node) => {
    source.reachesOut.push(...waysOutOf(node, own));
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

/** Names that the file gives to parameters, variables, functions and imports of its own. */
function ownNamesIn(ast: unknown): Set<string> {
  const names = new Set<string>();
  const add = (pattern: unknown) => {
    const { type, name, properties, elements, left, argument, value } = asNode(pattern);
    if (type === "Identifier" && typeof name === "string") names.add(name);
    for (const each of [properties, elements].flatMap((list) => (Array.isArray(list) ? list : []))) add(each);
    for (const each of [left, argument, type === "Property" ? value : null]) if (each) add(each);
  };
  walk(ast, (node) => {
    if (Array.isArray(node.params)) for (const param of node.params) add(param);
    // What is taken out of the global object is the global still.
    if (node.type === "VariableDeclarator" && !isNamed(node.init, "globalThis")) add(node.id);
    if (node.type === "FunctionDeclaration") add(node.id);
    if (/^Import(Default|Namespace)?Specifier$/.test(String(node.type))) add(node.local);
  });
  return names;
}

function waysOutOf(node: Node, own: ReadonlySet<string>): string[] {
  const isGlobal = (value: unknown) =>
    CONNECTING_GLOBALS.find((name) => isNamed(value, name) && !own.has(name));
  switch (node.type) {
    case "ImportDeclaration":
    case "ExportNamedDeclaration":
    case "ExportAllDeclaration": {
      if (isTypeOnly(node, node.type === "ImportDeclaration" ? "importKind" : "exportKind")) return [];
      const specifiers = Array.isArray(node.specifiers) ? node.specifiers.map(asNode) : [];
      const values = specifiers.filter((each) => each.importKind !== "type" && each.exportKind !== "type");
      return waysOutOfModule(
        textOf(node.source),
        node.type === "ExportAllDeclaration"
          ? ["*"]
          : values.map(({ type, imported, local }) =>
              /Default|Namespace/.test(String(type)) ? "*" : String(asNode(imported ?? local).name),
            ),
      );
    }
    case "ImportExpression":
      return waysOutOfModule(textOf(node.source), ["*"]);
    case "CallExpression": {
      const callee = asNode(node.callee);
      if (isNamed(callee.property, "getBuiltinModule")) return ["getBuiltinModule"];
      // A socket that was not accepted but made.
      const of = asNode(callee.object);
      if (isNamed(callee.property, "connect") && of.type === "NewExpression") return ["connect"];
      return [isGlobal(callee) ?? []].flat();
    }
    case "NewExpression":
      return [isGlobal(node.callee) ?? []].flat();
    case "VariableDeclarator": {
      const taken = isNamed(node.init, "globalThis") ? JSON.stringify(node.id) : "";
      return [
        isGlobal(node.init) ?? [],
        CONNECTING_GLOBALS.filter((name) => taken.includes(`"name":"${name}"`)),
      ].flat();
    }
    case "MemberExpression": {
      if (!isNamed(node.object, "globalThis")) return [];
      return CONNECTING_GLOBALS.filter(
        (name) => isNamed(node.property, name) || textOf(node.property) === name,
      );
    }
  }
  return [];
}

function waysOutOfModule(specifier: string | null, names: readonly string[]): string[] {
  const module = packageOf(specifier?.replace(/^node:/, "") ?? "");
  if (ALL_CONNECTING.includes(module)) return [module];
  return (CONNECTING[module] ?? []).some((name) => names.includes(name) || names.includes("*"))
    ? [module]
    : [];
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
