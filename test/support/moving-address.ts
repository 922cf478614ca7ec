/** An address that leads to one server now and to another later, as a virtual IP or a DNS name does in a failover. */

import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

export interface MovingAddress {
  port: number;
  /** New connections go there; those that are open stay where they are. */
  moveTo(port: number): void;
  /** Ends every open connection. */
  cut(): void;
  stop(): Promise<void>;
}

export async function startMovingAddress(target: number): Promise<MovingAddress> {
  const sockets = new Set<Socket>();
  let current = target;
  const server = createServer((client) => {
    const upstream = connect(current, "127.0.0.1");
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the system gave no TCP port");
  return {
    port: address.port,
    moveTo(port) {
      current = port;
    },
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    async stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}
