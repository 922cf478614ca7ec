/** Bounds what one party may hold of the embedded broker's connections: an address before its login, a login after. */

import type { Socket } from "node:net";

/** By address and port, since a connection's TLS has another socket than the connection. */
type Peer = Pick<Socket, "remoteAddress" | "remotePort">;

export interface StrangerCap {
  /** False when its address has as many connections without a login as it may. */
  admit(socket: Socket): boolean;
  /** It has logged in, and is a stranger no more. */
  release(peer: Peer): void;
}

export function createStrangerCap(maxPerAddress: number): StrangerCap {
  const portsOf = new Map<string, Set<number | undefined>>();

  function release({ remoteAddress = "", remotePort }: Peer): void {
    const ports = portsOf.get(remoteAddress);
    if (ports?.delete(remotePort) && ports.size === 0) portsOf.delete(remoteAddress);
  }

  return {
    admit(socket) {
      const { remoteAddress = "", remotePort } = socket;
      const ports = portsOf.get(remoteAddress) ?? new Set();
      if (ports.size >= maxPerAddress) return false;
      portsOf.set(remoteAddress, ports.add(remotePort));
      // A closed socket has forgotten its peer.
      socket.once("close", () => release({ remoteAddress, remotePort }));
      return true;
    },
    release,
  };
}

/** Says of each new connection of a login which old one has to make room for it, or null. */
export function createLoginCap<Connection>(maxPerLogin: number) {
  const connectionsOf = new Map<string, Set<Connection>>();
  return {
    add(username: string, connection: Connection): Connection | null {
      const connections = connectionsOf.get(username) ?? new Set();
      connectionsOf.set(username, connections.add(connection));
      // The oldest: a device whose link broke comes back at once and must not be kept out by what it left behind.
      const [oldest] = connections;
      if (connections.size <= maxPerLogin || oldest === undefined) return null;
      connections.delete(oldest);
      return oldest;
    },
    remove(username: string, connection: Connection): void {
      const connections = connectionsOf.get(username);
      if (connections?.delete(connection) && connections.size === 0) connectionsOf.delete(username);
    },
  };
}
