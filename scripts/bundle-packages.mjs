/** Puts each package that compiled programs import into one file beside them: looking up hundreds of files takes most of a start. */

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

const IMPORTED = /\b(?:from|import)[ (]*"([^".:][^":]*)"/g;
/** What CommonJS finds about itself; a package may ask for it within an ES module. */
const COMMON_JS = [
  'import { createRequire as __createRequire } from "node:module";',
  'import { dirname as __dirnameOf } from "node:path";',
  'import { fileURLToPath as __pathOf } from "node:url";',
  "const require = __createRequire(import.meta.url);",
  "const __filename = __pathOf(import.meta.url);",
  "const __dirname = __dirnameOf(__filename);",
].join("\n");

/** Node looks for a package first in the folder's own node_modules; what is not there it finds further up, as it was installed. */
export async function bundlePackages(folder) {
  const names = importedFrom(folder).filter((name) => packageOf(name) in dependencies);
  const sources = new Map();
  for (const name of names) sources.set(name, await reexporting(name));
  await build({
    entryPoints: Object.fromEntries(names.map((name) => [`${name}/index`, `${PREFIX}${name}`])),
    outdir: join(folder, "node_modules"),
    chunkNames: ".chunks/[name]-[hash]",
    absWorkingDir: root,
    bundle: true,
    // What two packages share, such as a Redis connection's class, must exist once.
    splitting: true,
    format: "esm",
    platform: "node",
    // The same files that Node itself takes.
    conditions: [],
    mainFields: ["main"],
    banner: { js: COMMON_JS },
    logLevel: "warning",
    plugins: [entriesFrom(sources)],
  });
  writeManifests(folder, names);
}

function importedFrom(folder) {
  const files = readdirSync(folder, { recursive: true }).filter((file) => file.endsWith(".js"));
  const names = files.flatMap((file) => {
    const text = readFileSync(join(folder, file), "utf8");
    return [...text.matchAll(IMPORTED)].map(([, name]) => name);
  });
  return [...new Set(names)].sort();
}

/** A CommonJS package has no exports that can be read from its text. */
async function reexporting(name) {
  const exported = Object.keys(await import(name)).filter((each) => /^[A-Za-z_$][\w$]*$/.test(each));
  return `export { ${exported.join(", ")} } from ${JSON.stringify(name)};`;
}

const PREFIX = "package:";

function entriesFrom(sources) {
  return {
    name: "entries",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: new RegExp(`^${PREFIX}`) }, ({ path }) => ({
        path: path.slice(PREFIX.length),
        namespace: PREFIX,
      }));
      onLoad({ filter: /./, namespace: PREFIX }, ({ path }) => ({
        contents: sources.get(path),
        resolveDir: root,
      }));
    },
  };
}

function writeManifests(folder, names) {
  for (const owner of new Set(names.map(packageOf))) {
    const own = names.filter((name) => packageOf(name) === owner);
    const exports = Object.fromEntries(
      own.map((name) => [`.${name.slice(owner.length)}`, `.${name.slice(owner.length)}/index.js`]),
    );
    const dir = join(folder, "node_modules", owner);
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, "package.json"), JSON.stringify({ type: "module", exports }));
  }
}

/** `@scope/name` of `@scope/name/part`. */
function packageOf(name) {
  return name
    .split("/")
    .slice(0, name.startsWith("@") ? 2 : 1)
    .join("/");
}
