/** Logs devices in, bounds their connections, and cuts off those that hold too much. */

import { Socket } from "node:net";
import type { Client } from "aedes";
import { type ConnectionCap, createLoginCap } from "../../limits/connections.ts";
import { createGuessing, type GuessingEvents } from "../../limits/guessing.ts";
import { createAckOrder } from "./acknowledgements.ts";
import type { BrokerLimits } from "./broker-limits.ts";
import type { Conduct, CutOff, DeviceRefusals } from "./device-refusals.ts";
import { clientIdOf, type Device, type Devices } from "./devices.ts";
import { createUnreleased, type Unreleased } from "./packet-ids.ts";

export interface DeviceSession extends Conduct {
  acknowledgements: ReturnType<typeof createAckOrder>;
  /** Messages that are neither acknowledged nor given up. */
  pending: number;
}

export type LoginResult =
  | { kind: "logged_in" }
  /** As MQTT 3.1.1 §3.2.2.3 numbers them. */
  | { kind: "refused"; returnCode: number }
  /** The device left while it waited for its turn. */
  | { kind: "left" };

export interface DeviceSessions {
  logIn(client: Client, username: string, password: Uint8Array | undefined): Promise<LoginResult>;
  /** Of a client or of its socket; undefined before the login. */
  of(clientOrSocket: object): DeviceSession | undefined;
  /** Takes the id of a QoS 2 message in. False when the connection has to end, because it releases none of its messages. */
  mayHold(client: Client, device: Device, packetId: number): boolean;
  cutOff(client: Client, why: CutOff): void;
  /** The devices have changed: who is connected with a login that is no more is cut off, everybody else stays. */
  devicesReplaced(): void;
  readonly unreleased: Unreleased<Client>;
  refusedLogins(): number;
}

/** MQTT 3.1.1 §3.2.2.3. The first says that the password was not checked: the device may come again. */
const SERVER_UNAVAILABLE = 3;
const BAD_USERNAME_OR_PASSWORD = 4;

export function createDeviceSessions({
  devices,
  connections,
  limits,
  refusals,
  events,
}: {
  devices: Devices;
  connections: Pick<ConnectionCap, "authenticated">;
  limits: Pick<BrokerLimits, "connectionsPerLogin" | "unreleased" | "unreleasedPerLogin">;
  refusals: Pick<DeviceRefusals, "login" | "loggedIn" | "cutOff">;
  events: GuessingEvents;
}): DeviceSessions {
  const sessions = new WeakMap<object, DeviceSession>();
  const unreleased = createUnreleased<Client>({
    perConnection: limits.unreleased,
    perLogin: limits.unreleasedPerLogin,
  });
  const logins = createLoginCap<Client>(limits.connectionsPerLogin);
  const guessing = createGuessing({ door: "mqtt", events, where: () => "mqtt login" });
  let refusedLogins = 0;

  async function logIn(
    client: Client,
    username: string,
    password: Uint8Array | undefined,
  ): Promise<LoginResult> {
    const login = await guessing.guard(addressOf(client), username, () =>
      devices.authenticate(username, password),
    );
    // It may have waited, and left meanwhile.
    if (client.closed) return { kind: "left" };
    switch (login.kind) {
      case "refused":
        return refuse(client, username, false);
      case "wrong":
        return refuse(client, username, true);
      case "right":
        begin(client, login.value);
        return { kind: "logged_in" };
      default:
        return login satisfies never;
    }
  }

  function refuse(client: Client, username: string, isChecked: boolean): LoginResult {
    refusedLogins += 1;
    refusals.login(client, { username, address: addressOf(client), isChecked });
    return { kind: "refused", returnCode: isChecked ? BAD_USERNAME_OR_PASSWORD : SERVER_UNAVAILABLE };
  }

  function begin(client: Client, device: Device): void {
    client.id = clientIdOf(device, client.id);
    const session: DeviceSession = {
      ...{ device, acknowledgements: createAckOrder(), pending: 0 },
      ...{ sinceMs: Date.now(), hasSubscribed: false, standing: "new" },
    };
    sessions.set(client, session);
    sessions.set(client.conn, session);
    if (client.conn instanceof Socket) connections.authenticated(client.conn);
    const oldest = logins.add(device.username, client);
    client.conn.once("close", () => {
      logins.remove(device.username, client);
      unreleased.forget(client);
    });
    refusals.loggedIn(device);
    if (oldest === null) return;
    cutOff(oldest, "too_many_connections");
    oldest.close();
  }

  function mayHold(client: Client, { username }: Device, packetId: number): boolean {
    if (client.closed) return false;
    const largest = unreleased.add(client, username, packetId);
    if (largest === null) return true;
    cutOff(largest, "unreleased");
    if (largest === client) return false;
    largest.close();
    return true;
  }

  function cutOff(client: Client, why: CutOff): void {
    refusals.cutOff(client.id, sessions.get(client)?.device, why);
  }

  function devicesReplaced(): void {
    for (const [username, client] of [...logins.all()]) {
      const session = sessions.get(client);
      if (!session) continue;
      const device = devices.named(username);
      if (device?.passwordHash.equals(session.device.passwordHash)) {
        session.device = device;
        continue;
      }
      cutOff(client, "login_changed");
      client.close();
    }
  }

  return {
    logIn,
    of: (clientOrSocket) => sessions.get(clientOrSocket),
    mayHold,
    cutOff,
    devicesReplaced,
    unreleased,
    refusedLogins: () => refusedLogins,
  };
}

/** A TLS socket knows its peer as well as a plain one. */
function addressOf({ conn }: Client): string {
  return conn instanceof Socket ? (conn.remoteAddress ?? "") : "";
}
