/** What is installed is what was locked, on every platform, and can be listed. */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { z } from "zod";

const root = fileURLToPath(new URL("../..", import.meta.url));
const text = readFileSync(join(root, "package-lock.json"), "utf8");
const names = z.record(z.string(), z.string()).default({});
const entry = z.object({
  version: z.string(),
  integrity: z.string().optional(),
  resolved: z.string().optional(),
  dev: z.boolean().default(false),
  dependencies: names,
  optionalDependencies: names,
});
const lock = z.object({ packages: z.record(z.string(), entry) }).parse(JSON.parse(text));
const packages = Object.entries(lock.packages).filter(([path]) => path !== "");
const nameOf = (path: string) => path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);

test("every locked package has a strong hash", () => {
  expect(packages.length).toBeGreaterThan(100);
  expect(packages.filter(([, { integrity = "" }]) => !/^sha512-[\w+/]{86}==$/.test(integrity))).toEqual([]);
});

test("what other platforms install is locked too", () => {
  const locked = new Set(packages.map(([path]) => nameOf(path)));
  const wanted = packages.flatMap(([, { optionalDependencies }]) => Object.keys(optionalDependencies));
  expect(wanted.length).toBeGreaterThan(20);
  expect(wanted.filter((name) => !locked.has(name))).toEqual([]);
});

test("the lock file names no registry but the public one", () => {
  const hosts = packages.flatMap(([, { resolved }]) =>
    resolved === undefined ? [] : [new URL(resolved).host],
  );
  expect(hosts.filter((host) => host !== "registry.npmjs.org")).toEqual([]);
});

test("npm run sbom lists all that the product runs on, and nothing else", () => {
  const printed = execFileSync("npm", ["run", "--silent", "sbom"], { cwd: root, encoding: "utf8" });
  const bom = z
    .object({
      bomFormat: z.literal("CycloneDX"),
      components: z.array(z.object({ name: z.string(), group: z.string().optional(), version: z.string() })),
    })
    .parse(JSON.parse(printed));
  const listed = bom.components.map(({ name, version }) => `${name}@${version}`);
  const { dependencies } = z
    .object({ dependencies: names })
    .parse(JSON.parse(readFileSync(join(root, "package.json"), "utf8")));
  expect(listed).toEqual(
    expect.arrayContaining(Object.entries(dependencies).map(([name, v]) => `${name}@${v}`)),
  );
  const tools = packages
    .filter(([, { dev }]) => dev)
    .map(([path, { version }]) => `${nameOf(path)}@${version}`);
  const product = packages
    .filter(([, { dev }]) => !dev)
    .map(([path, { version }]) => `${nameOf(path)}@${version}`);
  expect(listed.filter((each) => tools.includes(each) && !product.includes(each))).toEqual([]);
});

test("SECURITY.md says how to report, what is promised and how to list what is in it", () => {
  const page = readFileSync(join(root, "SECURITY.md"), "utf8");
  for (const part of [
    "## Report a weakness",
    "## What is promised",
    "Supported versions",
    "npm run --silent sbom",
  ])
    expect(page).toContain(part);
});
