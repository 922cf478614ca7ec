/** Keeps the spool to its own user: it holds positions of people at work, and its messages are sent on without authentication. */

import { chmod, lstat, mkdir, mkdtemp, readdir, rmdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { errorCode } from "../untrusted.ts";
import { FILE_MODE, spoolNumberOf, syncDirectory } from "./file.ts";

const DIRECTORY_MODE = 0o700;
const WRITABLE_BY_OTHERS = 0o022;
const ANYTHING_BY_OTHERS = 0o077;

/** Makes the directory if there is none, so that it survives a loss of power; refuses one that others can write. */
export async function makeDirectory(dir: string): Promise<void> {
  const first = await mkdir(dir, { recursive: true, mode: DIRECTORY_MODE });
  if (first !== undefined) {
    // The umask may have taken away bits that the gateway needs.
    await chmod(dir, DIRECTORY_MODE);
    for (let made = resolve(dir); made.length >= resolve(first).length; made = dirname(made))
      await syncDirectory(dirname(made));
  }
  const problem = await whyNotSafe(dir);
  if (problem !== null) throw new Error(problem);
  await closeToOthers(dir, DIRECTORY_MODE);
}

/** Why a process could not begin to use this directory, which it makes where there is none; null where it could. Leaves no trace. */
export async function whyNotUsable(dir: string): Promise<string | null> {
  let at = resolve(dir);
  try {
    for (; !(await isThere(at)); at = dirname(at)) if (at === dirname(at)) break;
    if (!(await stat(at)).isDirectory()) return `${at} is not a directory`;
    const unsafe = at === resolve(dir) ? await whyNotSafe(dir) : null;
    if (unsafe !== null) return unsafe;
    // Only trying shows every reason: a read-only disk, a quota, a file system that takes no directories.
    await rmdir(await mkdtemp(join(at, ".waypost-check-")));
    return at === resolve(dir) ? await whyNotReadable(at) : null;
  } catch (error) {
    return `${at} cannot be written to (${errorCode(error) ?? "unreadable"})`;
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw error;
  }
}

/** Whoever can open it finds there what an earlier process left. */
async function whyNotReadable(dir: string): Promise<string | null> {
  for (const name of await readdir(dir)) {
    if (spoolNumberOf(name) === null) continue;
    const problem = await whyNotPlain(join(dir, name));
    if (problem !== null) return problem;
  }
  return null;
}

/** A user who can write here can make the gateway send anything, and can read or remove waiting messages. */
async function whyNotSafe(dir: string): Promise<string | null> {
  const uid = process.getuid?.();
  const [link, { uid: owner, mode }] = await Promise.all([lstat(resolve(dir)), stat(dir)]);
  const isForeign = (id: number) => uid !== undefined && id !== uid && id !== 0;
  if (isForeign(owner))
    return `${dir} belongs to another user (uid ${owner}), who can write it: chown ${uid} ${dir}`;
  if (link.isSymbolicLink() && isForeign(link.uid))
    return `${dir} is a link of another user (uid ${link.uid}), who can lead it elsewhere: name the directory itself`;
  if ((mode & WRITABLE_BY_OTHERS) !== 0)
    return `${dir} can be written by other users (mode ${octal(mode)}): chmod 700 ${dir}, or name a directory below it, which is then made`;
  return null;
}

/** Takes away permissions that an earlier version or a umask has left open. A directory of root stays as root wants it. */
async function closeToOthers(path: string, mode: number): Promise<void> {
  const found = await stat(path);
  const uid = process.getuid?.();
  if ((found.mode & ANYTHING_BY_OTHERS) === 0 || (uid !== undefined && found.uid !== uid)) return;
  await chmod(path, mode);
}

/** Closes a file in the directory to others. A link or a pipe does not come from the gateway. */
export async function checkFile(path: string): Promise<void> {
  const problem = await whyNotPlain(path);
  if (problem !== null) throw new Error(problem);
  if ((await lstat(path)).isFile()) await closeToOthers(path, FILE_MODE);
}

/** A directory cannot be read like a file: its replay reports that, and no other file waits for it. */
async function whyNotPlain(path: string): Promise<string | null> {
  const found = await lstat(path);
  return found.isFile() || found.isDirectory() ? null : `${path} is not a plain file: remove it`;
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}
