/** Bounds what devices, logins and sources may use of the embedded broker: connections, time, ids and memory. */

export interface BrokerLimits {
  connections: number;
  /** Of one address, without a login. */
  unauthenticatedPerAddress: number;
  connectionsPerLogin: number;
  /** For the TLS handshake, and from then to CONNECT. */
  loginWithinMs: number;
  /** Without any byte; for devices that ask for no keepalive. Others are cut off after 1.5 of theirs. */
  idleMs: number;
  /** QoS 2 messages of one connection that are stored and not yet released, and of all connections of one login. */
  unreleased: number;
  unreleasedPerLogin: number;
  /** Messages of one connection that are neither acknowledged nor given up, for any reason. */
  pending: number;
  /** How long a device may leave our answers unread. */
  unreadMs: number;
  /** How long a message that its device can send again is retried before the connection is closed. */
  holdMs: number;
}

export const BROKER_LIMITS: BrokerLimits = {
  // Some 20 kB each; a larger fleet has a broker of its own in front.
  connections: 10_000,
  // Trackers of one mobile network share an address, and come all at once after an outage; a login takes them 0.1 s.
  unauthenticatedPerAddress: 250,
  // A fleet may share one login; a stolen one must not shut out all others.
  connectionsPerLogin: 1000,
  loginWithinMs: 10_000,
  // A tracker in deep sleep reports once or twice a day, but over a new connection each time.
  idleMs: 3_600_000,
  // What an MQTT library with a full window sends at once; only ids are held, some 50 bytes each.
  unreleased: 1000,
  unreleasedPerLogin: 10_000,
  pending: 2000,
  // A link may fail for as long; the answers wait, and nothing more is read meanwhile.
  unreadMs: 30_000,
  // A device that is thrown out comes back at once and sends all of it again: waiting is cheaper for both.
  holdMs: 30_000,
};

/** Of one source: as many messages of 16 kB as the default for messages. */
const SOURCE_UNACKED_BYTES = 16_000_000;
/** Of all together: the last resort, once eight sources hold all they may. */
const ALL_UNACKED_BYTES = 128_000_000;
/** What an empty message takes: its packet, its place among those waiting, its promises. */
const MESSAGE_BYTES = 2000;

/** Sources by name: their settings may change while a message waits. */
export interface Unacked {
  add(source: string, bytes: number): void;
  remove(source: string, bytes: number): void;
  /** No more may be read of the source; without a source, of any. */
  isFull(source?: string): boolean;
  count(): number;
  /** How many sources have all they may. */
  fullSources(): number;
}

interface Share {
  messages: number;
  bytes: number;
  isFull: boolean;
}

/** What waits to be stored. Each source has a share, so that one whose messages cannot be stored delays no other. */
export function createUnacked({
  maxPerSource,
  onSpace,
}: {
  maxPerSource: number;
  onSpace: () => void;
}): Unacked {
  const all: Share = { messages: 0, bytes: 0, isFull: false };
  const shares = new Map<string, Share>();

  function shareOf(source: string): Share {
    let share = shares.get(source);
    if (!share) {
      share = { messages: 0, bytes: 0, isFull: false };
      shares.set(source, share);
    }
    return share;
  }

  /** True when there is space again: at half, because else every message stored would wake every socket for one more. */
  function move(share: Share, messages: number, bytes: number, used: (share: Share) => number): boolean {
    share.messages += messages;
    share.bytes += bytes;
    const wasFull = share.isFull;
    share.isFull = wasFull ? used(share) > 0.5 : used(share) >= 1;
    return wasFull && !share.isFull;
  }

  function moveBoth(source: string, messages: number, bytes: number): void {
    const ofSource = move(shareOf(source), messages, bytes, (share) =>
      Math.max(share.messages / maxPerSource, share.bytes / SOURCE_UNACKED_BYTES),
    );
    const ofAll = move(all, messages, bytes, (share) => share.bytes / ALL_UNACKED_BYTES);
    if (ofSource || ofAll) onSpace();
  }

  return {
    add: (source, bytes) => moveBoth(source, 1, bytes + MESSAGE_BYTES),
    remove: (source, bytes) => moveBoth(source, -1, -bytes - MESSAGE_BYTES),
    isFull: (source) => all.isFull || (source !== undefined && shareOf(source).isFull),
    count: () => all.messages,
    fullSources: () => [...shares.values()].filter(({ isFull }) => isFull).length,
  };
}
