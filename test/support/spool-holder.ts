/** A process that holds a spool directory's lock: prints `held` when it has the lock, then an answer for each line of its input. */

import { createInterface } from "node:readline";
import { lockSpool } from "../../src/spool/lock.ts";

const [dir = ""] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin });
// Its parent has ended, so no test may have to wait for its lock.
lines.once("close", () => process.exit(0));
try {
  const lock = await lockSpool(dir, ({ holder }) => console.log(`waits for ${holder}`));
  console.log(`held by ${process.pid}`);
  for await (const line of lines) {
    if (line === "ask") console.log((await lock.isOurs()) ? "ours" : "lost");
    if (line === "release") {
      await lock.release();
      console.log("released");
    }
  }
} catch (error) {
  console.log(`refused: ${error instanceof Error ? error.message : String(error)}`);
}
