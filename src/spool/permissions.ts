/** Keeps the spool to its own user: it holds positions of people at work, and its messages are sent on without authentication. */

import { chmod, lstat, mkdir, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { FILE_MODE, syncDirectory } from "./file.ts";

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
  const found = await lstat(path);
  if (found.isFile()) await closeToOthers(path, FILE_MODE);
  // A directory cannot be read like a file: its replay reports that, and no other file waits for it.
  else if (!found.isDirectory()) throw new Error(`${path} is not a plain file: remove it`);
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}
