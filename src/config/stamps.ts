/** Tells whether files have changed, without reading them. */

import { statSync } from "node:fs";

/**
 * Distinguishes states of a file, the one a link leads to: its inode for files that are replaced by renaming, its times in
 * nanoseconds for those that are written in place. `gone`: there is none.
 */
export function stampOf(file: string): string {
  try {
    const { mtimeNs, ctimeNs, size, ino } = statSync(file, { bigint: true });
    return `${mtimeNs} ${ctimeNs} ${size} ${ino}`;
  } catch {
    return "gone";
  }
}

/** The states of several files at one time. */
export function stampsOf(files: Iterable<string>): ReadonlyMap<string, string> {
  return new Map([...files].map((file) => [file, stampOf(file)]));
}

export function areUnchanged(stamps: ReadonlyMap<string, string>): boolean {
  for (const [file, stamp] of stamps) if (stampOf(file) !== stamp) return false;
  return true;
}
