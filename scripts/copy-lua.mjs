/** Copies the Lua scripts beside the compiled code, which reads them from there: node scripts/copy-lua.mjs <folder of src>. */

import { cpSync } from "node:fs";
import { fileURLToPath } from "node:url";

const target = process.argv[2];
if (target === undefined) throw new Error("Say into which folder src was compiled.");
cpSync(fileURLToPath(new URL("../src/queue/lua", import.meta.url)), `${target}/queue/lua`, {
  recursive: true,
});
