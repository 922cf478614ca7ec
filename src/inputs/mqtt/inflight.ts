/** Holds the messages of one MQTT connection that are not yet acknowledged, and acknowledges them in order of arrival. */

/**
 * For acknowledgements that somebody else writes: call it on arrival, and what it gives back with the acknowledgement.
 * Those that come early wait for the ones before them (MQTT-4.6.0-2 and -3).
 */
export function createLeaveOrder(): () => (leave: () => void) => void {
  const waiting: { leave: (() => void) | null }[] = [];
  return () => {
    const own: (typeof waiting)[number] = { leave: null };
    waiting.push(own);
    return (leave) => {
      own.leave = leave;
      for (let first = waiting[0]; first?.leave; first = waiting[0]) {
        waiting.shift();
        first.leave();
      }
    };
  };
}

export interface Arrival {
  topic: string;
  payload: Buffer;
  /** UTC milliseconds since 1970. */
  arrivedAt: number;
  /** The broker sends it again if the connection ends before it is acknowledged; with QoS 0 it exists only here. */
  sentAgain: boolean;
  /** Resolves when the message's way is over, whatever its end. Must not reject. */
  handle: (giveUp: () => boolean) => Promise<unknown>;
  acknowledge: () => void;
}

export interface Arrivals {
  /** Resolves when the message has been handled. */
  add(arrival: Arrival): Promise<unknown>;
  /** The same message, while it is still un-acknowledged: resolves when that one has been handled. */
  twinOf(topic: string, payload: Buffer): Promise<unknown> | null;
  /** More are un-acknowledged than there should be; `onRoom` is called when that is over. */
  full(): boolean;
  count(): number;
  /** Arrival of the message that holds up all others; null when there is none. */
  oldestAt(): number | null;
  /** The connection is gone: what the broker sends again is no longer tried. */
  disconnected(): void;
  /** Messages on offer that nobody sends again. */
  lastChances(): number;
  /** Nothing more is tried. */
  giveUp(): void;
  /** Resolves once nothing is un-acknowledged. */
  idle(): Promise<void>;
}

interface Entry {
  arrival: Arrival;
  handled: Promise<void>;
  settled: boolean;
  abandoned: boolean;
}

export function createArrivals({ max, onRoom }: { max: number; onRoom: () => void }): Arrivals {
  let entries: Entry[] = [];
  let onIdle: (() => void)[] = [];

  function add(arrival: Arrival): Promise<void> {
    const entry: Entry = { arrival, handled: Promise.resolve(), settled: false, abandoned: false };
    entries.push(entry);
    entry.handled = arrival
      .handle(() => entry.abandoned)
      .then(() => {
        entry.settled = true;
        acknowledgeSettled();
      });
    return entry.handled;
  }

  /** Acknowledgements leave in order of arrival (MQTT-4.6.0-2), so one unkept message holds up those behind it. */
  function acknowledgeSettled(): void {
    for (let first = entries[0]; first?.settled; first = entries[0]) {
      entries.shift();
      first.arrival.acknowledge();
    }
    if (entries.length <= max) onRoom();
    if (entries.length > 0) return;
    for (const resolve of onIdle) resolve();
    onIdle = [];
  }

  function disconnected(): void {
    for (const entry of entries) entry.abandoned = entry.arrival.sentAgain;
    entries = entries.filter(({ abandoned }) => !abandoned);
    acknowledgeSettled();
  }

  function giveUp(): void {
    for (const entry of entries) entry.abandoned = true;
  }

  function idle(): Promise<void> {
    return new Promise((resolve) => {
      onIdle.push(resolve);
      acknowledgeSettled();
    });
  }

  return {
    add,
    twinOf: (topic, payload) =>
      entries.find(({ arrival }) => arrival.topic === topic && arrival.payload.equals(payload))?.handled ??
      null,
    full: () => entries.length > max,
    count: () => entries.length,
    oldestAt: () => entries[0]?.arrival.arrivedAt ?? null,
    disconnected,
    lastChances: () => entries.filter(({ arrival, settled }) => !arrival.sentAgain && !settled).length,
    giveUp,
    idle,
  };
}
