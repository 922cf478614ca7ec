/** The embedded MQTT broker: devices publish to it, each under its own topics, and hear PUBACK once it is kept. */

import { createHash, timingSafeEqual } from "node:crypto";
import type { EventEmitter } from "node:events";
import { type AddressInfo, createServer, Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { createServer as createTlsServer } from "node:tls";
import { Aedes, type Client, type PublishPacket } from "aedes";
import { asAuthenticated, type Message } from "../../adapters/kit/adapter.ts";
import { topicMatcher } from "../../adapters/kit/topic.ts";
import type { Events } from "../../events.ts";
import type { Shares } from "../../ingest/decode-shares.ts";
import type { Ingest } from "../../ingest/ingest.ts";
import { createRetryOrder, ingestWithRetry } from "../../ingest/retry.ts";
import type { Source } from "../../ingest/source.ts";
import { createConnectionCap, createLoginCap, guardConnections } from "../../limits/connections.ts";
import { createGuessing } from "../../limits/guessing.ts";
import { createUnacked } from "./broker-limits.ts";
import { readInTurns } from "./broker-reading.ts";
import { createLeaveOrder } from "./inflight.ts";
import { createIdStore, createUnreleased } from "./packet-ids.ts";
import { createFirstArrivals } from "./redelivery.ts";

export interface DeviceLogin {
  username: string;
  password: string;
  /** Name of the source that its messages belong to. */
  source: string;
  /** Topic filters it may publish under; `%u` stands for its username. */
  topics: readonly string[];
}

export type EmbeddedBrokerEvents = Pick<
  Events,
  "deviceRefused" | "messagesGivenUp" | "failed" | "authFailed" | "connectionRefused" | "incident"
>;

export interface EmbeddedBrokerOptions {
  host: string;
  port: number;
  /** PEM texts. With `ca`, devices must show a certificate signed by it, beside their password. */
  tls?: { cert: string; key: string; ca?: string | undefined } | undefined;
  devices: readonly DeviceLogin[];
  /** Un-kept messages of one source at which the sockets of its devices are not read any more. */
  maxUnacked: number;
  /** Of a message's payload; a larger one is counted, acknowledged and not read. */
  maximumPacketBytes: number;
  sources: ReadonlyMap<string, Source>;
  ingest: Ingest;
  events: EmbeddedBrokerEvents;
  /** True for an address that stands for many devices: it has no share of its own. */
  isProxy?: (address: string) => boolean;
  /** Asked before a socket is read. */
  shares?: Pick<Shares, "mayRead" | "charge">;
  limits?: Partial<Limits>;
}

interface Limits {
  connections: number;
  /** Of one address, without a login. */
  strangersPerAddress: number;
  connectionsPerLogin: number;
  /** For the TLS handshake, and from then to CONNECT. */
  loginWithinMs: number;
  /** Without any byte; for devices that ask for no keepalive. Others are cut off after 1.5 of theirs. */
  idleMs: number;
  /** QoS 2 messages of one connection that are stored and not yet released, and of all connections of one login. */
  unreleased: number;
  unreleasedPerLogin: number;
  /** Messages of one connection without their end, whatever holds it up. */
  unended: number;
  /** How long a device may leave our answers unread. */
  unreadMs: number;
  /** How long an unkept message that its device can send again is offered before the connection is closed. */
  holdMs: number;
}

const LIMITS: Limits = {
  // Some 20 kB each; a larger fleet has a broker of its own in front.
  connections: 10_000,
  // Trackers of one mobile network share an address, and come all at once after an outage; a login takes them 0.1 s.
  strangersPerAddress: 250,
  // A fleet may share one login; a stolen one must not shut out all others.
  connectionsPerLogin: 1000,
  loginWithinMs: 10_000,
  // A tracker in deep sleep reports once or twice a day, but over a new connection each time.
  idleMs: 3_600_000,
  // What an MQTT library with a full window sends at once; only ids are held, some 50 bytes each.
  unreleased: 1000,
  unreleasedPerLogin: 10_000,
  unended: 2000,
  // A link may fail for as long; the answers wait, and nothing more is read meanwhile.
  unreadMs: 30_000,
  // A device that is thrown out comes back at once and sends all of it again: waiting is cheaper for both.
  holdMs: 30_000,
};

/** Packets up to this many times the limit are read, to be counted and acknowledged; a larger one ends the connection. */
const READ_LIMIT_FACTOR = 4;
/** Any packet but PUBLISH: CONNECT with the longest client id, username and password, or a hundred subscriptions. */
const CONTROL_LIMIT_BYTES = 4096;
/** A longer client id is known by its digest: ids are kept with each message of a connection. */
const MAX_CLIENT_ID_CHARS = 128;
/** In the place of a payload that has been offered: nothing that is still on its way holds it any more. */
const NO_PAYLOAD = Buffer.alloc(0);
/** Finds peers that vanished without a word, where the device asked for no keepalive. */
const TCP_KEEPALIVE_MS = 60_000;
/** Messages whose first arrival is remembered, some 200 bytes each; a device comes again within seconds. */
const MAX_FIRST_ARRIVALS = 10_000;
/** MQTT 3.1.1 §3.2.2.3. The former says that nobody looked at the password: the device may come again. */
const SERVER_UNAVAILABLE = 3;
const BAD_USERNAME_OR_PASSWORD = 4;

export interface EmbeddedBrokerState {
  connections: number;
  unacked: number;
  /** Sources whose devices are not read, since too much of them is unkept. */
  paused: number;
  messages: number;
  refusedLogins: number;
  refusedPublishes: number;
}

export interface EmbeddedBroker {
  port: number;
  state(): EmbeddedBrokerState;
  /** Takes nothing new, lets what is under way be kept for at most this long, and closes. */
  close(withinMs: number): Promise<void>;
}

export async function startBroker(options: EmbeddedBrokerOptions): Promise<EmbeddedBroker> {
  const { maxUnacked, maximumPacketBytes, ingest, events, shares } = options;
  const limits = { ...LIMITS, ...options.limits };
  const devices = new Map(options.devices.map((login) => [login.username, deviceOf(login, options.sources)]));
  const loggedIn = new WeakMap<object, Session>();
  const connections = createConnectionCap({
    total: limits.connections,
    perAddress: limits.strangersPerAddress,
    isProxy: options.isProxy,
    onRefused(reason, share) {
      events.connectionRefused({ port: "mqtt", reason });
      events.incident({ kind: "connections_refused", where: "mqtt port", subject: share });
      if (reason !== "port_full") events.deviceRefused({ client: share, reason: "too_many_strangers" });
    },
  });
  const unreleased = createUnreleased<Client>({
    perConnection: limits.unreleased,
    perLogin: limits.unreleasedPerLogin,
  });
  const logins = createLoginCap<Client>(limits.connectionsPerLogin);
  const unacked = createUnacked<Source>({ maxPerSource: maxUnacked, onRoom: readOn });
  const firstArrivals = createFirstArrivals<string>(MAX_FIRST_ARRIVALS);
  const guessing = createGuessing({ door: "mqtt", events, where: () => "mqtt login" });
  const order = createRetryOrder();
  const sockets = new Set<Socket>();
  const unread = new Set<Socket>();
  const ended = new AbortController();
  let closing = false;
  /** Of those with QoS 0, which nobody sends again. */
  let lastChances = 0;
  let givenUp = 0;
  let onIdle = (): void => {};
  const told = { messages: 0, refusedLogins: 0, refusedPublishes: 0 };

  const aedes = await Aedes.createBroker({
    connectTimeout: limits.loginWithinMs,
    drainTimeout: limits.unreadMs,
    persistence: createIdStore(unreleased),
    preConnect(_client, packet, done) {
      // A last will is no position: it says what was known when the device connected.
      delete packet.will;
      // Without subscriptions a session would hold nothing but ids of QoS 2 messages, and keep has better ones.
      // It ends with its connection, and so do they.
      packet.clean = true;
      done(null, true);
    },
    authenticate(client, givenName, password, done) {
      const username = givenName ?? "";
      const refuse = (reason: string, returnCode: number): void => {
        told.refusedLogins += 1;
        events.deviceRefused({ client: client.id, username, reason });
        done(Object.assign(new Error("bad login"), { returnCode }), false);
      };
      void guessing
        .guard(addressOf(client), username, () => deviceBy(username, password))
        .then((login) => {
          // It may have waited, and not to the end.
          if (client.closed) return;
          if (login.kind === "refused") refuse("guessing", SERVER_UNAVAILABLE);
          else if (login.kind === "wrong") refuse("bad_login", BAD_USERNAME_OR_PASSWORD);
          else {
            const device = login.value;
            // A connection replaces another with the same client id; below its username it can replace nobody else's.
            client.id = `${device.username}/${shortened(client.id)}`;
            const session = { device, acknowledgements: createLeaveOrder(), unended: 0 };
            loggedIn.set(client, session);
            loggedIn.set(client.conn, session);
            admitLogin(client, device);
            done(null, true);
          }
        });
    },
    authorizeSubscribe(client, _subscription, done) {
      events.deviceRefused({ client: client.id, reason: "subscribes" });
      // Neither an error nor a subscription: SUBACK says 128, and a device that asks for commands goes on publishing.
      done(null, null);
    },
    // aedes acknowledges (PUBACK, PUBREC) right after this hook and before anything else: here is the place to keep.
    authorizePublish(client, packet, done) {
      const session = client === null ? undefined : loggedIn.get(client);
      if (client === null || session === undefined) {
        done(new Error("not logged in"));
        return;
      }
      packet.retain = false;
      const { device, acknowledgements } = session;
      if (packet.qos === 2 && !mayHold(client, device, packet.messageId)) {
        done(new Error("too many messages not released"));
        return;
      }
      // An error ends the connection, and then there is nothing to acknowledge in any order.
      const acknowledge = packet.qos === 0 ? (leave: () => void) => leave() : acknowledgements();
      session.unended += 1;
      const end = (error: Error | null): void => {
        session.unended -= 1;
        done(error);
        readOnOf(client);
      };
      void take(client, device, packet)
        .finally(() => {
          packet.payload = NO_PAYLOAD;
        })
        .then(
          (error) => (error ? end(error) : acknowledge(() => end(null))),
          (cause) => end(new Error("taking failed", { cause })),
        );
    },
  });
  // Its types leave this event out; without a listener it would end the process.
  const emitter: EventEmitter = aedes;
  emitter.on("error", (error: unknown) => events.failed({ where: "embedded broker", error }));
  emitter.on("clientError", (client: Client, error: Error) => {
    // Aedes has closed the connection; its text is all that tells this reason from others.
    if (error.message === "drain timeout") tellCutOff(client, "reads_nothing");
  });

  /** False when the connection has to end, since it releases none of its QoS 2 messages. */
  function mayHold(client: Client, { username }: Device, packetId = 0): boolean {
    if (client.closed) return false;
    const largest = unreleased.add(client, username, packetId);
    if (largest === null) return true;
    tellCutOff(largest, "unreleased");
    if (largest === client) return false;
    largest.close();
    return true;
  }

  function tellCutOff(client: Client, reason: "unreleased" | "reads_nothing"): void {
    events.deviceRefused({ client: client.id, reason });
    const device = loggedIn.get(client)?.device;
    if (device === undefined) return;
    events.incident({
      kind: "device_cut_off",
      where: `source ${device.source.name}`,
      subject: `${device.username} (${reason})`,
    });
  }

  function deviceBy(username: string, password: Uint8Array | string | undefined): Device | null {
    const device = devices.get(username);
    // An unknown name is compared too, so that the time taken does not tell which names exist.
    const right = timingSafeEqual(hash(password ?? ""), device?.passwordHash ?? NOBODYS_HASH);
    return device !== undefined && right ? device : null;
  }

  function admitLogin(client: Client, { username }: Device): void {
    if (client.conn instanceof Socket) connections.authenticated(client.conn);
    const oldest = logins.add(username, client);
    client.conn.once("close", () => {
      logins.remove(username, client);
      unreleased.forget(client);
    });
    if (oldest === null) return;
    events.deviceRefused({ client: oldest.id, reason: "too_many_connections" });
    oldest.close();
  }

  /** Null when it may be acknowledged, else why the connection has to end. */
  async function take(client: Client, device: Device, packet: PublishPacket): Promise<Error | null> {
    const { topic, payload, qos, dup, messageId } = packet;
    told.messages += 1;
    if (!device.mayPublish(topic)) {
      told.refusedPublishes += 1;
      ingest.refuse(device.source, "unauthenticated");
      events.deviceRefused({ client: client.id, reason: "foreign_topic" });
      return new Error("not its own topic");
    }
    const body = typeof payload === "string" ? Buffer.from(payload) : payload;
    if (body.length > maximumPacketBytes) {
      ingest.refuse(device.source, "too_large");
      return null;
    }
    const { source } = device;
    const isLastChance = qos === 0;
    const now = Date.now();
    const receivedAt = isLastChance
      ? now
      : firstArrivals.of(`${client.id} ${messageId}`, { topic, body, dup }, now);
    const message: Message = {
      body,
      receivedAt: receivedAt ?? now,
      headers: {},
      query: {},
      topic,
      retained: false,
      resent: receivedAt === null,
      login: device.username,
    };
    const bytes = body.length + topic.length;
    unacked.add(source, bytes);
    if (isLastChance) lastChances += 1;
    const result = await ingestWithRetry({
      ingest,
      source,
      message: asAuthenticated(message),
      ended: ended.signal,
      // What came with QoS 0 nobody sends again: it is worth trying on, and without its device.
      giveUp: () =>
        ended.signal.aborted || (!isLastChance && (client.closed || Date.now() - now > limits.holdMs)),
      onError: (error) => events.failed({ where: "embedded broker", error }),
      onGivenUp() {
        // With another QoS the device sends it again, and it counts then.
        if (!isLastChance) return;
        givenUp += 1;
        ingest.refuse(source, "given_up");
      },
      inOrder: { order, key: `${client.id} ${topic}` },
    });
    unacked.remove(source, bytes);
    if (isLastChance) lastChances -= 1;
    if (unacked.count() === 0) onIdle();
    return result === null ? new Error("cannot be kept now") : null;
  }

  function isHeld(socket: Socket): boolean {
    // Who does not read our answers is not read either: they would pile up.
    if (closing || socket.writableNeedDrain) return true;
    const session = loggedIn.get(socket);
    return unacked.isFull(session?.device.source) || (session?.unended ?? 0) >= limits.unended;
  }

  function readOn(sockets: Iterable<Socket> = [...unread]): void {
    for (const socket of sockets) {
      if (isHeld(socket)) continue;
      unread.delete(socket);
      socket.emit("readable");
    }
  }

  function readOnOf({ conn }: Client): void {
    if (unread.size > 0 && conn instanceof Socket && unread.has(conn)) readOn([conn]);
  }

  function accept(socket: Socket): void {
    sockets.add(socket);
    socket.on("close", () => {
      sockets.delete(socket);
      unread.delete(socket);
    });
    socket.on("drain", () => {
      if (unread.has(socket)) readOn([socket]);
    });
    socket.setKeepAlive(true, TCP_KEEPALIVE_MS);
    socket.setTimeout(limits.idleMs, () => socket.destroy());
    readInTurns(socket, {
      isHeld: () => isHeld(socket),
      held: () => unread.add(socket),
      limitBytes: (isPublish) =>
        isPublish && loggedIn.has(socket) ? READ_LIMIT_FACTOR * maximumPacketBytes : CONTROL_LIMIT_BYTES,
      source: () => loggedIn.get(socket)?.device.source.name,
      shares,
      tooLarge() {
        events.deviceRefused({ client: socket.remoteAddress ?? "", reason: "too_large" });
        socket.destroy();
      },
    });
    aedes.handle(socket);
  }

  const { tls } = options;
  const secure =
    tls === undefined
      ? null
      : createTlsServer(
          { ...tls, requestCert: tls.ca !== undefined, handshakeTimeout: limits.loginWithinMs },
          accept,
        );
  const server = createServer((socket) => {
    if (secure === null) accept(socket);
    else secure.emit("connection", socket);
  });
  guardConnections(server, connections);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, () => {
      server.off("error", reject);
      // Taking a connection can fail too, for want of descriptors.
      server.on("error", (error) => events.failed({ where: "mqtt port", error }));
      resolve();
    });
  });

  async function close(withinMs: number): Promise<void> {
    closing = true;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    const idle = new Promise<void>((resolve) => {
      onIdle = resolve;
    });
    if (unacked.count() > 0) await Promise.race([idle, pause(withinMs, undefined, { ref: false })]);
    ended.abort();
    // The last acknowledgements are written in this turn of the event loop, and closing would throw them away.
    await new Promise((resolve) => setImmediate(resolve));
    if (givenUp + lastChances > 0) {
      events.messagesGivenUp({ broker: "listen", messages: givenUp, undecided: lastChances });
    }
    await new Promise<void>((resolve) => aedes.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  }

  return {
    port: (server.address() as AddressInfo).port,
    state: () => ({ connections: sockets.size, unacked: unacked.count(), paused: unacked.full(), ...told }),
    close,
  };
}

