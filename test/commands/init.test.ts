/** The `init` command: a configuration that passes `check`, secrets apart and closed, nothing overwritten, nothing guessed. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { afterAll, expect, test, vi } from "vitest";
import { adapters } from "../../src/adapters/index.ts";
import { loadConfig } from "../../src/config/load.ts";
import { runCli } from "../support/cli-process.ts";
import { scaled } from "../support/speed.ts";

vi.setConfig({ testTimeout: scaled(120_000) });

const dir = mkdtempSync(join(tmpdir(), "waypost-init-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const FLAGS = ["--vendor", "bouncie", "--tenant", "1000001", "--provider", "waypost"];
const modeOf = (file: string) => (statSync(file).mode & 0o777).toString(8);

test("writes files that pass check, says what is next, and overwrites nothing", async () => {
  const out = join(dir, "waypost.yaml");
  const args = [
    "init",
    ...FLAGS,
    "--source",
    "vans",
    "--public-url",
    "https://gps.example.com",
    "--out",
    out,
  ];
  const first = await runCli(args);
  expect(first).toMatchObject({ ended: "exit code 0", stderr: "" });
  for (const said of [
    "bouncie: https://gps.example.com/webhooks/vans",
    "X-Bouncie-Authorization: <secret>",
    "servicetitan-client-secret",
    `waypost check --config ${out}`,
  ])
    expect(first.stdout).toContain(said);

  const secrets = readdirSync(join(dir, "secrets"));
  expect(secrets).toHaveLength(5);
  for (const name of secrets) {
    expect(modeOf(join(dir, "secrets", name)), name).toBe("600");
    const value = readFileSync(join(dir, "secrets", name), "utf8").trim();
    expect(`${readFileSync(out, "utf8")}${first.stdout}`).not.toContain(value);
  }
  expect(modeOf(join(dir, "secrets"))).toBe("700");
  expect(loadConfig({ file: out, env: {}, adapters })).toMatchObject({
    config: { sources: { vans: { vendor: "bouncie" } } },
    warnings: [],
  });

  const before = readFileSync(join(dir, "secrets", "ops-token"), "utf8");
  const again = await runCli(args);
  expect(again).toMatchObject({ ended: "exit code 1", stdout: "" });
  expect(again.stderr).toMatch(/^Nothing was written: .*waypost\.yaml.* is there already\. Give --force/);
  expect(readFileSync(join(dir, "secrets", "ops-token"), "utf8")).toBe(before);
  expect((await runCli([...args, "--force"])).ended).toBe("exit code 0");
  expect(readFileSync(join(dir, "secrets", "ops-token"), "utf8")).not.toBe(before);
});

test("names variables where they are wanted", async () => {
  const out = join(dir, "other.yaml");
  const { ended, stdout } = await runCli(["init", ...FLAGS, "--secrets", "env", "--out", out]);
  expect(ended).toBe("exit code 0");
  expect(stdout).toContain("set -a; . ./other.env; set +a");
  expect(modeOf(join(dir, "other.env"))).toBe("600");
  const env = parseEnv(readFileSync(join(dir, "other.env"), "utf8"));
  expect(Object.keys(env).sort()).toEqual([
    "BOUNCIE_SECRET",
    "OPS_TOKEN",
    "SERVICETITAN_APP_KEY",
    "SERVICETITAN_CLIENT_ID",
    "SERVICETITAN_CLIENT_SECRET",
  ]);
  expect(loadConfig({ file: out, env, adapters })).toHaveProperty("config");
});

test("asks nobody where there is no terminal, and names what is missing and what is wrong", async () => {
  const missing = await runCli([
    "init",
    "--vendor",
    "motive",
    "--tenant",
    "acme",
    "--out",
    join(dir, "no.yaml"),
  ]);
  expect(missing).toMatchObject({ ended: "exit code 2", stdout: "" });
  expect(missing.stderr.split("\n")).toEqual([
    "--tenant must be the numeric tenant id",
    "init needs --provider, --speed-unit: it asks only on a terminal",
    "",
  ]);
  expect(readdirSync(dir)).not.toContain("no.yaml");
});
