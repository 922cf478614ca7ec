/** Which version this is, and how requests of ours name themselves. */

import { existsSync, readFileSync } from "node:fs";

/** As package.json says, which lies above the sources, above `dist`, and above what the benchmark compiles. */
export const VERSION = readVersion(new URL("./", import.meta.url));

/** In every request we make, so that who serves it can tell us apart and reach us by the name. */
export const USER_AGENT = `waypost/${VERSION}`;

function readVersion(folder: URL): string {
  const file = new URL("package.json", folder);
  const above = new URL("../", folder);
  if (!existsSync(file)) {
    if (above.href === folder.href)
      throw new Error("package.json is missing: it has to lie above the program.");
    return readVersion(above);
  }
  const { version }: { version: string } = JSON.parse(readFileSync(file, "utf8"));
  return version;
}
