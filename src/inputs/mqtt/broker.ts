/** The embedded MQTT broker: devices publish to it, each under its own topics, and get PUBACK once a message is stored. */

import type { EventEmitter } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { createServer as createTlsServer } from "node:tls";
import { Aedes, type AedesOptions, type Client } from "aedes";
import type { Events } from "../../events/events.ts";
import type { Shares } from "../../ingest/decode-shares.ts";
import type { Ingest } from "../../ingest/ingest.ts";
import type { Source } from "../../ingest/source.ts";
import { createConnectionCap, guardConnections } from "../../limits/connections.ts";
import type { BrokerState } from "../../status/process.ts";
import { BROKER_LIMITS, type BrokerLimits, createUnacked } from "./broker-limits.ts";
import { createDevicePublishes, type DevicePublishes } from "./device-publishes.ts";
import { createDeviceRefusals, type DeviceRefusals } from "./device-refusals.ts";
import { createDeviceSessions, type DeviceSessions } from "./device-sessions.ts";
import { createDeviceSockets } from "./device-sockets.ts";
import { createDevices, type DeviceLogin } from "./devices.ts";
import { createIdStore } from "./packet-ids.ts";

export type EmbeddedBrokerEvents = Pick<
  Events,
  | "deviceRefused"
  | "messagesGivenUp"
  | "failed"
  | "authFailed"
  | "connectionRefused"
  | "incident"
  | "incidentEnded"
>;

export interface EmbeddedBrokerOptions {
  /** By which the operator knows it among the other brokers. */
  name: string;
  host: string;
  port: number;
  /** PEM texts. With `ca`, devices must show a certificate signed by it, beside their password. */
  tls?: { cert: string; key: string; ca?: string | undefined } | undefined;
  devices: readonly DeviceLogin[];
  /** Messages of one source that are not stored yet at which the sockets of its devices are not read any more. */
  maxUnacked: number;
  /** Of a message's payload; a larger one is counted, acknowledged and not read. */
  maximumPacketBytes: number;
  sources: ReadonlyMap<string, Source>;
  ingest: Ingest;
  events: EmbeddedBrokerEvents;
  /** True for an address that stands for many devices and therefore has no share of its own. */
  isProxy?: (address: string) => boolean;
  /** Asked before a socket is read. */
  shares?: Pick<Shares, "mayRead" | "charge">;
  limits?: Partial<BrokerLimits>;
}

export interface EmbeddedBroker {
  port: number;
  state(): BrokerState & {
    connections: number;
    /** Sources whose devices are not read, because too many of their messages are not stored yet. */
    paused: number;
    messages: number;
    refusedLogins: number;
    refusedPublishes: number;
  };
  /** From now on these devices may log in; connected ones whose login did not change stay. */
  setDevices(devices: readonly DeviceLogin[], sources: ReadonlyMap<string, Source>): void;
  /** For connections from now on. */
  setTls(tls: NonNullable<EmbeddedBrokerOptions["tls"]>): void;
  /** Reads nothing new, lets what has arrived be stored for at most this long, and closes. */
  close(withinMs: number): Promise<void>;
}

export async function startBroker(options: EmbeddedBrokerOptions): Promise<EmbeddedBroker> {
  const { name, maximumPacketBytes, ingest, events, shares } = options;
  const limits = { ...BROKER_LIMITS, ...options.limits };
  const connections = createConnectionCap({
    total: limits.connections,
    perAddress: limits.unauthenticatedPerAddress,
    isProxy: options.isProxy,
    onRefused(reason, share) {
      events.connectionRefused({ port: "mqtt", reason });
      events.incident({ kind: "connections_refused", where: "mqtt port", subject: share });
      if (reason !== "port_full") events.deviceRefused({ client: share, reason: "too_many_unauthenticated" });
    },
  });
  const devices = createDevices(options.devices, options.sources);
  const refusals = createDeviceRefusals({ events, devices });
  const sessions = createDeviceSessions({ devices, connections, limits, refusals, events });
  const unacked = createUnacked({
    maxPerSource: options.maxUnacked,
    onSpace: () => sockets.resumeAll(),
  });
  const { holdMs } = limits;
  const publishes = createDevicePublishes({
    ...{ ingest, unacked, maximumPacketBytes, holdMs, refusals, events },
  });
  const aedes = await Aedes.createBroker({
    connectTimeout: limits.loginWithinMs,
    drainTimeout: limits.unreadMs,
    persistence: createIdStore(sessions.unreleased),
    ...deviceHooks({ sessions, publishes, refusals, onEnd: (client) => sockets.resume(client) }),
  });
  // Its types leave this event out; without a listener it would end the process.
  const emitter: EventEmitter = aedes;
  emitter.on("error", (error: unknown) => events.failed({ where: "embedded broker", error }));
  emitter.on("clientError", (client: Client, error: Error) => {
    // Aedes has closed the connection; only its text tells this reason from others.
    if (error.message === "drain timeout") sessions.cutOff(client, "reads_nothing");
  });
  const sockets = createDeviceSockets({
    ...{ aedes, sessions, unacked, maximumPacketBytes, limits, shares, refusals },
  });
  const { server, setTls } = createPort(options.tls, limits.loginWithinMs, sockets.accept);
  guardConnections(server, connections);
  await listen(server, options, (error) => events.failed({ where: "mqtt port", error }));
  const sinceMs = Date.now();

  async function close(withinMs: number): Promise<void> {
    sockets.stopReading();
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    await Promise.race([publishes.idle(), pause(withinMs, undefined, { ref: false })]);
    publishes.giveUp();
    // The last acknowledgements are written in this turn of the event loop, and closing would throw them away.
    await new Promise((resolve) => setImmediate(resolve));
    const { qos0GivenUp, qos0Pending } = publishes.counts();
    if (qos0GivenUp + qos0Pending > 0) {
      events.messagesGivenUp({ broker: name, messages: qos0GivenUp, undecided: qos0Pending });
    }
    await new Promise<void>((resolve) => aedes.close(resolve));
    sockets.destroyAll();
    await closed;
  }

  return {
    port: (server.address() as AddressInfo).port,
    state() {
      const { messages, refusedPublishes } = publishes.counts();
      return {
        ...{ name, kind: "embedded", state: "connected", sinceMs, reason: null },
        ...{ unacked: unacked.count(), clients: sockets.count() },
        ...{ connections: sockets.count(), paused: unacked.fullSources() },
        ...{ messages, refusedLogins: sessions.refusedLogins(), refusedPublishes },
      };
    },
    setDevices(logins, sources) {
      devices.replace(logins, sources);
      sessions.devicesReplaced();
    },
    setTls,
    close,
  };
}

