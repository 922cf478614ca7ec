/** What Redis executes, line by line. Not ioredis' own monitor: it takes a command executed right after the answer for an error. */

import { createConnection } from "node:net";
import { createInterface } from "node:readline";
import type { Redis } from "ioredis";

/** Calls `heard` with the name and the first argument of each command, of scripts too, until `stop`. */
export async function monitorOf(db: Redis, heard: (name: string, firstArgument: string) => void) {
  const { host = "127.0.0.1", port = 6379 } = db.options;
  const socket = createConnection(port, host);
  const lines = createInterface({ input: socket });
  const answered = new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    lines.on("line", (line) => {
      const [, name, firstArgument = ""] = /^\+[\d.]+ \[[^\]]+\] "([^"]*)"(?: "([^"]*)")?/.exec(line) ?? [];
      if (name !== undefined) heard(name, firstArgument);
      else if (line === "+OK") resolve();
      else reject(new Error(`Redis does not answer MONITOR with OK but: ${line}`));
    });
  });
  socket.write("MONITOR\r\n");
  await answered;
  return { stop: () => socket.destroy() };
}
