/** The methods by which vendors authenticate their messages; all compare exact bytes in constant time. */

import { createHmac, hash, randomBytes, timingSafeEqual } from "node:crypto";
import { type Address, parseAddress, withinRanges } from "../../addresses.ts";
import type { AuthMethod, Credentials, Message, MessageHead, User } from "./adapter.ts";

/** A method that does not need the body, so that it gives the same answer before and after it. */
function headCredentials({
  verify,
  ...authMethod
}: Pick<AuthMethod, "name" | "needs" | "placement" | "loginOf"> & {
  verify(head: MessageHead, credentials: Credentials): string | null;
}): AuthMethod {
  return { ...authMethod, verify, verifyHead: verify };
}

/** The bare secret in a header the vendor chose. */
export function sharedKey(header: string): AuthMethod {
  const name = header.toLowerCase();
  return headCredentials({
    name: "shared-key",
    needs: ["secrets"],
    placement: { kind: "header", name: header },
    verify: ({ headers }, { secrets }) => verifyText(headers[name], secrets),
  });
}

/** The bare secret in a header the customer chose. */
export function customHeader(): AuthMethod {
  return headCredentials({
    name: "custom-header",
    needs: ["secrets", "header"],
    placement: { kind: "header" },
    verify: ({ headers }, { secrets, header }) =>
      verifyText(header === undefined ? undefined : headers[header.toLowerCase()], secrets),
  });
}

/** `Authorization: Bearer <secret>` (RFC 6750). */
export function bearer(): AuthMethod {
  return headCredentials({
    name: "bearer",
    needs: ["secrets"],
    placement: { kind: "header", name: "Authorization", scheme: "Bearer" },
    verify: ({ headers }, { secrets }) => verifyText(afterScheme(headers, "bearer"), secrets),
  });
}

/** `Authorization: Basic <user:secret in base64>` (RFC 7617), of one account or of one of several users. */
export function basic(): AuthMethod {
  return headCredentials({
    name: "basic",
    needs: ["username", "secrets"],
    placement: { kind: "header", name: "Authorization", scheme: "Basic" },
    verify: ({ headers }, { username, secrets, users }) => {
      const encoded = afterScheme(headers, "basic");
      if (encoded === undefined) return "missing_credentials";
      const given = Buffer.from(encoded, "base64");
      if (users !== undefined) return verifyUser(given, users);
      if (username === undefined) return "wrong_credentials";
      return matchesAny(
        given,
        secrets.filter(isUsable).map((secret) => Buffer.from(`${username}:${secret}`)),
      );
    },
    loginOf: ({ headers }, { users }) =>
      users === undefined ? null : usernameIn(Buffer.from(afterScheme(headers, "basic") ?? "", "base64")),
  });
}

/** Compares the given name and secret with a user's pairs; an unknown name takes the same time. */
function verifyUser(given: Buffer, users: readonly User[]): string | null {
  return matchesOne(sha256(given), pairsOf(users).get(usernameIn(given)) ?? NOBODYS_PAIRS);
}

/** A username holds no colon (RFC 7617 §2). */
function usernameIn(given: Buffer): string {
  const end = given.indexOf(":");
  return given.subarray(0, end === -1 ? 0 : end).toString();
}

/** As many as a user has during a change of the secret, and equal to no hash of anything. */
const NOBODYS_PAIRS: readonly Uint8Array[] = [randomBytes(32), randomBytes(32)];

/** Hashed once for each configured list, which lives as long as the process. */
const hashedUsers = new WeakMap<readonly User[], ReadonlyMap<string, readonly Uint8Array[]>>();

function pairsOf(users: readonly User[]): ReadonlyMap<string, readonly Uint8Array[]> {
  const known = hashedUsers.get(users);
  if (known) return known;
  const pairs = new Map(
    users.map(({ username, secrets }) => {
      const own = secrets.filter(isUsable).map((secret) => sha256(Buffer.from(`${username}:${secret}`)));
      // Padded, so that the time does not reveal who is changing a secret.
      return [username, [...own, ...NOBODYS_PAIRS].slice(0, Math.max(own.length, NOBODYS_PAIRS.length))];
    }),
  );
  hashedUsers.set(users, pairs);
  return pairs;
}

/** The form of a signature; without `header` the configuration names the header. */
interface HmacForm {
  algorithm: "sha1" | "sha256";
  header?: string;
  encoding: "hex" | "base64";
  /** Text before the signature, such as `sha256=`. */
  prefix?: string;
}

