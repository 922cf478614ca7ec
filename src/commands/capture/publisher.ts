/** Publishes to a broker as a device does: the simulated fleet and replays. */

import mqtt from "mqtt";
import { credentialsOf, type PeerCredentials } from "../../inputs/mqtt/library.ts";

/** As often as the gateway's own connections. */
const RECONNECT_EVERY_MS = 1000;

export interface Publisher {
  /** Resolves when the broker has acknowledged it; with QoS 0 when it is written. */
  publish(topic: string, payload: string | Uint8Array, qos: 0 | 1 | 2): Promise<void>;
  /** Disconnects cleanly; with `atOnce` it does not wait for acknowledgements. */
  close(how?: { atOnce: boolean }): Promise<void>;
}

export interface PublisherOptions extends Partial<PeerCredentials> {
  clientId?: string;
  /** 4 by default: our own embedded broker speaks no other. */
  protocolVersion?: 4 | 5;
  rejectUnauthorized?: boolean;
}

/** Rejects if the first attempt fails. */
export async function publishTo(url: string, options: PublisherOptions = {}): Promise<Publisher> {
  const { clientId, protocolVersion = 4, rejectUnauthorized = true } = options;
  const client = await mqtt.connectAsync(
    url,
    {
      protocolVersion,
      rejectUnauthorized,
      reconnectPeriod: RECONNECT_EVERY_MS,
      ...(clientId === undefined ? {} : { clientId }),
      ...credentialsOf(options),
    },
    false,
  );
  // From here on the library reconnects by itself and resends unacknowledged messages.
  client.on("error", () => {});
  return {
    async publish(topic, payload, qos) {
      const bytes = typeof payload === "string" ? payload : Buffer.from(payload);
      await client.publishAsync(topic, bytes, { qos });
    },
    close: ({ atOnce } = { atOnce: false }) => client.endAsync(atOnce),
  };
}
