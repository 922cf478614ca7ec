/** Holds the in-flight messages of one MQTT connection: received, and not yet acknowledged. They are acknowledged in order of arrival. */

export interface InflightMessage {
  topic: string;
  payload: Buffer;
  /** UTC milliseconds since 1970. */
  arrivedAtMs: number;
  /** The broker sends it again if the connection ends before it is acknowledged; with QoS 0 it exists only here. */
  sentAgain: boolean;
  /** Resolves when ingest is done with the message, whatever became of it. Must not reject. */
  handle: (giveUp: () => boolean) => Promise<unknown>;
  acknowledge: () => void;
}

export interface Inflight {
  /** Resolves when the message has been handled. */
  add(message: InflightMessage): Promise<unknown>;
  /** Another copy of the message that is still in flight: resolves when that one has been handled. */
  copyInFlight(topic: string, payload: Buffer): Promise<unknown> | null;
  /** More are in flight than there should be; `onSpace` is called when that is over. */
  isFull(): boolean;
  count(): number;
  /** Arrival of the message that holds up all others, UTC milliseconds since 1970; null when there is none. */
  oldestAtMs(): number | null;
  /** The connection is gone: what the broker sends again is no longer retried. */
  disconnected(): void;
  /** QoS 0 messages, which the broker does not send again, that are not yet handled. */
  qos0Pending(): number;
  /** Nothing is retried any more. */
  giveUp(): void;
  /** Resolves once nothing is in flight. */
  idle(): Promise<void>;
}

interface Entry {
  message: InflightMessage;
  handled: Promise<void>;
  settled: boolean;
  abandoned: boolean;
}

export function createInflight({ max, onSpace }: { max: number; onSpace: () => void }): Inflight {
  let entries: Entry[] = [];
  let onIdle: (() => void)[] = [];

  function add(message: InflightMessage): Promise<void> {
    const entry: Entry = { message, handled: Promise.resolve(), settled: false, abandoned: false };
    entries.push(entry);
    entry.handled = message
      .handle(() => entry.abandoned)
      .then(() => {
        entry.settled = true;
        acknowledgeSettled();
      });
    return entry.handled;
  }

  /** Acknowledgements leave in order of arrival (MQTT-4.6.0-2), so one deferred message holds up those behind it. */
  function acknowledgeSettled(): void {
    for (let first = entries[0]; first?.settled; first = entries[0]) {
      entries.shift();
      first.message.acknowledge();
    }
    if (entries.length <= max) onSpace();
    if (entries.length > 0) return;
    for (const resolve of onIdle) resolve();
    onIdle = [];
  }

  function disconnected(): void {
    for (const entry of entries) entry.abandoned = entry.message.sentAgain;
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
    copyInFlight: (topic, payload) =>
      entries.find(({ message }) => message.topic === topic && message.payload.equals(payload))?.handled ??
      null,
    isFull: () => entries.length > max,
    count: () => entries.length,
    oldestAtMs: () => entries[0]?.message.arrivedAtMs ?? null,
    disconnected,
    qos0Pending: () => entries.filter(({ message, settled }) => !message.sentAgain && !settled).length,
    giveUp,
    idle,
  };
}
