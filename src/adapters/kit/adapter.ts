/** The contract between the gateway and a vendor's adapter. */

import type { output as ZodOutput, ZodType } from "zod";
import type { RawReading, SpeedUnit } from "../../reading.ts";
import type { Each, Problems } from "./each.ts";
import { isRecord } from "./fields.ts";
import type { ConfigurablePull, Pull } from "./pull.ts";

/** What a vendor sent, as sent, however it arrived. */
export interface Message {
  body: Uint8Array;
  /** UTC milliseconds since 1970. */
  receivedAt: number;
  /** HTTP: upper case. Absent on MQTT. */
  method?: string;
  /** HTTP header names in lower case. Empty on MQTT. */
  headers: Readonly<Record<string, string>>;
  /** Decoded query parameters; the last of a repeated name wins. Empty on MQTT. */
  query: Readonly<Record<string, string>>;
  /** MQTT topic. Absent on HTTP. */
  topic?: string;
  /** MQTT: the broker kept this message; it may be old. */
  retained: boolean;
  /** MQTT: it was sent before, at an unknown time; it may be old. */
  resent?: boolean;
  /** The peer's address after trusted proxies, for authentication by address. Absent on MQTT. */
  remoteAddress?: string;
  /** The authenticated username, where the sender has a login of its own; absent: the vendor's account. */
  login?: string;
}

/** The part of a message that is known before its body is read. */
export type MessageHead = Omit<Message, "body">;

declare const authenticated: unique symbol;

/** A message whose sender is known. Only such a message can be decoded: `decode` takes no other. */
export type Authenticated<Part extends MessageHead = Message> = Part & { readonly [authenticated]: true };

/**
 * Marks a message whose sender is known without a credential in the message itself: by the login of its MQTT connection,
 * because we asked the vendor for it, because it was authenticated before it went to the spool or the quarantine, or
 * because an operator has it decoded. What carries credentials is marked by `ingest/authenticate.ts` once they are verified.
 */
export function asAuthenticated<Part extends MessageHead>(message: Part): Authenticated<Part> {
  return message as Authenticated<Part>;
}

/** The settings by which a source authenticates its senders. */
export interface Credentials {
  /** One, or two while the secret is being rotated. Never logged. */
  secrets: readonly string[];
  username?: string;
  /** Header the shared secret travels in, where the vendor lets the customer choose. */
  header?: string;
  /** Addresses and CIDR ranges, for authentication by address. */
  allow?: readonly string[];
  /** People or devices with a login each, in place of `username` and `secrets`. */
  users?: readonly User[];
}

/** One of several logins of a source. */
export interface User {
  username: string;
  /** One, or two while the secret is being rotated. Never logged. */
  secrets: readonly string[];
}

/** Where a sender puts its credential, for what an operator enters at the vendor. */
export type Placement =
  /** The secret in a header, behind a scheme or bare; without a name in the one that the source names. */
  | { kind: "header"; name?: string; scheme?: "Bearer" | "Basic" }
  /** A signature that the vendor makes with the secret; without a name in the header that the source names. */
  | { kind: "signature"; header?: string; of: string }
  | { kind: "query"; name: string }
  | { kind: "body"; field: string }
  | { kind: "address" };

/** One way to authenticate a vendor. `verify` sees the exact bytes and must compare in constant time. */
export interface AuthMethod {
  /** The word used in the configuration: `basic`, `bearer`, `hmac-sha1`, … */
  name: string;
  /** The source has to name it; without a name the adapter's other method is meant. */
  isByNameOnly?: true;
  /** A refusal is then 401 with this `WWW-Authenticate`, whatever the adapter's own is. */
  challenge?: string;
  /** What the configuration must give for this method. */
  needs: readonly ("secrets" | "username" | "header" | "allow")[];
  placement: Placement;
  /** Null when authenticated, otherwise why not, in a short snake-case word. */
  verify(message: Message, credentials: Credentials): string | null;
  /** The same without the body, where the method does not need it: an unauthenticated body is then not even read. */
  verifyHead?(head: MessageHead, credentials: Credentials): string | null;
  /** Which of several users an authenticated head is from; null where the source has one account. */
  loginOf?(head: MessageHead, credentials: Credentials): string | null;
  /** The body without the secret, where it travels there: for what is stored. */
  withoutSecret?(body: Uint8Array, credentials: Credentials): Uint8Array;
  /** Why this secret cannot authenticate anything, without quoting it; null where it can. For the configuration check. */
  secretProblem?(secret: string): string | null;
}

