/** The words a skipped test carries in its name: what is missing here, and how to get it. */

/** To be put behind the name; empty when nothing is missing. The end of the run lists them (summary.ts). */
export function because(missing: string | null): string {
  return missing === null ? "" : ` (skipped: ${missing})`;
}

/** The reason out of the name of a skipped test, or out of that of a group around it; null when it carries none. */
export function reasonIn(fullName: string): string | null {
  return / \(skipped: (.*?)\)(?: > |$)/.exec(fullName)?.[1] ?? null;
}

/** What the tests with recorded messages and vehicles need, under `folder` of the material that lies beside the clone. */
export function howToGet(folder: string): string {
  return `there is no ../shared/${folder}: put it beside the clone`;
}
