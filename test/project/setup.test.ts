/** The set-up script makes a clone ready or says what is missing; a fake machine shows each way without touching this one. */

import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const script = fileURLToPath(new URL("../../scripts/setup.mjs", import.meta.url));
let clone: string;
let bin: string;

beforeEach(() => {
  clone = mkdtempSync(join(tmpdir(), "waypost-setup-"));
  bin = join(clone, "bin");
  for (const dir of ["bin", "scripts", "node_modules"]) mkdirSync(join(clone, dir));
  copyFileSync(script, join(clone, "scripts", "setup.mjs"));
  lock("package-lock.json", { "": {}, "node_modules/a": { version: "1.0.0" } });
  lock("node_modules/.package-lock.json", { "node_modules/a": { version: "1.0.0" } });
});
afterEach(() => rmSync(clone, { recursive: true, force: true }));

test("says nothing and does nothing where all is in place", () => {
  install("redis-server");
  expect(setup(["--redis", "--quiet"])).toEqual({ status: 0, stdout: "", stderr: "" });
});

test.each([
  ["the lock file names another version", { "node_modules/a": { version: "1.0.1" } }],
  [
    "the lock file names one more",
    { "node_modules/a": { version: "1.0.0" }, "node_modules/b": { version: "2.0.0" } },
  ],
])("installs packages where %s", (_case, packages) => {
  lock("package-lock.json", { "": {}, ...packages });
  fake("npm", `echo "$@" >> "${clone}/npm.log"; echo noise`);
  const { status, stdout, stderr } = setup([]);
  expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
  expect(stderr).toContain("noise");
  expect(readFileSync(join(clone, "npm.log"), "utf8")).toMatch(/^ci --include=dev/);
});

test("packages of other platforms are not missing", () => {
  lock("package-lock.json", {
    "node_modules/a": { version: "1.0.0" },
    "node_modules/mac": { version: "1.0.0", optional: true },
  });
  expect(setup(["--quiet"]).status).toBe(0);
});

test("stops where packages cannot be installed", () => {
  rmSync(join(clone, "node_modules"), { recursive: true });
  fake("npm", "exit 1");
  const { status, stderr } = setup(["--quiet"]);
  expect(status).toBe(1);
  expect(stderr).toContain("could not be installed");
});

test("installs without npm ci where that refuses the lock file, and leaves the lock file alone", () => {
  rmSync(join(clone, "node_modules"), { recursive: true });
  fake("npm", '[ "$1" = install ] && [ "$2" = --no-save ]');
  expect(setup([]).status).toBe(0);
});

test("installs Redis where it may", () => {
  fake(
    "apt-get",
    `echo "$@" >> "${clone}/apt.log"; case "$*" in *redis-server) touch "${bin}/redis-server"; chmod +x "${bin}/redis-server";; esac`,
  );
  fake("sudo", 'shift; exec "$@"');
  expect(setup(["--redis-server"], { CI: "true" }).status).toBe(0);
  const calls = readFileSync(join(clone, "apt.log"), "utf8").trim().split("\n");
  expect(calls).toHaveLength(2);
  expect(calls[0]).toMatch(/ update$/);
  expect(calls[1]).toMatch(/ install -y --no-install-recommends redis-server$/);
});

test("takes valkey where the system has no redis", () => {
  fake(
    "apt-get",
    `case "$*" in *valkey-server) touch "${bin}/valkey-server"; chmod +x "${bin}/valkey-server";; *redis-server) exit 100;; esac`,
  );
  fake("sudo", 'shift; exec "$@"');
  const { status, stderr } = setup(["--redis"], { CI: "true" });
  expect(status).toBe(0);
  expect(stderr).toContain("valkey-server");
});

