/** Compiles the sources to JavaScript, and copies beside them what is no TypeScript but read at run time. */

import { spawnSync } from "node:child_process";
import { cpSync, realpathSync } from "node:fs";
import { dirname, extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** True also where the compiler found fault with types: it writes JavaScript all the same, and `npm run check` is for types. */
export function build(project, outDir, sources = outDir) {
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  // Standard output belongs to the command that is run afterwards.
  const { status } = spawnSync(process.execPath, [tsc, "-p", project, "--outDir", outDir], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  cpSync(join(root, "src"), resolve(root, sources), {
    recursive: true,
    filter: (path) => ![".ts", ".md"].includes(extname(path)),
  });
  return status === 0;
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const built =
    process.argv[2] === "bench"
      ? build("tsconfig.bench.json", ".waypost/bench", ".waypost/bench/src")
      : build("tsconfig.build.json", "dist");
  process.exit(built ? 0 : 1);
}
