/** A command loads what it needs and nothing else: loading is most of the time that a short command takes. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { runCli } from "../support/cli-process.ts";
import { scaled } from "../support/speed.ts";

// Each command is a process, and the machine may be busy.
vi.setConfig({ testTimeout: scaled(120_000) });

const dir = mkdtempSync(join(tmpdir(), "waypost-loaded-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** What a gateway needs and a short command does not. */
const HEAVY =
  /\/src\/(queue|ops|inputs)\/|\/src\/server\.[jt]s|\/node_modules\/(bullmq|ioredis|mqtt|aedes)\//;

const DECODE = ["decode", "gpslogger", "--query", "lat=32.78&lon=-96.8&time=2026-11-03T12:00:00Z&aid=van-1"];

test.each([
  ["--version", ["--version"], "src/version."],
  ["--help", ["--help"], "src/commands/decode."],
  ["decode", DECODE, "src/ingest/examine."],
])("%s loads neither the queue nor the ops endpoint, nor their libraries", async (name, args, needed) => {
  const list = join(dir, `${name}.txt`);
  const { ended, stderr } = await runCli(args, {
    nodeArgs: ["--import", "./test/support/loaded-modules.mjs"],
    env: { LOADED_MODULES: list },
  });
  expect({ ended, stderr }).toMatchObject({ ended: "exit code 0" });
  const loaded = readFileSync(list, "utf8").trim().split("\n");
  // Otherwise the list would prove nothing.
  expect(loaded.some((url) => url.includes(`/${needed}`))).toBe(true);
  expect(loaded.filter((url) => HEAVY.test(url))).toEqual([]);
});
