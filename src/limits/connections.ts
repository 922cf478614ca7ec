/** Bounds the connections of a port: how many it holds, and how many of one address whose sender is not proven yet. */

import type { Server, Socket } from "node:net";
import { addressShare } from "../addresses.ts";
import type { ConnectionRefusal } from "../events.ts";

/** By address and port, since a connection's TLS has another socket than the connection. */
type Peer = Pick<Socket, "remoteAddress" | "remotePort">;

export interface ConnectionCapOptions {
  /** Of the port. */
  total: number;
  /** Of one address, not proven yet. */
  perAddress: number;
  /** Of one holder, proven; the oldest makes room. Default: no bound. */
  perHolder?: number;
  /** True for an address that stands for many senders: it has no share of its own. */
  isProxy?: ((address: string) => boolean) | undefined;
  onRefused: (reason: ConnectionRefusal, share: string) => void;
}

export interface ConnectionCap {
  /** False when there is no room for it; it is closed then. */
  validate(socket: Socket): boolean;
  /** Its sender has proven who it is. Cheap to say again. */
  authenticated(peer: Peer & object, holder?: string): void;
  count(): number;
}

/** In this time an honest sender proves itself, over a slow link and TLS too; a younger connection makes no room. */
const GRACE_MS = 1000;
/** Shares of senders that were proven, some 100 bytes each: more than one process has senders. */
const MAX_KNOWN_SHARES = 10_000;

interface Held {
  key: string;
  socket: Socket;
  share: string;
  isProxy: boolean;
  /** Somebody was proven at this address before. */
  isKnown: boolean;
  since: number;
}

export function createConnectionCap(options: ConnectionCapOptions): ConnectionCap {
  const { total, perAddress, perHolder = Number.POSITIVE_INFINITY, isProxy = () => false } = options;
  const held = new Map<string, Held>();
  /** The unauthenticated ones, oldest first: all of an address, and those of known and of other addresses. */
  const crowds = new Map<string, Set<Held>>();
  const known = new Set<Held>();
  const strangers = new Set<Held>();
  const authenticatedPeers = new WeakSet<object>();
  const holders = createLoginCap<Held>(perHolder);
  const knownShares = new Set<string>();

  function validate(socket: Socket): boolean {
    const { remoteAddress = "" } = socket;
    const share = addressShare(remoteAddress);
    const entry: Held = {
      // Taken now: a closed socket has forgotten its peer.
      key: keyOf(socket),
      socket,
      share,
      isProxy: isProxy(remoteAddress),
      isKnown: knownShares.has(share),
      since: performance.now(),
    };
    const refusal = whyNot(entry);
    if (refusal !== null) {
      options.onRefused(refusal, share);
      socket.destroy();
      return false;
    }
    held.set(entry.key, entry);
    (entry.isKnown ? known : strangers).add(entry);
    if (!entry.isProxy) crowds.set(share, (crowds.get(share) ?? new Set()).add(entry));
    socket.once("close", () => leave(entry));
    return true;
  }

  function whyNot({ share, isProxy, isKnown }: Held): ConnectionRefusal | null {
    const crowd = isProxy ? undefined : crowds.get(share);
    if (crowd && crowd.size >= perAddress && !makeRoom(crowd, GRACE_MS)) return "address_full";
    if (held.size < total) return null;
    // Where senders were proven before, others make room at once, so that a flood of new addresses does not shut them out.
    const hasRoom = makeRoom(strangers, isKnown ? 0 : GRACE_MS) || makeRoom(known, GRACE_MS);
    return hasRoom ? null : "port_full";
  }

  function makeRoom(unauthenticated: ReadonlySet<Held>, fromAgeMs: number): boolean {
    const [oldest] = unauthenticated;
    if (oldest === undefined || performance.now() - oldest.since < fromAgeMs) return false;
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
    strangers.delete(entry);
    known.delete(entry);
    const crowd = crowds.get(entry.share);
    if (crowd?.delete(entry) && crowd.size === 0) crowds.delete(entry.share);
  }

  function authenticated(peer: Peer & object, holder?: string): void {
    if (authenticatedPeers.has(peer)) return;
    authenticatedPeers.add(peer);
    const entry = held.get(keyOf(peer));
    if (entry === undefined) return;
    leaveUnauthenticated(entry);
    remember(entry.share);
    if (holder === undefined || entry.isProxy) return;
    const oldest = holders.add(holder, entry);
    entry.socket.once("close", () => holders.remove(holder, entry));
    if (oldest !== null) cut(oldest, "holder_full");
  }

  function remember(share: string): void {
    // Taken out first: the set's order is the order in which they were last proven.
    knownShares.delete(share);
    knownShares.add(share);
    if (knownShares.size <= MAX_KNOWN_SHARES) return;
    const [oldest] = knownShares;
    if (oldest !== undefined) knownShares.delete(oldest);
  }

  return { validate, authenticated, count: () => held.size };
}

function keyOf({ remoteAddress, remotePort }: Peer): string {
  return `${remoteAddress} ${remotePort}`;
}

/** Asks the cap before the server does anything with a connection: a TLS handshake costs the most of all. */
export function guardConnections(server: Server, { validate }: Pick<ConnectionCap, "validate">): void {
  const handlers = server.listeners("connection");
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    if (!validate(socket)) return;
    for (const handle of handlers) handle.call(server, socket);
  });
}

/** Says of each new connection of a login which old one has to make room for it, or null. */
export function createLoginCap<Connection>(maxPerLogin: number) {
  const connectionsOf = new Map<string, Set<Connection>>();
  return {
    add(login: string, connection: Connection): Connection | null {
      const connections = connectionsOf.get(login) ?? new Set();
      connectionsOf.set(login, connections.add(connection));
      // The oldest: a device whose link broke comes back at once and must not be kept out by what it left behind.
      const [oldest] = connections;
      if (connections.size <= maxPerLogin || oldest === undefined) return null;
      connections.delete(oldest);
      return oldest;
    },
    remove(login: string, connection: Connection): void {
      const connections = connectionsOf.get(login);
      if (connections?.delete(connection) && connections.size === 0) connectionsOf.delete(login);
    },
  };
}