/** What the adapter may read beside the payload. */
export interface DecodeContext<Options = unknown> {
  /** MQTT topic levels, split at `/`; empty for HTTP. */
  topic: readonly string[];
  headers: Readonly<Record<string, string>>;
  query: Readonly<Record<string, string>>;
  /** UTC milliseconds since 1970, when the gateway got the message. */
  receivedAt: number;
  /** MQTT: kept by the broker, or sent before, so that the time of receipt says nothing of the fix. */
  mayBeOld: boolean;
  /** The source's setting; present whenever the adapter says `speedUnit: "required"`. */
  speedUnit: SpeedUnit | undefined;
  /** The source's `options`, as parsed by the adapter's `options` schema. */
  options: Options;
  /** The bound for `parseJson` on JSON inside the message. */
  maxReadings: number;
}

/** The body a vendor needs to see. Never carries an Authorization header: Bouncie would adopt it as its new key. */
export interface Reply {
  status: number;
  contentType: string;
  body: string;
}

/** A vendor's check of our endpoint: the answer, and where needed one address to fetch (https, host pattern). */
export interface Handshake {
  reply: Reply;
  confirm?: { url: string; allowedHost: RegExp };
}

/** How the bytes become the value that `ignore` and `payload` see. */
export type Format = "json" | "text" | "form" | "bytes";

/** Names a message without a position, or null. */
export interface Ignore<Options = unknown> {
  (raw: unknown, context: DecodeContext<Options>): string | null;
  /** The keys whose value is the kind of event: only another name there may make a message ignored. */
  discriminators?: readonly string[];
}

/** Up to 64 characters, since these names are shown and counted. */
const EVENT_NAME = /^(?!null$|undefined$)[a-z][\w.:/-]{0,63}$/i;

/** The name of an event as vendors write them, or null: anything else in that place is damage, not another event. */
export function eventName(value: unknown): string | null {
  return typeof value === "string" && EVENT_NAME.test(value) ? value : null;
}

/**
 * Ignores events by name, all but those an adapter handles, so that a damaged one of these is never ignored. `also` is
 * asked about the rest. Where the name stands under several keys, a handled name in any of them is enough.
 */
export function otherThan(
  discriminator: string | readonly string[],
  handled: readonly string[] | RegExp,
  also?: (raw: unknown) => string | null,
): Ignore {
  const discriminators = [discriminator].flat();
  // A vendor that changes the case of its names must not have its positions ignored.
  const ours = handled instanceof RegExp ? handled : new Set(handled.map((name) => name.toLowerCase()));
  const isOurs = (name: string) => (ours instanceof RegExp ? ours.test(name) : ours.has(name.toLowerCase()));
  const ignore = (raw: unknown) => {
    const names = isRecord(raw) ? discriminators.flatMap((key) => eventName(raw[key]) ?? []) : [];
    return (names.some(isOurs) ? null : names[0]) ?? also?.(raw) ?? null;
  };
  return Object.assign(ignore, { discriminators });
}

