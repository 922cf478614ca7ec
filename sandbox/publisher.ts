/** Publishes to a broker as devices do: what is not acknowledged is published again after a reconnect. */

import mqtt from "mqtt";

export interface Publisher {
  /** Resolves when the broker has acknowledged it; with QoS 0 when it is written. */
  publish(topic: string, payload: string, qos: 0 | 1): Promise<void>;
  /** How often the connection has ended so far. */
  disconnects(): number;
  /** `atOnce` does not wait for what is not acknowledged. */
  close(how: { atOnce: boolean }): Promise<void>;
}

export interface PublisherOptions {
  clientId?: string;
  username?: string;
  password?: string;
  /** The broker keeps the session while the connection is away. */
  keepsSession?: boolean;
  reconnectEveryMs?: number;
}

/** Rejects if the first attempt fails. */
export async function startPublisher(url: string, options: PublisherOptions = {}): Promise<Publisher> {
  const { keepsSession = false, reconnectEveryMs = 1000, ...login } = options;
  const client = await mqtt.connectAsync(
    url,
    {
      // The gateway's embedded broker speaks no other version.
      protocolVersion: 4,
      reconnectPeriod: reconnectEveryMs,
      reconnectOnConnackError: true,
      clean: !keepsSession,
      ...login,
    },
    false,
  );
  let disconnects = 0;
  client.on("close", () => {
    disconnects += 1;
  });
  // The library reconnects by itself.
  client.on("error", () => {});
  return {
    async publish(topic, payload, qos) {
      await client.publishAsync(topic, payload, { qos });
    },
    disconnects: () => disconnects,
    close: ({ atOnce }) => client.endAsync(atOnce),
  };
}