/** A keyed hash over the body, in a header. */
export function hmac({ algorithm, header, encoding, prefix = "" }: HmacForm): AuthMethod {
  return {
    name: `hmac-${algorithm}`,
    needs: header === undefined ? ["secrets", "header"] : ["secrets"],
    placement: {
      kind: "signature",
      ...(header === undefined ? {} : { header }),
      of: `HMAC-${algorithm.toUpperCase()} of the body in ${encoding}`,
    },
    verify: ({ body, headers, method }, { secrets, header: configured }) => {
      // A GET carries its values in the query, which the signature does not cover.
      if (method === "GET") return "unsigned_query";
      const given = headers[(header ?? configured ?? "").toLowerCase()];
      if (given === undefined || given === "") return "missing_credentials";
      if (!given.startsWith(prefix)) return "wrong_credentials";
      const signature = given.slice(prefix.length);
      return matchesAny(
        bytesOf(encoding === "hex" ? signature.toLowerCase() : signature),
        secrets
          .filter(isUsable)
          .map((secret) => Buffer.from(createHmac(algorithm, secret).update(body).digest(encoding))),
      );
    },
  };
}

/** Samsara documents no limit; this one is common among receivers and tolerates clocks that are off. */
const SIGNED_WITHIN_MS = 300_000;

/** A keyed hash over version, time and body, under a key configured in base64; old ones are refused. */
export function hmacWithTime(form: {
  version: string;
  signatureHeader: string;
  timestampHeader: string;
}): AuthMethod {
  const prefix = `${form.version}=`;
  const signatureName = form.signatureHeader.toLowerCase();
  const timestampName = form.timestampHeader.toLowerCase();
  return {
    name: "hmac-sha256",
    needs: ["secrets"],
    placement: {
      kind: "signature",
      header: form.signatureHeader,
      of: "HMAC-SHA256 of version, time and body in hex",
    },
    secretProblem: (secret) =>
      keyOf(secret).length > 0
        ? null
        : "must be base64, as the vendor shows it: otherwise every message would be refused",
    verify: ({ body, headers, receivedAt }, { secrets }) => {
      const given = headers[signatureName];
      const timestamp = headers[timestampName];
      if (!given || !timestamp) return "missing_credentials";
      if (!given.startsWith(prefix) || !/^[0-9]{1,12}$/.test(timestamp)) return "wrong_credentials";
      const signed = Buffer.concat([Buffer.from(`${form.version}:${timestamp}:`), body]);
      const wrong = matchesAny(
        bytesOf(given.slice(prefix.length).toLowerCase()),
        secrets
          .flatMap(keyOf)
          .map((key) => Buffer.from(createHmac("sha256", key).update(signed).digest("hex"))),
      );
      if (wrong !== null) return wrong;
      return Math.abs(receivedAt - Number(timestamp) * 1000) <= SIGNED_WITHIN_MS ? null : "stale_signature";
    },
  };
}

/** Null unless it is strict base64: Node would decode any text to some other key. */
function keyOf(secret: string): Buffer[] {
  const key = Buffer.from(secret, "base64");
  return key.length > 0 && key.toString("base64") === secret ? [key] : [];
}

/** The secret as `?token=` in the URL, for vendors that can send nothing else. */
export function urlToken(): AuthMethod {
  return headCredentials({
    name: "url-token",
    needs: ["secrets"],
    placement: { kind: "query", name: "token" },
    verify: ({ query }, { secrets }) => {
      const given = query.token;
      if (given === undefined || given === "") return "missing_credentials";
      return matchesAny(Buffer.from(given), secrets.filter(isUsable).map(bytesOfSecret));
    },
  });
}

/** Longer than any token; more is not even searched. */
const MAX_TOKEN_CHARS = 512;

/**
 * The secret as a field of a form or of JSON, for vendors that prove themselves only within the body. It is looked for
 * without parsing the body, whose sender is not known yet, and covers nothing else in it.
 */
