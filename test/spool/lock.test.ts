/** Who may use a spool directory: processes that are killed, stopped, or in containers that know nothing of each other. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { lockSpool } from "../../src/spool/lock.ts";
import { because } from "../support/because.ts";
import { scaled } from "../support/speed.ts";
import { until } from "../support/wait.ts";

const HOLDER = fileURLToPath(new URL("../support/spool-holder.ts", import.meta.url));
/** Its processes count from 1, as a container's do. */
const CONTAINER = ["unshare", "--pid", "--fork", "--kill-child"];
const noContainers =
  spawnSync("unshare", [...CONTAINER.slice(1), "true"]).status === 0
    ? null
    : "no process namespace can be made here: run the tests as root, with unshare (apt-get install util-linux)";
/** Above what a lock that nobody renews is believed, and what one that is renewed is waited for. */
const WITHIN_MS = 60_000;

const dirs: string[] = [];
const children: ChildProcess[] = [];
afterAll(() => {
  for (const child of children) {
    child.kill("SIGCONT");
    child.kill("SIGKILL");
  }
  for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
});

function newDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "waypost-lock-"));
  dirs.push(dir);
  return dir;
}

/** Starts a holder; `within` goes before its command. */
function start(dir: string, within: readonly string[] = []) {
  const [command = "", ...args] = [...within, process.execPath, "--import", "tsx", HOLDER, dir];
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  children.push(child);
  let said = "";
  child.stdout.on("data", (text: Buffer) => {
    said += text.toString();
  });
  return {
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    ended: () => until(() => child.signalCode ?? child.exitCode, { what: "the holder's end" }),
    tell: (line: string) => child.stdin.write(`${line}\n`),
    said: () => said,
    says: (text: string) =>
      until(() => said.includes(text), { withinMs: WITHIN_MS, what: `"${text}" from the holder` }),
  };
}

async function locked(dir: string) {
  const waits: string[] = [];
  const lock = await lockSpool(dir, ({ holder }) => void waits.push(holder));
  return { lock, waits };
}

describe.concurrent("a spool directory's lock", { timeout: scaled(90_000) }, () => {
  test.each(["", "0", `${hostname()} 999999999`, `${hostname()} ${process.pid}`])(
    "is not kept by one that nobody holds: %j",
    async (text) => {
      const dir = newDir();
      writeFileSync(join(dir, "lock"), text);
      const old = new Date(Date.now() - 60_000);
      utimesSync(join(dir, "lock"), old, old);
      const { lock, waits } = await locked(dir);
      expect(waits).toEqual([]);
      await lock.release();
    },
  );

  test("is waited for while it is renewed, then refused with the holder's name", async () => {
    const dir = newDir();
    const holder = start(dir);
    await holder.says("held");
    await expect(locked(dir)).rejects.toThrow(
      /is in use by another process \(process \d+ on .*\).* Stop it, or give each process a directory/,
    );
    holder.tell("ask");
    await holder.says("ours");
  });

  test("is acquired as soon as its holder releases it", async () => {
    const dir = newDir();
    const holder = start(dir);
    await holder.says("held");
    const taking = locked(dir);
    holder.tell("release");
    await holder.says("released");
    const { lock } = await taking;
    expect(await lock.isOurs()).toBe(true);
    await lock.release();
  });

  test("is acquired at once from a killed process of this machine", async () => {
    const dir = newDir();
    const holder = start(dir);
    await holder.says("held");
    holder.kill("SIGKILL");
    await holder.ended();
    const { lock, waits } = await locked(dir);
    expect(waits).toEqual([]);
    await lock.release();
  });

  test("is acquired when an unknown holder no longer renews it", async () => {
    const dir = newDir();
    writeFileSync(join(dir, "lock"), "another-boot/pid:[1] 1 some-instance old-container");
    const { lock, waits } = await locked(dir);
    expect(waits).toEqual(["process 1 on old-container"]);
    await lock.release();
  });

  test("is not trusted for ever where a clock was set back", async () => {
    const dir = newDir();
    writeFileSync(join(dir, "lock"), "another-boot/pid:[1] 1 some-instance old-container");
    const ahead = new Date(Date.now() + 3_600_000);
    utimesSync(join(dir, "lock"), ahead, ahead);
    const { lock } = await locked(dir);
    await lock.release();
  });

  test("goes to one of those who find the same stale one", async () => {
    const dir = newDir();
    writeFileSync(join(dir, "lock"), "another-boot/pid:[1] 1 some-instance old-container");
    const old = new Date(Date.now() - 60_000);
    utimesSync(join(dir, "lock"), old, old);
    const results = await Promise.allSettled([locked(dir), locked(dir), locked(dir)]);
    const taken = results.flatMap((result) => (result.status === "fulfilled" ? [result.value.lock] : []));
    expect(taken).toHaveLength(1);
    expect(await taken[0]?.isOurs()).toBe(true);
    await taken[0]?.release();
  });

  test("is lost by a process that stands still, and that one knows when it wakes", async () => {
    const dir = newDir();
    const sleeper = start(dir);
    await sleeper.says("held");
    sleeper.kill("SIGSTOP");
    // Until the lock is stale its process is alive, and believed.
    const { lock, waits } = await locked(dir);
    expect(waits).toHaveLength(1);
    sleeper.tell("ask");
    sleeper.kill("SIGCONT");
    await sleeper.says("lost");
    expect(sleeper.said()).not.toContain("ours");
    sleeper.tell("release");
    await sleeper.says("released");
    expect(await lock.isOurs()).toBe(true);
    await lock.release();
  });

  test.skipIf(noContainers !== null)(
    `is held by one of two containers with one host name and one process id${because(noContainers)}`,
    async () => {
      const dir = newDir();
      const first = start(dir, CONTAINER);
      await first.says("held by 1\n");
      const second = start(dir, CONTAINER);
      await second.says("refused:");
      expect(second.said()).toContain("waits for process 1 on");
      expect(second.said()).not.toContain("held");
      first.tell("ask");
      await first.says("ours");
    },
  );

  test.skipIf(noContainers !== null)(
    `is waited for after a kill, when the next container cannot know of it${because(noContainers)}`,
    async () => {
      const dir = newDir();
      const first = start(dir, CONTAINER);
      await first.says("held by 1\n");
      first.kill("SIGKILL");
      const second = start(dir, [...CONTAINER, "--uts", "sh", "-c", 'hostname next; exec "$@"', "sh"]);
      await second.says("held by 1\n");
      expect(second.said()).toContain("waits for process 1 on");
    },
  );
});