/** A vendor adapter: a plain object, pure: no I/O, no clock, no configuration, never throws. */
export interface Adapter<Payload = unknown, Options = unknown> {
  /** File name, fixtures folder and configuration value: one string. */
  vendor: string;
  /** Vendor documentation, or where the format was seen. */
  docs: string;
  /** How sure we are: the vendor's documentation, its source code, or receiving code only. */
  evidence: "documented" | "source code" | "seen in code";
  /** What of the format is not known, in a few words, for docs/vendors.md; absent: nothing that matters. */
  unknown?: string;
  transports: readonly ("webhook" | "mqtt" | "pull")[];
  /** How to request from a vendor that does not send by itself; only with the transport `pull`. */
  pull?: Pull | ConfigurablePull;
  /** The methods a webhook source may choose, the usual one first; on MQTT the broker connection authenticates. */
  auth: readonly AuthMethod[];
  /** The vendor puts the kind of its message behind the address, which is then read as the query's `kind`. */
  kindInPath?: true;
  /** HTTP methods of the vendor's webhook; default POST alone. */
  methods?: readonly ("POST" | "GET")[];
  /** Default `json`; a function decides per message. A GET without body reads its query as `form`. */
  format?: Format | ((message: Message) => Format);
  /**
   * The unit of speed where the vendor documents one, for docs/vendors.md; `named`: each message says it; `required` makes the
   * source state it.
   */
  speedUnit: SpeedUnit | "cm/s" | "named" | "none" | "required" | "optional";
  /** Default MQTT topic filters. */
  topics?: readonly string[];
  /** Validates the source's `options`. Absent: the source may give none. */
  options?: ZodType<Options>;
  /** Problems of settings that are valid one by one; for the configuration check. */
  settingProblems?: (settings: Pick<DecodeContext<Options>, "speedUnit" | "options">) => string[];
  /** The MQTT topic filters outside which a source with these options ignores every message; null: none. */
  topicsRead?: (options: Options) => readonly string[] | null;
  /** Where outside the body the device's id may come from with these options; a signature over the body does not cover it. */
  idOutsideBody?: (options: Options) => "header" | "query" | null;
  /** Unwraps or decrypts a message (with a key of the source's options); all other functions see the inside. */
  unseal?: (raw: unknown, context: DecodeContext<Options>) => { value: unknown } | Problems;
  /** Names a message that is understood and carries no position, for the ops page. Called before `payload`. */
  ignore?: Ignore<Options>;
  /** One line for docs/vendors.md: which messages `ignore` names. */
  ignores?: string;
  /** Recognised before `ignore`; the message is already authenticated. */
  handshake?: (raw: unknown, message: Message, credentials: Credentials) => Handshake | null;
  /** Envelope strict, values lenient (see fields.ts). */
  payload: ZodType<Payload>;
  /**
   * Renames only; `validate` checks the values of every vendor alike. A list of positions is returned as `each`, its items
   * parsed there and not by `payload`. Only an adapter whose schema is configured may find problems here.
   */
  decode: (payload: Payload, context: DecodeContext<Options>) => RawReading[] | Each | Problems;
  /** How long the vendor waits for an answer, where documented; milliseconds. */
  deadlineMs?: number;
  /** Answer to an accepted message; default `200 {}` with counts. */
  reply?: Reply;
  /** Status for an unauthenticated message; default 401. */
  refusal?: number;
  /** Sent as `WWW-Authenticate` with the refusal (Basic). */
  challenge?: string;
  /** Answer a malformed message with 400 and the problems, instead of 200 and quarantine: only our own format does. */
  malformedStatus?: 400;
}

/** Gives the object literal its types, so that `decode` sees what `payload` promises. */
export function defineAdapter<const P extends ZodType, const O extends ZodType = ZodType<undefined>>(
  adapter: Omit<Adapter<ZodOutput<P>, ZodOutput<O>>, "payload" | "options"> & { payload: P; options?: O },
): Adapter {
  // The only place where a concrete adapter becomes an entry of the list: its payload type stays inside it.
  return adapter as unknown as Adapter;
}

/** At most this many problems are listed for one malformed message; a page of them does not help. */
export const MAX_PROBLEMS = 20;
