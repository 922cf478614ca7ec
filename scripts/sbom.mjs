/** Prints what the running product consists of as CycloneDX, from the lock file. */

import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
// All of it, since npm's --omit=dev also leaves out what the product shares with the tools (npm 11: zod, yaml).
const npm = spawnSync("npm", ["sbom", "--sbom-format=cyclonedx", "--package-lock-only"], {
  cwd: root,
  encoding: "utf8",
  maxBuffer: 64_000_000,
});
if (npm.status !== 0) {
  process.stderr.write(npm.stderr);
  process.exit(1);
}
const bom = JSON.parse(npm.stdout);
const isTool = ({ properties = [] }) =>
  properties.some(({ name, value }) => name === "cdx:npm:package:development" && value === "true");
bom.components = bom.components.filter((component) => !isTool(component));
const refs = new Set([bom.metadata.component, ...bom.components].map((component) => component["bom-ref"]));
bom.dependencies = bom.dependencies
  .filter(({ ref }) => refs.has(ref))
  .map(({ ref, dependsOn = [] }) => ({ ref, dependsOn: dependsOn.filter((each) => refs.has(each)) }));
process.stdout.write(`${JSON.stringify(bom, null, 2)}\n`);
