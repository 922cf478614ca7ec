/** The private Redis keeps its data over a restart, settings included, and never outlives the process that started it. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { afterEach, expect, test } from "vitest";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { until } from "../support/wait.ts";

let server: PrivateRedis | undefined;
let client: Redis | undefined;
afterEach(async () => {
  client?.disconnect();
  await server?.stop();
});

test("has the settings of production and keeps acknowledged data over SIGKILL and restart", async () => {
  server = await startPrivateRedis({ maxmemory: "32mb" });
  client = new Redis(server.url);
  const settings = await client.config("GET", "append*");
  expect(settings).toContain("everysec");
  expect(await client.config("GET", "maxmemory-policy")).toEqual(["maxmemory-policy", "noeviction"]);
  expect(await client.config("GET", "maxmemory")).toEqual(["maxmemory", String(32 * 1024 * 1024)]);
  await client.set("stored", "yes");

  const { pid } = server;
  server.kill("SIGKILL");
  await server.restart();
  expect(server.pid).not.toBe(pid);
  expect(await client.get("stored")).toBe("yes");
});

test("a stopped server can be ended, and its directory goes with it", async () => {
  server = await startPrivateRedis();
  server.kill("SIGSTOP");
  await server.stop();
  expect(existsSync(server.dir)).toBe(false);
  expect(isAlive(server.pid)).toBe(false);
});

test("two at a time do not meet", async () => {
  server = await startPrivateRedis();
  const other = await startPrivateRedis();
  expect(other.port).not.toBe(server.port);
  await other.stop();
});

test("dies with its parent, by SIGKILL too", async () => {
  const module = fileURLToPath(new URL("../../sandbox/redis.ts", import.meta.url));
  const script = `
    const { startPrivateRedis } = await import(${JSON.stringify(module)});
    const { pid, dir } = await startPrivateRedis();
    console.log(JSON.stringify({ pid, dir }));
    setInterval(() => {}, 1000);
  `;
  const parent = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = await once(createInterface({ input: parent.stdout }), "line");
  const { pid, dir } = JSON.parse(line);
  expect(isAlive(pid)).toBe(true);
  parent.kill("SIGKILL");
  await until(() => !isAlive(pid) && !existsSync(dir), { what: "the orphan and its directory to go" });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
