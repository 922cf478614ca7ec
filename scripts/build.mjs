/** Compiles the sources to JavaScript, and copies beside them what is no TypeScript but read at run time. */

import { spawnSync } from "node:child_process";
import { cpSync, realpathSync } from "node:fs";
import { dirname, extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** True also where the compiler found fault with types: it writes JavaScript all the same, and `npm run check` is for types. */
export function build(project, outDir, sources = outDir, options = []) {
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  // Standard output belongs to the command that is run afterwards.
  const { status } = spawnSync(process.execPath, [tsc, "-p", project, "--outDir", outDir, ...options], {
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
  const [what, folder] = process.argv.slice(2);
  process.exit((await buildOf(what, folder)) ? 0 : 1);
}

async function buildOf(what, folder) {
  if (what === "bench") return build("tsconfig.bench.json", ".waypost/bench", ".waypost/bench/src");
  // The programs that tests start; types are for `npm run check`, and take ten times as long.
  if (what === "test") {
    const isBuilt = build("tsconfig.test.json", folder, join(folder, "src"), ["--noCheck"]);
    // Only tests need it: what is deployed has no use for a package that bundles others.
    const { bundlePackages } = await import("./bundle-packages.mjs");
    await bundlePackages(resolve(folder));
    return isBuilt;
  }
  return build("tsconfig.build.json", "dist");
}