/** A TLS socket knows its peer as well as a plain one. */
function addressOf({ conn }: Client): string {
  return conn instanceof Socket ? (conn.remoteAddress ?? "") : "";
}

interface Session {
  device: Device;
  acknowledgements: ReturnType<typeof createLeaveOrder>;
  /** Messages that are neither acknowledged nor given up. */
  unended: number;
}

interface Device {
  username: string;
  passwordHash: Buffer;
  source: Source;
  mayPublish: (topic: string) => boolean;
}

function deviceOf(login: DeviceLogin, sources: ReadonlyMap<string, Source>): Device {
  const { username, password, topics } = login;
  // In a filter they would let it publish as somebody else, and a slash would blur where its client ids end.
  if (/[+#/$]/.test(username)) throw new Error(`A device's username may not contain + # / or $: ${username}`);
  const source = sources.get(login.source);
  if (source === undefined) throw new Error(`Device ${username} names an unknown source: ${login.source}`);
  const matchers = topics.map((filter) => topicMatcher(filter.replaceAll("%u", username)));
  return {
    username,
    passwordHash: hash(password),
    source,
    // `$` marks topics of the broker itself.
    mayPublish: (topic) => !topic.startsWith("$") && matchers.some((matches) => matches(topic)),
  };
}

function shortened(clientId: string): string {
  return clientId.length > MAX_CLIENT_ID_CHARS ? hash(clientId).toString("base64url") : clientId;
}

/** Of equal length whatever is compared, as timingSafeEqual needs it. */
function hash(secret: string | Uint8Array): Buffer {
  return createHash("sha256").update(secret).digest();
}

const NOBODYS_HASH = hash("");
