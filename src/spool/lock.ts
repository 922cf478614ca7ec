/** Lets one process at a time use a spool directory: two would replay and remove each other's files. */

import { randomUUID } from "node:crypto";
import { open, readFile, readlink, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { errorCode } from "../untrusted.ts";
import { FILE_MODE } from "./file.ts";

export interface SpoolLock {
  /** False once another process has taken the lock over because this one stood still for too long. */
  isOurs(): Promise<boolean>;
  release(): Promise<void>;
}

/** Another process holds the lock; this one waits for it. */
export interface SpoolAwaited {
  dir: string;
  holder: string;
  withinMs: number;
}

const RENEWAL_MS = 2000;
/** A holder that has not renewed the lock for so long is gone. */
const STALE_MS = 10_000;
/** Longer than the lock of a killed holder stays valid, and than a holder needs to stop by default. */
const WAIT_MS = 15_000;
const RETRY_EVERY_MS = 200;
/** Two processes that find a lock stale both remove it, the second one the first one's new lock: the lock left after this time counts. */
const SETTLING_MS = 250;

/** Locks of this process: any other lock with its id was left by a process that had the id before. */
const ownInstances = new Set<string>();

export async function lockSpool(dir: string, awaited: (event: SpoolAwaited) => void): Promise<SpoolLock> {
  const path = join(dir, "lock");
  const here = await pidScope();
  const instance = randomUUID();
  const own = `${here} ${process.pid} ${instance} ${hostname()}`;
  ownInstances.add(instance);
  try {
    await acquire({ dir, path, here, own, awaited });
  } catch (error) {
    ownInstances.delete(instance);
    throw error;
  }

  let isLost = false;
  let renewedAt = performance.now();
  async function renew(): Promise<void> {
    try {
      const seen = await readLock(path);
      if (seen === null) isLost ||= !(await create(path, own));
      else if (seen.text === own) await utimes(path, new Date(), new Date());
      else isLost = true;
      renewedAt = performance.now();
    } catch {
      // A disk that fails now does not show who holds the lock.
    }
  }
  const renewal = setInterval(() => void renew(), RENEWAL_MS).unref();

  return {
    async isOurs() {
      // A lock renewed a moment ago is not taken over; reading it each time would cost every message a read.
      if (!isLost && performance.now() - renewedAt > 2 * RENEWAL_MS) await renew();
      return !isLost;
    },
    async release() {
      clearInterval(renewal);
      ownInstances.delete(instance);
      if ((await readLock(path))?.text === own) await rm(path, { force: true });
    },
  };
}

interface Acquisition {
  dir: string;
  path: string;
  here: string;
  own: string;
  awaited: (event: SpoolAwaited) => void;
}

async function acquire({ dir, path, here, own, awaited }: Acquisition): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  let watched = { mtimeMs: Number.NaN, since: 0 };
  let isReported = false;
  for (;;) {
    if (await create(path, own)) {
      await pause(SETTLING_MS);
      if ((await readLock(path))?.text === own) return;
    }
    const seen = await readLock(path);
    if (seen === null) continue;
    const { text, mtimeMs } = seen;
    if (watched.mtimeMs !== mtimeMs) watched = { mtimeMs, since: performance.now() };
    // The age by the clock, or, where clocks differ, how long the lock was seen not to change.
    const stillForMs = Math.max(Date.now() - mtimeMs, performance.now() - watched.since);
    if (isAbandoned(text, here) || stillForMs > STALE_MS) {
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
    if (!isReported) awaited({ dir, holder, withinMs: WAIT_MS });
    isReported = true;
    await pause(RETRY_EVERY_MS);
  }
}

/**
 * The scope of a process id: one boot of one machine, and in it one namespace of process ids. Containers of one machine
 * differ in the namespace only, and may have the same host name and the same process id.
 */
async function pidScope(): Promise<string> {
  try {
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
    return `${boot.trim()}/${await readlink("/proc/self/ns/pid")}`;
  } catch {
    // Not Linux, hence no containers.
    return hostname();
  }
}

/** The process that made the lock is certainly gone. */
function isAbandoned(text: string, here: string): boolean {
  const [at, pid, instance = ""] = text.split(" ");
  if (at !== here) return false;
  return Number(pid) === process.pid ? !ownInstances.has(instance) : !isAlive(Number(pid));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // The process exists and belongs to another user.
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

/** Null: there is no lock. */
async function readLock(path: string): Promise<{ text: string; mtimeMs: number } | null> {
  try {
    const [text, { mtimeMs }] = await Promise.all([readFile(path, "utf8"), stat(path)]);
    return { text, mtimeMs };
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  }
}