export function bodyToken(field: string): AuthMethod {
  const inForm = new RegExp(`(?:^|&)${field}=([^&]{1,${MAX_TOKEN_CHARS}})(?:&|$)`);
  const inJson = new RegExp(`"${field}"\\s*:\\s*("(?:[^"\\\\]|\\\\.){1,${MAX_TOKEN_CHARS}}")`);
  return {
    name: "body-token",
    needs: ["secrets"],
    placement: { kind: "body", field },
    verify: ({ body }, { secrets }) => {
      const sent = Buffer.from(body).toString();
      const isJson = /^\s*[{[]/.test(sent);
      const found = (isJson ? inJson : inForm).exec(sent.trim())?.[1];
      if (found === undefined) return "missing_credentials";
      const given = isJson ? unescaped(found) : textOfForm(found);
      return matchesAny(Buffer.from(given ?? ""), secrets.filter(isUsable).map(bytesOfSecret));
    },
    withoutSecret(body, { secrets }) {
      // One character for each byte, so that whatever else is in it stays as it was sent.
      const sent = Buffer.from(body).toString("latin1");
      const without = (given: string | null, all: string, part: string, left: string) =>
        secrets.includes(Buffer.from(given ?? "", "latin1").toString()) ? all.replace(part, left) : all;
      const rest = sent
        .replaceAll(new RegExp(inForm, "g"), (all, part: string) => without(textOfForm(part), all, part, ""))
        .replaceAll(new RegExp(inJson, "g"), (all, part: string) =>
          without(unescaped(part), all, part, '""'),
        );
      return rest === sent ? body : Buffer.from(rest, "latin1");
    },
  };
}

function textOfForm(part: string): string | null {
  return new URLSearchParams(`a=${part}`).get("a");
}

function unescaped(text: string): string | null {
  try {
    return String(JSON.parse(text));
  } catch {
    return null;
  }
}

function bytesOfSecret(secret: string): Buffer {
  return Buffer.from(secret);
}

/** The address the message comes from, for vendors that can send no secret at all. */
export function addressList(): AuthMethod {
  return headCredentials({
    name: "address-list",
    needs: ["allow"],
    placement: { kind: "address" },
    verify: ({ remoteAddress }, { allow = [] }) => {
      const address = parseAddress(remoteAddress ?? "");
      if (address === null) return "missing_credentials";
      return testOf(allow)(address) ? null : "wrong_credentials";
    },
  });
}

/** Parsed once for each configured list, which lives as long as the process. */
const parsedLists = new WeakMap<readonly string[], (address: Address) => boolean>();

function testOf(allow: readonly string[]): (address: Address) => boolean {
  const known = parsedLists.get(allow);
  if (known) return known;
  const test = withinRanges(allow);
  parsedLists.set(allow, test);
  return test;
}

function afterScheme(headers: Message["headers"], scheme: string): string | undefined {
  const [given = "", rest] = (headers.authorization ?? "").split(/ +(.*)/s);
  return given.toLowerCase() === scheme ? rest : undefined;
}

function verifyText(given: string | undefined, secrets: Credentials["secrets"]): string | null {
  if (given === undefined || given === "") return "missing_credentials";
  return matchesOne(sha256(bytesOf(given)), hashesOf(secrets));
}

/** Hashed once for each configured list, which lives as long as the process. */
const hashedLists = new WeakMap<Credentials["secrets"], readonly Uint8Array[]>();

function hashesOf(secrets: Credentials["secrets"]): readonly Uint8Array[] {
  const known = hashedLists.get(secrets);
  if (known) return known;
  const hashes = secrets.filter(isUsable).map((secret) => sha256(Buffer.from(secret)));
  hashedLists.set(secrets, hashes);
  return hashes;
}

/** With an empty secret, sending nothing would authenticate. */
function isUsable(secret: string): boolean {
  return secret !== "";
}

/** The bytes on the wire: HTTP header values reach us as one character for each byte. */
function bytesOf(header: string): Buffer {
  return Buffer.from(header, "latin1");
}

function matchesAny(given: Uint8Array, expected: readonly Uint8Array[]): string | null {
  return matchesOne(sha256(given), expected.map(sha256));
}

function matchesOne(given: Uint8Array, expected: readonly Uint8Array[]): string | null {
  // Hashes: timingSafeEqual needs equal lengths, and the length of a secret is part of the secret. All are compared, so
  // that the time does not reveal which of two matched.
  let matches = 0;
  for (const each of expected) matches += Number(timingSafeEqual(given, each));
  return matches > 0 ? null : "wrong_credentials";
}

function sha256(bytes: Uint8Array): Buffer {
  return hash("sha256", bytes, "buffer");
}
