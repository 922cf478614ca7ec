/** Sees to it that one process at a time uses a spool directory: two would replay and remove each other's files. */

import { randomUUID } from "node:crypto";
import { open, readFile, readlink, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { errorCode } from "../untrusted.ts";
import { FILE_MODE } from "./file.ts";

export interface SpoolLock {
  /** False from when another process has taken it over, for this one had stood still for too long. */
  isOurs(): Promise<boolean>;
  release(): Promise<void>;
}

/** Somebody holds the lock; it is waited for. */
export interface SpoolAwaited {
  dir: string;
  holder: string;
  withinMs: number;
}

const RENEWAL_MS = 2000;
/** A holder that has not renewed for so long is gone. */
const STALE_MS = 10_000;
/** Longer than a holder that was killed seems to be there, and than one that is being stopped takes by default. */
const WAIT_MS = 15_000;
const ASK_EVERY_MS = 200;
/** Two that find one lock stale both remove it, and the second removes the first one's new lock: who is left has it. */
const SETTLING_MS = 250;

/** Locks of this process: a lock with its id that is none of them was left by one that had the id before. */
const ownInstances = new Set<string>();

export async function lockSpool(dir: string, awaited: (event: SpoolAwaited) => void): Promise<SpoolLock> {
  const path = join(dir, "lock");
  const here = await place();
  const instance = randomUUID();
  const own = `${here} ${process.pid} ${instance} ${hostname()}`;
  ownInstances.add(instance);
  try {
    await take({ dir, path, here, own, awaited });
  } catch (error) {
    ownInstances.delete(instance);
    throw error;
  }

  let isLost = false;
  let renewedAt = performance.now();
  async function renew(): Promise<void> {
    try {
      const seen = await look(path);
      if (seen === null) isLost ||= !(await create(path, own));
      else if (seen.text === own) await utimes(path, new Date(), new Date());
      else isLost = true;
      renewedAt = performance.now();
    } catch {
      // A disk that fails now says nothing of who holds the lock.
    }
  }
  const renewal = setInterval(() => void renew(), RENEWAL_MS).unref();

  return {
    async isOurs() {
      // Nobody takes over what was renewed a moment ago; looking at it each time would cost every message a read.
      if (!isLost && performance.now() - renewedAt > 2 * RENEWAL_MS) await renew();
      return !isLost;
    },
    async release() {
      clearInterval(renewal);
      ownInstances.delete(instance);
      if ((await look(path))?.text === own) await rm(path, { force: true });
    },
  };
}

interface Taking {
  dir: string;
  path: string;
  here: string;
  own: string;
  awaited: (event: SpoolAwaited) => void;
}

async function take({ dir, path, here, own, awaited }: Taking): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  let watched = { mtimeMs: Number.NaN, since: 0 };
  let isTold = false;
  for (;;) {
    if (await create(path, own)) {
      await pause(SETTLING_MS);
      if ((await look(path))?.text === own) return;
    }
    const seen = await look(path);
    if (seen === null) continue;
    const { text, mtimeMs } = seen;
    if (watched.mtimeMs !== mtimeMs) watched = { mtimeMs, since: performance.now() };
    // Its age by the clock, or, where clocks differ, how long it was seen not to change.
    const stillForMs = Math.max(Date.now() - mtimeMs, performance.now() - watched.since);
    if (isLeft(text, here) || stillForMs > STALE_MS) {
      await rm(path, { force: true });
      continue;
    }
    const [, pid = "?", , host = "?"] = text.split(" ");
    const holder = `process ${pid} on ${host}`;
    if (performance.now() >= deadline) {
      throw new Error(
        `${dir} is in use by another process (${holder}), which has renewed ${path} within the last ${STALE_MS / 1000} s. Stop it, or give each process a directory of its own.`,
      );
    }
    if (!isTold) awaited({ dir, holder, withinMs: WAIT_MS });
    isTold = true;
    await pause(ASK_EVERY_MS);
  }
}

/**
 * Where a process id means something: one boot of one machine, and there one space of process ids. Containers on one
 * machine differ in the second only, and may have the same host name, and the same process id within.
 */
async function place(): Promise<string> {
  try {
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
    return `${boot.trim()}/${await readlink("/proc/self/ns/pid")}`;
  } catch {
    // Not Linux, so no containers.
    return hostname();
  }
}

/** Its process is certainly gone. */
function isLeft(text: string, here: string): boolean {
  const [at, pid, instance = ""] = text.split(" ");
  if (at !== here) return false;
  return Number(pid) === process.pid ? !ownInstances.has(instance) : !isAlive(Number(pid));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It is there, and another user's.
    return errorCode(error) === "EPERM";
  }
}

async function create(path: string, text: string): Promise<boolean> {
  try {
    const file = await open(path, "wx", FILE_MODE);
    try {
      await file.chmod(FILE_MODE);
      await file.writeFile(text);
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    throw error;
  }
}

/** Null: there is none. */
async function look(path: string): Promise<{ text: string; mtimeMs: number } | null> {
  try {
    const [text, { mtimeMs }] = await Promise.all([readFile(path, "utf8"), stat(path)]);
    return { text, mtimeMs };
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  }
}