test("says what to install where it may not, and accepts a Redis that is named", () => {
  const refused = setup(["--redis"]);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toContain("sudo apt-get install redis-server");
  expect(refused.stderr).toContain("REDIS_URL=");
  expect(setup(["--redis"], { REDIS_URL: "redis://elsewhere:6379" }).status).toBe(0);
  // Tests kill and restart their servers, which nobody may do to a Redis that somebody runs.
  const forTests = setup(["--redis-server"], { REDIS_URL: "redis://elsewhere:6379" });
  expect(forTests.status).toBe(1);
  expect(forTests.stderr).not.toContain("REDIS_URL=");
});

test("runs Redis in a container as the last resort and leaves its address for the demo", () => {
  fake("docker", 'case "$1" in start) exit 1;; port) echo 127.0.0.1:49153; echo "[::1]:49153";; esac');
  expect(setup(["--redis"]).status).toBe(0);
  expect(readFileSync(join(clone, ".waypost", "redis-url"), "utf8")).toBe("redis://127.0.0.1:49153\n");
});

test("forgets the container once there is a server", () => {
  mkdirSync(join(clone, ".waypost"));
  writeFileSync(join(clone, ".waypost", "redis-url"), "redis://127.0.0.1:1\n");
  install("redis-server");
  expect(setup(["--redis"]).status).toBe(0);
  expect(existsSync(join(clone, ".waypost", "redis-url"))).toBe(false);
});

test("a container engine that does not answer is none", () => {
  fake("docker", "exit 1");
  expect(setup(["--redis"]).status).toBe(1);
  expect(existsSync(join(clone, ".waypost"))).toBe(false);
});

test("goes on without a browser, and says so", () => {
  const { status, stderr } = setup(["--chromium"]);
  expect(status).toBe(0);
  expect(stderr).toContain("chromium is not on this machine");
});

describe("promtool", () => {
  const ours = () => join(clone, ".waypost", "bin", "promtool");

  test("is taken out of its package, which is not installed", () => {
    fake("apt-get", 'case "$*" in *download*) : >prometheus.deb;; *) exit 1;; esac');
    install("dpkg-deb");
    fake("sh", "mkdir -p usr/bin; echo promtool >usr/bin/promtool; chmod 755 usr/bin/promtool");
    fake("mv", 'mv "$@"');
    const { status, stderr } = setup(["--promtool"]);
    expect({ status, stderr }).toMatchObject({ status: 0, stderr: expect.stringContaining(ours()) });
    expect(readFileSync(ours(), "utf8")).toBe("promtool\n");
    // Nothing is downloaded a second time.
    fake("apt-get", "exit 1");
    expect(setup(["--promtool"]).stderr).toContain(ours());
    expect(readdirSync(join(clone, ".waypost", "bin"))).toEqual(["promtool"]);
  });

  test.each([
    ["without apt", []],
    ["where the package cannot be had", ["apt-get", "dpkg-deb"]],
  ])("is done without %s, and that is said", (_, programs) => {
    for (const name of programs) fake(name, "exit 1");
    const { status, stderr } = setup(["--promtool"]);
    expect(status).toBe(0);
    expect(stderr).toContain("promtool is not on this machine (sudo apt-get install prometheus)");
  });
});

test("refuses what it does not know", () => {
  expect(setup(["--reddis"])).toMatchObject({ status: 1, stderr: expect.stringContaining("usage:") });
});

/** Runs the copy with nothing on PATH but what the test put there. */
function setup(args: string[], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(clone, "scripts", "setup.mjs"), ...args],
    {
      encoding: "utf8",
      env: { PATH: bin, ...env },
    },
  );
  return { status, stdout, stderr };
}

function lock(file: string, packages: Record<string, object>): void {
  writeFileSync(join(clone, file), JSON.stringify({ packages }));
}

function fake(name: string, body: string): void {
  writeFileSync(join(bin, name), `#!/bin/sh\nPATH=/usr/bin:/bin\n${body}\n`, { mode: 0o755 });
}

function install(name: string): void {
  fake(name, "exit 0");
}
