/** What we rely on in MQTT.js, whether it is there, and how its client is set up. */

import { Duplex } from "node:stream";
import { type IClientOptions, MqttClient } from "mqtt";

/** How to reach a broker and to be recognised there. Certificates and keys are PEM texts. */
export interface BrokerSettings {
  url: string;
  /** Names the session that the broker keeps for us: the same after every start, and used by one process only. */
  clientId: string;
  protocolVersion: 4 | 5;
  username?: string | undefined;
  password?: string | undefined;
  ca?: string | undefined;
  cert?: string | undefined;
  key?: string | undefined;
  rejectUnauthorized: boolean;
  keepaliveS: number;
  /** Messages that may be un-acknowledged at a time. */
  receiveMaximum: number;
  /** Of a message's payload; a larger one is counted, acknowledged and not read. */
  maximumPacketBytes: number;
  sessionExpiryS: number;
}

/**
 * What MQTT.js 5.16 is relied on for, beside its documentation; test/inputs/mqtt/client.test.ts pins each, and
 * whyNotReliable looks for it at the start:
 * - `handleMessage` is public and is called once per PUBLISH; replaced before the first I/O, it sees all of them.
 * - Given an error, its callback sends no PUBACK and goes on to the next packet (upstream tests say so as well).
 *   That separates receiving a message from acknowledging it: waiting inside would mean one message at a time.
 * - Without its callback no further byte is parsed: back-pressure for QoS 0, and for brokers without a window.
 * - `stream` is a new object for every connection.
 */
export const ACK_LATER = new Error("acknowledged when stored");

/** AWS IoT takes no more filters in one SUBSCRIBE. */
const FILTERS_PER_SUBSCRIBE = 8;
/**
 * The packet limit announced to the broker is this many times ours. Brokers drop a larger message without a word to either
 * side, so what is merely too large has to reach us to be counted; this only bounds memory.
 */
const ANNOUNCED_LIMIT_FACTOR = 64;
/** MQTT 5.0 §2.1.4: 268,435,455 bytes after a head of five. */
const MQTT_MAX_PACKET_BYTES = 268_435_460;
const RECONNECT_EVERY_MS = 1000;

export function clientOptions(settings: BrokerSettings): IClientOptions {
  const { clientId, protocolVersion, rejectUnauthorized, receiveMaximum } = settings;
  const options: IClientOptions = {
    clientId,
    protocolVersion,
    rejectUnauthorized,
    clean: false,
    keepalive: settings.keepaliveS,
    reconnectPeriod: RECONNECT_EVERY_MS,
    // A broker that is full or starting refuses; without this the library would never ask again.
    reconnectOnConnackError: true,
    // Ours to do: the library trusts that a resumed session has the filters of this configuration.
    resubscribe: false,
    subscribeBatchSize: FILTERS_PER_SUBSCRIBE,
    ...credentialsOf(settings),
  };
  if (protocolVersion === 5) {
    options.properties = {
      // In version 5 a session ends with its connection unless it says how long it may live.
      sessionExpiryInterval: settings.sessionExpiryS,
      receiveMaximum,
      maximumPacketSize: Math.min(
        settings.maximumPacketBytes * ANNOUNCED_LIMIT_FACTOR,
        MQTT_MAX_PACKET_BYTES,
      ),
    };
  }
  return options;
}

export type PeerCredentials = Pick<BrokerSettings, "username" | "password" | "ca" | "cert" | "key">;

export function credentialsOf({
  username,
  password,
  ca,
  cert,
  key,
}: Partial<PeerCredentials>): IClientOptions {
  const options: IClientOptions = {};
  if (username !== undefined) options.username = username;
  if (password !== undefined) options.password = password;
  if (ca !== undefined) options.ca = ca;
  if (cert !== undefined) options.cert = cert;
  if (key !== undefined) options.key = key;
  return options;
}

/**
 * What this version of the library lacks, in words, or null. Called at the start: better not to start than to lose
 * messages quietly because a library changed.
 */
export function whyNotReliable(): string | null {
  // Connected to nothing: some of this belongs only to a client that has a stream.
  const nowhere = () => new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const client = new MqttClient(nowhere, { manualConnect: true, reconnectPeriod: 0 });
  client.on("error", () => {});
  client.connect();
  const missing = [
    ["client.handleMessage", MqttClient.prototype.handleMessage?.length === 2],
    ["client.stream", typeof client.stream?.write === "function"],
    ["client.connected", typeof client.connected === "boolean"],
    ["client.sendPing", typeof client.sendPing === "function"],
    ["client.reschedulePing", typeof client.reschedulePing === "function"],
  ].flatMap(([name, there]) => (there ? [] : [name]));
  client.end(true);
  if (missing.length === 0) return null;
  return `this version of MQTT.js cannot acknowledge after storing (missing: ${missing.join(", ")}); "npm ci" installs the right one`;
}
