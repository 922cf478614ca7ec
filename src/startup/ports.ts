/** Finds what only one process can have, ports and the spool, by taking each for a moment: for `check --ports`. */

import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import type { Config } from "../config/config.ts";
import { lockSpool } from "../spool/lock.ts";
import { messageOf } from "../untrusted.ts";
import { explainListenError, StartupError } from "./error.ts";

/** Throws StartupError with every port and directory that this machine does not give, in the words of `start`. */
export async function checkPorts({ http, ops, mqtt, spool }: Config): Promise<void> {
  const problems: string[] = [];
  const listeners = { http, ...(mqtt.listen && { "mqtt.listen": mqtt.listen }), ops };
  for (const [setting, { host, port }] of Object.entries(listeners)) {
    await explainListenError(setting, { host, port }, () => bindOnce(host, port)).catch((error: unknown) => {
      if (error instanceof StartupError) problems.push(...error.problems);
      else problems.push(`${setting}.port ${port}: ${messageOf(error)}`);
    });
  }
  // Its lock is waited for, which a running gateway makes pointless: then the ports are in use as well.
  if (problems.length === 0 && spool && existsSync(spool.dir)) {
    const lock = await lockSpool(spool.dir, () => {}).catch((error: unknown) => {
      problems.push(`spool.dir: ${messageOf(error)}`);
    });
    await lock?.release();
  }
  if (problems.length > 0) throw new StartupError(problems);
}

async function bindOnce(host: string, port: number): Promise<void> {
  const server = createServer().listen({ host, port });
  await once(server, "listening");
  server.close();
  await once(server, "close");
}
