/** Decides whether a message is from its source's sender, and takes the credentials out of what is stored of it. */

import { randomUUID } from "node:crypto";
import {
  type Authenticated,
  asAuthenticated,
  type Message,
  type MessageHead,
} from "../adapters/kit/adapter.ts";
import type { Source } from "./source.ts";
import type { RefusalReason, Store } from "./store.ts";

/** `guess`: it had credentials, and they were wrong. */
export interface Refused {
  kind: "refused";
  reason: RefusalReason;
  guess?: boolean | undefined;
}

/** A bug of ours. `quarantined`: the message is safe, to be decoded again after the fix. */
export interface Failed {
  kind: "failed";
  requestId: string;
  quarantined: boolean;
}

export type Authentication<Part extends MessageHead> =
  | { kind: "authenticated"; message: Authenticated<Part> }
  | Refused
  | Failed;

export interface AuthenticationEvents {
  messageRefused(event: { source: string; reason: RefusalReason; why: string }): void;
  ingestFailed(event: { source: string; requestId: string; error: unknown; quarantined: boolean }): void;
}

/** Verifies the whole message: the exact bytes, where the method covers them. */
export function authenticate(
  source: Source,
  message: Message,
  deps: { store: Pick<Store, "refuse">; events: AuthenticationEvents },
): Authentication<Message> {
  const { authMethod, credentials } = source;
  return verdictOn(source, message, () => authMethod?.verify(message, credentials) ?? null, deps);
}

/**
 * The same from the head alone, so that a sender who is not authenticated costs no memory for a body. Null where the
 * source's method needs the body.
 */
export function authenticateHead(
  source: Source,
  head: MessageHead,
  deps: { store: Pick<Store, "refuse">; events: AuthenticationEvents },
): Authentication<MessageHead> | null {
  const verifyHead = source.authMethod?.verifyHead;
  if (verifyHead === undefined) return null;
  return verdictOn(source, head, () => verifyHead(head, source.credentials), deps);
}

function verdictOn<Part extends MessageHead>(
  source: Source,
  part: Part,
  verify: () => string | null,
  { store, events }: { store: Pick<Store, "refuse">; events: AuthenticationEvents },
): Authentication<Part> {
  let why: string | null;
  try {
    why = verify();
  } catch (error) {
    // The sender is unknown, so the message may not fill the quarantine: that is for authenticated senders.
    const requestId = randomUUID();
    events.ingestFailed({ source: source.name, requestId, error, quarantined: false });
    return { kind: "failed", requestId, quarantined: false };
  }
  if (why === null) return { kind: "authenticated", message: asAuthenticated(withLogin(source, part)) };
  store.refuse(source.name, "unauthenticated", { why, from: part.remoteAddress });
  events.messageRefused({ source: source.name, reason: "unauthenticated", why });
  // Neither missing credentials (a browser, a health check) nor a stale signature, which was right once, try a secret out.
  return {
    kind: "refused",
    reason: "unauthenticated",
    guess: why === "wrong_credentials" ? true : undefined,
  };
}

/** With the login that the credentials name, where the source has one for each sender. */
function withLogin<Part extends MessageHead>({ authMethod, credentials }: Source, part: Part): Part {
  const login = authMethod?.loginOf?.(part, credentials) ?? null;
  return login === null ? part : { ...part, login };
}

/** Where credentials travel encoded, so that the secret's own text does not show: Basic, signatures, session cookies. */
const CREDENTIAL_NAME = /authorization|cookie|token|secret|signature|password/i;

/** Credentials are of no use once the sender is authenticated; stored for weeks and shown to people they could be stolen. */
export function redactCredentials<Part extends Message>(
  message: Part,
  { authMethod, credentials }: Pick<Source, "authMethod" | "credentials">,
): Part {
  const { secrets, header, users = [] } = credentials;
  const all = users.length > 0 ? [...secrets, ...users.flatMap((user) => user.secrets)] : secrets;
  const usable = all.filter((secret) => secret !== "");
  const texts = usable.flatMap((secret) => [secret, encodeURIComponent(secret)]);
  const isCredential = ([name, value]: [string, string]) =>
    name === header?.toLowerCase() ||
    CREDENTIAL_NAME.test(name) ||
    texts.some((text) => value.includes(text));
  const rest = (fields: Message["headers"]) =>
    Object.fromEntries(Object.entries(fields).filter((field) => !isCredential(field)));
  const body = authMethod?.withoutSecret?.(message.body, credentials) ?? message.body;
  return { ...message, body, headers: rest(message.headers), query: rest(message.query) };
}
