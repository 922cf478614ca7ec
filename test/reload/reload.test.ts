/** When files are read again: once they have settled, and after a bounded time where one never does. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { adapters } from "../../src/adapters/index.ts";
import type { Config } from "../../src/config/config.ts";
import { createConfigReader } from "../../src/config/load.ts";
import { startReload } from "../../src/reload/reload.ts";
import { until } from "../support/wait.ts";

const dir = mkdtempSync(join(tmpdir(), "waypost-reload-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function follow(name: string, pollMs: number) {
  const folder = join(dir, name);
  mkdirSync(join(folder, "tenants.d"), { recursive: true });
  const file = join(folder, "waypost.yaml");
  const write = (level: string, note = "") =>
    writeFileSync(
      file,
      `${stringify({ ops: { token: "a-token-8f31c2d07a4e" }, log: { level } })}# ${note}\n`,
    );
  write("info");
  const reader = createConfigReader({ file, adapters, env: {} });
  const first = reader.read();
  if ("problems" in first) throw new Error(JSON.stringify(first.problems));
  const state = { config: first.config, applied: [] as Config[], refused: 0 };
  const reload = startReload({
    ...{ reader, pollMs, config: () => state.config, tenants: () => new Map() },
    ...{ problemsOf: () => [], renewed: () => [], recorded: () => {} },
    prepare: async () => ({ kind: "ready", apply: () => {}, discard: () => {} }),
    apply(next) {
      state.config = next;
      state.applied.push(next);
    },
    events: {
      configurationReloaded: () => {},
      configurationRefused() {
        state.refused += 1;
      },
      failed: ({ error }) => {
        throw error;
      },
    },
  });
  return { state, reload, file, write };
}

test("a file that is still being written is left alone until two looks have seen the same", async () => {
  const { state, reload, file, write } = follow("settling", 100);
  writeFileSync(file, "ops: { tok");
  write("warn");
  await until(() => state.config.log.level === "warn", { what: "the new level" });
  expect(state.refused).toBe(0);
  reload.stop();
});

test("a file that changes at each look does not keep the others from being read", async () => {
  const { state, reload, write } = follow("restless", 40);
  let notes = 0;
  const restless = setInterval(() => write("warn", `note ${++notes}`), 15);
  await until(() => state.config.log.level === "warn", { what: "the new level" });
  clearInterval(restless);
  reload.stop();
});

test("requests at the same time are answered one after the other, each by what it found", async () => {
  const { reload, write } = follow("requests", 60_000);
  write("error");
  const [first, second] = await Promise.all([reload.now("request"), reload.now("signal")]);
  expect([first.kind, second.kind]).toEqual(["applied", "unchanged"]);
  reload.stop();
});