/** In the place of a payload that ingest is done with: nothing that is still on its way holds it any more. */
const NO_PAYLOAD = Buffer.alloc(0);

/** What the library asks of us before it does anything for a device. */
function deviceHooks({
  sessions,
  publishes,
  refusals,
  onEnd,
}: {
  sessions: DeviceSessions;
  publishes: DevicePublishes;
  refusals: Pick<DeviceRefusals, "subscription" | "published">;
  /** A message of the client is acknowledged or given up. */
  onEnd: (client: Client) => void;
}): Required<Pick<AedesOptions, "preConnect" | "authenticate" | "authorizeSubscribe" | "authorizePublish">> {
  return {
    preConnect(_client, packet, done) {
      // A last will is no position: it says what was known when the device connected.
      delete packet.will;
      // Without subscriptions a session would hold only ids of QoS 2 messages, and the store recognises duplicates
      // better than ids do. The session ends with its connection, and so do the ids.
      packet.clean = true;
      done(null, true);
    },
    authenticate(client, username, password, done) {
      void sessions.logIn(client, username ?? "", password).then((result) => {
        if (result.kind === "logged_in") done(null, true);
        else if (result.kind === "refused") {
          const { returnCode } = result;
          done(Object.assign(new Error("bad login"), { returnCode }), false);
        }
      });
    },
    authorizeSubscribe(client, _subscription, done) {
      refusals.subscription(client, sessions.of(client));
      // Neither an error nor a subscription: SUBACK says 128, and a device that asks for commands goes on publishing.
      done(null, null);
    },
    // Aedes acknowledges (PUBACK, PUBREC) right after this hook and before anything else, so messages are stored here.
    authorizePublish(client, packet, done) {
      const session = client === null ? undefined : sessions.of(client);
      if (client === null || session === undefined) {
        done(new Error("not logged in"));
        return;
      }
      packet.retain = false;
      const { device, acknowledgements } = session;
      if (packet.qos === 2 && !sessions.mayHold(client, device, packet.messageId ?? 0)) {
        done(new Error("too many messages not released"));
        return;
      }
      // An error ends the connection, and then there is nothing to acknowledge in any order.
      const inOrder = packet.qos === 0 ? (acknowledge: () => void) => acknowledge() : acknowledgements();
      session.pending += 1;
      const end = (error: Error | null): void => {
        session.pending -= 1;
        if (error === null) refusals.published(session);
        done(error);
        onEnd(client);
      };
      void publishes
        .handle(client, device, packet)
        .finally(() => {
          packet.payload = NO_PAYLOAD;
        })
        .then(
          (error) => (error ? end(error) : inOrder(() => end(null))),
          (cause) => end(new Error("handling failed", { cause })),
        );
    },
  };
}

function createPort(
  tls: EmbeddedBrokerOptions["tls"],
  handshakeTimeout: number,
  accept: (socket: Socket) => void,
): { server: Server; setTls: EmbeddedBroker["setTls"] } {
  const secure =
    tls === undefined
      ? null
      : createTlsServer({ ...tls, requestCert: tls.ca !== undefined, handshakeTimeout }, accept);
  const server = createServer((socket) => {
    if (secure === null) accept(socket);
    else secure.emit("connection", socket);
  });
  return { server, setTls: (next) => secure?.setSecureContext(next) };
}

async function listen(
  server: Server,
  { host, port }: { host: string; port: number },
  onError: (error: Error) => void,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      // Accepting a connection can fail too, for want of descriptors.
      server.on("error", onError);
      resolve();
    });
  });
}
