/** The devices of the embedded broker: who they are, by username and password, and under which topics each may publish. */

import { createHash, timingSafeEqual } from "node:crypto";
import { topicMatcher } from "../../adapters/kit/topic.ts";
import type { Source } from "../../ingest/source.ts";

export interface DeviceLogin {
  username: string;
  password: string;
  /** Name of the source that its messages belong to. */
  source: string;
  /** Topic filters it may publish under; `%u` stands for its username. */
  topics: readonly string[];
}

export interface Device {
  username: string;
  passwordHash: Buffer;
  source: Source;
  mayPublish: (topic: string) => boolean;
  /** What it may publish to: as configured, and with its username filled in. */
  topics: readonly string[];
  allowed: readonly string[];
  /** What the page calls the place of its troubles. */
  place: string;
}

export interface Devices {
  /** From now on these are the devices. */
  replace(logins: readonly DeviceLogin[], sources: ReadonlyMap<string, Source>): void;
  /** For the operator only: no device is told which usernames exist. */
  named(username: string): Device | undefined;
  /** Null when the password is wrong or the username unknown, after the same time. */
  authenticate(username: string, password: Uint8Array | string | undefined): Device | null;
}

export function createDevices(logins: readonly DeviceLogin[], sources: ReadonlyMap<string, Source>): Devices {
  const from = (all: readonly DeviceLogin[], known: ReadonlyMap<string, Source>) =>
    new Map(all.map((login) => [login.username, deviceOf(login, known)]));
  let devices = from(logins, sources);
  return {
    replace(all, known) {
      devices = from(all, known);
    },
    named: (username) => devices.get(username),
    authenticate(username, password) {
      const device = devices.get(username);
      // An unknown name is compared too, so that the time taken does not tell which names exist.
      const isRight = timingSafeEqual(digest(password ?? ""), device?.passwordHash ?? UNKNOWN_HASH);
      return device !== undefined && isRight ? device : null;
    },
  };
}

function deviceOf(login: DeviceLogin, sources: ReadonlyMap<string, Source>): Device {
  const { username, password, topics } = login;
  // In a filter these would let it publish as another device, and a slash would blur where its client ids end.
  if (/[+#/$]/.test(username)) throw new Error(`A device's username may not contain + # / or $: ${username}`);
  const source = sources.get(login.source);
  if (source === undefined) throw new Error(`Device ${username} names an unknown source: ${login.source}`);
  const allowed = topics.map((filter) => filter.replaceAll("%u", username));
  const matchers = allowed.map(topicMatcher);
  return {
    username,
    passwordHash: digest(password),
    source,
    // `$` marks topics of the broker itself.
    mayPublish: (topic) => !topic.startsWith("$") && matchers.some((matches) => matches(topic)),
    topics,
    allowed,
    place: `source ${source.name}`,
  };
}

/** A longer client id is known by its digest: ids are kept with each message of a connection. */
const MAX_CLIENT_ID_CHARS = 128;

/** A connection replaces another with the same client id; below its username it can replace no other device's. */
export function clientIdOf({ username }: Device, givenId: string): string {
  const id = givenId.length > MAX_CLIENT_ID_CHARS ? digest(givenId).toString("base64url") : givenId;
  return `${username}/${id}`;
}

/** Of equal length for every text, as timingSafeEqual needs it. */
function digest(text: string | Uint8Array): Buffer {
  return createHash("sha256").update(text).digest();
}

/** Compared with where the username is unknown. */
const UNKNOWN_HASH = digest("");
