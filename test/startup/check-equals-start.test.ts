/** What `check` finds right, `start` opens; what it refuses, `start` refuses with the same lines. */

import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { adapters } from "../../src/adapters/index.ts";
import type { Config } from "../../src/config/config.ts";
import { loadConfig } from "../../src/config/load.ts";
import { problemText } from "../../src/config/problems.ts";
import { startGateway } from "../../src/server.ts";
import { checkBeforeStart } from "../../src/startup/before-start.ts";
import { StartupError } from "../../src/startup/error.ts";
import { checkPorts } from "../../src/startup/ports.ts";
import { type Authority, createAuthority } from "../support/certificates.ts";
import { configurations } from "../support/configurations.ts";
import { scaled } from "../support/speed.ts";
import { MUTATIONS, mutantOf, randomFrom, type Settings } from "./mutations.ts";

const MUTANTS = 1000;
/** Of what is right, so many of each kind of damage are really opened. */
const OPENED_OF_EACH = 2;

let dir: string;
let redis: PrivateRedis;
let authority: Authority;
let file: string;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "waypost-agree-"));
  file = join(dir, "waypost.yaml");
  redis = await startPrivateRedis();
  authority = createAuthority();
  mkdirSync(join(dir, "open-to-all"));
  chmodSync(join(dir, "open-to-all"), 0o777);
});
afterAll(async () => {
  await redis.stop();
  authority.remove();
  rmSync(dir, { recursive: true, force: true });
});

/** With a file of every kind, every port, and nobody outside who would be called. */
function whole(): Settings {
  const tls = { cert: "server.crt", key: "server.key" };
  return {
    redis: { url: redis.url, prefix: "agree" },
    http: { host: "127.0.0.1", port: 0, tls },
    ops: { port: 0, token: "5f0c2a96d3b14e7a-7c1e90b4" },
    mqtt: {
      listen: {
        ...{ host: "127.0.0.1", port: 0, tls: { ...tls, ca: "broker.crt" } },
        devices: [{ username: "anna", password: "7c1e90b4a2d85f36", source: "phones" }],
      },
    },
    mapping: { file: "mapping.csv" },
    spool: { dir: "spool" },
    sources: {
      vans: { vendor: "bouncie", destination: "acme", auth: { secret: "a2d85f367c1e90b4" } },
      phones: { vendor: "owntracks", destination: "acme", mqtt: { broker: "listen" } },
    },
    destinations: {
      acme: { tenant: "1", provider: "p", appKey: "a", clientId: "c", clientSecret: "s" },
    },
  };
}

/** The files as they are right, unless the mutant brings others. The spool and the names in it are relative to the process. */
function write({ text, files }: { text: string; files: Readonly<Record<string, string>> }): void {
  const { cert, key, certFile, keyFile } = signed();
  copyFileSync(certFile, join(dir, "server.crt"));
  copyFileSync(keyFile, join(dir, "server.key"));
  copyFileSync(authority.caFile, join(dir, "broker.crt"));
  writeFileSync(join(dir, "mapping.csv"), "device,unit\n861205030047716,V-12\n");
  for (const [name, content] of Object.entries(files)) writeFileSync(join(dir, name), content);
  writeFileSync(file, text.replaceAll(/\bdir: (?!\/)/g, `dir: ${dir}/`));
  expect([cert, key]).not.toContain("");
}

let pair: ReturnType<Authority["sign"]> | undefined;
function signed() {
  pair ??= authority.sign("waypost.test");
  return pair;
}

type Verdict =
  | { kind: "right"; config: Config }
  | { kind: "refused"; lines: readonly string[]; config?: Config };

/** As the `check` command finds it. */
async function checked(env: Record<string, string> = {}): Promise<Verdict> {
  const loaded = loadConfig({ file, env, adapters });
  if ("problems" in loaded) return { kind: "refused", lines: loaded.problems.map(problemText) };
  const lines = await linesOf(checkBeforeStart(loaded.config));
  return lines === null
    ? { kind: "right", config: loaded.config }
    : { kind: "refused", lines, config: loaded.config };
}

