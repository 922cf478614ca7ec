/** Bounds the connections of a port: how many it holds, and how many unauthenticated ones of one address. */

import type { Server, Socket } from "node:net";
import { addressShare } from "../addresses.ts";

/** Why a connection was not accepted, or was closed so that another could be. Closed: each is a metric label. */
export type ConnectionRefusal = "address_full" | "port_full" | "made_room" | "owner_full";

/** Known by address and port, because TLS has another socket object than the connection below it. */
type Peer = Pick<Socket, "remoteAddress" | "remotePort">;

export interface ConnectionCapOptions {
  /** Of the port. */
  total: number;
  /** Unauthenticated, of one address. */
  perAddress: number;
  /** Authenticated, of one owner; the oldest makes room. Default: no bound. */
  perOwner?: number;
  /** True for an address that stands for many senders and therefore has no share of its own. */
  isProxy?: ((address: string) => boolean) | undefined;
  onRefused: (reason: ConnectionRefusal, share: string) => void;
}

export interface ConnectionCap {
  /** False when there is no room for the connection; it is closed then. */
  accept(socket: Socket): boolean;
  /** The sender is authenticated. Cheap to repeat. `owner`: whose connection it is, where owners have a bound. */
  authenticated(peer: Peer & object, owner?: string): void;
  count(): number;
}

/** In this time an honest sender authenticates itself, over a slow link and TLS too; a younger connection makes no room. */
const GRACE_MS = 1000;
/** Shares of authenticated senders, some 100 bytes each: more than one process has senders. */
const MAX_TRUSTED_SHARES = 10_000;

interface Held {
  key: string;
  socket: Socket;
  share: string;
  isProxy: boolean;
  /** A sender was authenticated at this address before. */
  isTrusted: boolean;
  sinceMs: number;
}

export function createConnectionCap(options: ConnectionCapOptions): ConnectionCap {
  const { total, perAddress, perOwner = Number.POSITIVE_INFINITY, isProxy = () => false } = options;
  const held = new Map<string, Held>();
  /** The unauthenticated ones, oldest first: by address, and all of trusted and of untrusted addresses. */
  const crowds = new Map<string, Set<Held>>();
  const trusted = new Set<Held>();
  const untrusted = new Set<Held>();
  const authenticatedPeers = new WeakSet<object>();
  const owners = createLoginCap<Held>(perOwner);
  const trustedShares = new Set<string>();

  function accept(socket: Socket): boolean {
    const { remoteAddress = "" } = socket;
    const share = addressShare(remoteAddress);
    const entry: Held = {
      // Read now, because a closed socket has forgotten its peer.
      key: keyOf(socket),
      socket,
      share,
      isProxy: isProxy(remoteAddress),
      isTrusted: trustedShares.has(share),
      sinceMs: performance.now(),
    };
    const refusal = whyRefused(entry);
    if (refusal !== null) {
      options.onRefused(refusal, share);
      socket.destroy();
      return false;
    }
    held.set(entry.key, entry);
    (entry.isTrusted ? trusted : untrusted).add(entry);
    if (!entry.isProxy) crowds.set(share, (crowds.get(share) ?? new Set()).add(entry));
    socket.once("close", () => leave(entry));
    return true;
  }

  function whyRefused({ share, isProxy, isTrusted }: Held): ConnectionRefusal | null {
    const crowd = isProxy ? undefined : crowds.get(share);
    if (crowd && crowd.size >= perAddress && !makeRoom(crowd, GRACE_MS)) return "address_full";
    if (held.size < total) return null;
    // For a trusted address untrusted ones make room at once, so that a flood of new addresses does not shut it out.
    const hasRoom = makeRoom(untrusted, isTrusted ? 0 : GRACE_MS) || makeRoom(trusted, GRACE_MS);
    return hasRoom ? null : "port_full";
  }

  function makeRoom(unauthenticated: ReadonlySet<Held>, fromAgeMs: number): boolean {
    const [oldest] = unauthenticated;
    if (oldest === undefined || performance.now() - oldest.sinceMs < fromAgeMs) return false;
    cut(oldest, "made_room");
    return true;
  }

  function cut(entry: Held, reason: ConnectionRefusal): void {
    leave(entry);
    options.onRefused(reason, entry.share);
    entry.socket.destroy();
  }

  function leave(entry: Held): void {
    if (held.get(entry.key) === entry) held.delete(entry.key);
    leaveUnauthenticated(entry);
  }

  function leaveUnauthenticated(entry: Held): void {
    untrusted.delete(entry);
    trusted.delete(entry);
    const crowd = crowds.get(entry.share);
    if (crowd?.delete(entry) && crowd.size === 0) crowds.delete(entry.share);
  }

  function authenticated(peer: Peer & object, owner?: string): void {
    if (authenticatedPeers.has(peer)) return;
    authenticatedPeers.add(peer);
    const entry = held.get(keyOf(peer));
    if (entry === undefined) return;
    leaveUnauthenticated(entry);
    trust(entry.share);
    if (owner === undefined || entry.isProxy) return;
    const oldest = owners.add(owner, entry);
    entry.socket.once("close", () => owners.remove(owner, entry));
    if (oldest !== null) cut(oldest, "owner_full");
  }

  function trust(share: string): void {
    // Deleted first, so that the set's order is the order in which they were last authenticated.
    trustedShares.delete(share);
    trustedShares.add(share);
    if (trustedShares.size <= MAX_TRUSTED_SHARES) return;
    const [oldest] = trustedShares;
    if (oldest !== undefined) trustedShares.delete(oldest);
  }

  return { accept, authenticated, count: () => held.size };
}

function keyOf({ remoteAddress, remotePort }: Peer): string {
  return `${remoteAddress} ${remotePort}`;
}

/** Asks the cap before the server does anything with a connection, because a TLS handshake costs the most of all. */
export function guardConnections(server: Server, { accept }: Pick<ConnectionCap, "accept">): void {
  const handlers = server.listeners("connection");
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    if (!accept(socket)) return;
    for (const handle of handlers) handle.call(server, socket);
  });
}

/** Bounds the connections of each login: `add` gives the old connection that has to make room for the new one, or null. */
export function createLoginCap<Connection>(maxPerLogin: number) {
  const connectionsOf = new Map<string, Set<Connection>>();
  return {
    add(login: string, connection: Connection): Connection | null {
      const connections = connectionsOf.get(login) ?? new Set();
      connectionsOf.set(login, connections.add(connection));
      // The oldest, because a device whose link broke comes back at once and must not be kept out by its dead connections.
      const [oldest] = connections;
      if (connections.size <= maxPerLogin || oldest === undefined) return null;
      connections.delete(oldest);
      return oldest;
    },
    *all(): Generator<[login: string, connection: Connection]> {
      for (const [login, connections] of connectionsOf)
        for (const connection of connections) yield [login, connection];
    },
    remove(login: string, connection: Connection): void {
      const connections = connectionsOf.get(login);
      if (connections?.delete(connection) && connections.size === 0) connectionsOf.delete(login);
    },
  };
}
