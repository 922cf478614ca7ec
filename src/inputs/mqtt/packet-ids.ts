/** Holds only the packet ids of the embedded broker's QoS 2 messages, for each connection and each login. */

import { Readable } from "node:stream";

export interface UnreleasedLimits {
  perConnection: number;
  perLogin: number;
}

export interface Unreleased<Connection extends object> {
  /**
   * Adds an id; one that is there already costs nothing. Gives the connection that holds too much and has to end: this
   * one, or the one that holds the most of its login's share.
   */
  add(connection: Connection, login: string, packetId: number): Connection | null;
  has(connection: Connection, packetId: number): boolean;
  release(connection: Connection, packetId: number): void;
  /** The connection has ended, and with it its session. */
  forget(connection: Connection): void;
  count(): number;
}

interface LoginShare<Connection> {
  login: string;
  held: number;
  connections: Map<Connection, Set<number>>;
}

export function createUnreleased<Connection extends object>({
  perConnection,
  perLogin,
}: UnreleasedLimits): Unreleased<Connection> {
  const logins = new Map<string, LoginShare<Connection>>();
  const shares = new Map<Connection, LoginShare<Connection>>();

  function shareOf(connection: Connection, login: string): LoginShare<Connection> {
    const share = logins.get(login) ?? { login, held: 0, connections: new Map() };
    logins.set(login, share);
    shares.set(connection, share);
    return share;
  }

  function idsOf(connection: Connection): Set<number> | undefined {
    return shares.get(connection)?.connections.get(connection);
  }

  function forget(connection: Connection): void {
    const share = shares.get(connection);
    if (!share) return;
    share.held -= share.connections.get(connection)?.size ?? 0;
    share.connections.delete(connection);
    shares.delete(connection);
    if (share.connections.size === 0) logins.delete(share.login);
  }

  return {
    add(connection, login, packetId) {
      const share = shareOf(connection, login);
      const ids = share.connections.get(connection) ?? new Set();
      share.connections.set(connection, ids);
      if (ids.has(packetId)) return null;
      if (ids.size >= perConnection) return connection;
      ids.add(packetId);
      share.held += 1;
      return share.held > perLogin ? largestOf(share) : null;
    },
    has: (connection, packetId) => idsOf(connection)?.has(packetId) ?? false,
    release(connection, packetId) {
      const share = shares.get(connection);
      if (share && idsOf(connection)?.delete(packetId)) share.held -= 1;
    },
    forget,
    count: () => [...logins.values()].reduce((sum, { held }) => sum + held, 0),
  };
}

function largestOf<Connection>({ connections }: LoginShare<Connection>): Connection | null {
  let largest: Connection | null = null;
  let most = 0;
  for (const [connection, ids] of connections) {
    if (ids.size <= most) continue;
    largest = connection;
    most = ids.size;
  }
  return largest;
}

/** One object for all: an error with a stack for each message would cost more than the message. */
const NO_SUCH_PACKET = new Error("no such packet");

/**
 * What aedes 1.2 asks of its store. No device subscribes, nothing is retained, and a session ends with its connection,
 * so there is nothing to store but the ids of QoS 2 messages. They are added before a message is handed on: aedes then
 * finds each id there, acknowledges it, and stores and publishes nothing.
 */
export function createIdStore<Connection extends object>(unreleased: Unreleased<Connection>) {
  const nothing = async (): Promise<void> => {};
  const noList = async (): Promise<never[]> => [];
  const noStream = (): Readable => Readable.from([]);
  type Packet = { messageId?: number };
  return {
    // Aedes checks whether it is an async function.
    async setup(): Promise<void> {},
    async incomingGetPacket(connection: Connection, packet: Packet): Promise<Packet> {
      if (!unreleased.has(connection, packet.messageId ?? 0)) throw NO_SUCH_PACKET;
      return packet;
    },
    async incomingDelPacket(connection: Connection, packet: Packet): Promise<void> {
      unreleased.release(connection, packet.messageId ?? 0);
    },
    incomingStorePacket: nothing,
    cleanIncoming: nothing,
    storeRetained: nothing,
    createRetainedStream: noStream,
    createRetainedStreamCombi: noStream,
    addSubscriptions: nothing,
    removeSubscriptions: nothing,
    cleanSubscriptions: nothing,
    subscriptionsByClient: noList,
    subscriptionsByTopic: noList,
    outgoingEnqueue: nothing,
    outgoingEnqueueCombi: nothing,
    outgoingUpdate: nothing,
    outgoingClearMessageId: nothing,
    outgoingStream: noStream,
    putWill: nothing,
    delWill: nothing,
    streamWill: noStream,
    destroy: nothing,
  };
}