async function linesOf(attempt: Promise<unknown>): Promise<readonly string[] | null> {
  try {
    await attempt;
    return null;
  } catch (error) {
    if (error instanceof StartupError) return error.problems;
    throw error;
  }
}

/** As the `start` command ends: with its lines, or with a gateway that runs. */
async function started(config: Config): Promise<readonly string[] | null> {
  return linesOf(startGateway(config, pino({ level: "silent" })).then((gateway) => gateway.close()));
}

test("every configuration of the repository is judged, and refused in the same lines", {
  timeout: scaled(120_000),
}, async () => {
  const found = { right: 0, refused: 0 };
  for (const { settings, env } of configurations()) {
    write({ text: JSON.stringify(settings), files: {} });
    const verdict = await checked(env);
    found[verdict.kind]++;
    if (verdict.kind === "refused" && verdict.config)
      expect(await started(verdict.config)).toEqual(verdict.lines);
  }
  expect(found.right).toBeGreaterThan(50);
});

test("a thousand damaged ones: what is refused and what starts", { timeout: scaled(300_000) }, async () => {
  const random = randomFrom(20261130);
  const others = configurations();
  const kinds = new Map(MUTATIONS.map((kind) => [kind, { right: 0, refused: 0, opened: 0 }]));
  for (let i = 0; i < MUTANTS; i++) {
    // Half of them have everything that can be opened here; the others are never opened, because they call vendors.
    const isWhole = i % 2 === 0;
    const other = others[i % others.length];
    const mutant = mutantOf(isWhole ? whole() : (other?.settings ?? {}), random);
    write(mutant);
    const verdict = await checked(isWhole ? {} : other?.env);
    const count = kinds.get(mutant.kind);
    if (!count) throw new Error(`There is no kind ${mutant.kind}.`);
    count[verdict.kind]++;
    const said = `${i} ${mutant.kind}\n${mutant.text}`;
    if (verdict.kind === "refused") {
      expect(verdict.lines, said).not.toEqual([]);
      if (verdict.config) expect(await started(verdict.config), said).toEqual(verdict.lines);
    } else if (isWhole && count.opened < OPENED_OF_EACH) {
      count.opened++;
      expect(await started(verdict.config), said).toBeNull();
    }
  }
  const sum = (of: "right" | "refused" | "opened") =>
    [...kinds.values()].reduce((n, kind) => n + kind[of], 0);
  expect(sum("refused")).toBeGreaterThan(MUTANTS / 4);
  expect(sum("right")).toBeGreaterThan(MUTANTS / 10);
  expect(sum("opened")).toBeGreaterThan(MUTATIONS.length / 2);
});

describe("check --ports", () => {
  let other: Server;
  let port = 0;
  beforeAll(async () => {
    other = createServer();
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const address = other.address();
    port = typeof address === "object" && address ? address.port : 0;
  });
  afterAll(() => void other.close());

  test.each(["http", "ops", "mqtt.listen"])(
    "finds the port of %s in use in the words of start",
    async (setting) => {
      const settings = whole();
      const [section = "", inside] = setting.split(".");
      const at = Object(settings[section]);
      Object.assign(inside ? at[inside] : at, { port });
      write({ text: JSON.stringify(settings), files: {} });
      const verdict = await checked();
      if (verdict.kind === "refused") throw new Error(verdict.lines.join("\n"));
      const lines = await linesOf(checkPorts(verdict.config));
      expect(lines).toEqual([`${setting}.port ${port} is in use: something else listens there`]);
      expect(await started(verdict.config)).toEqual(lines);
    },
  );

  test("leaves what is free as it was", async () => {
    write({ text: JSON.stringify(whole()), files: {} });
    const verdict = await checked();
    if (verdict.kind === "refused") throw new Error(verdict.lines.join("\n"));
    expect(await linesOf(checkPorts(verdict.config))).toBeNull();
    expect(await started(verdict.config)).toBeNull();
  });
});
