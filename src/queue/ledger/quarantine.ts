/** Stores raw messages that were authenticated but could not be decoded, so that they can be decoded after a fix. */

import type { Redis } from "ioredis";
import type { StoreEntry } from "../../ingest/store.ts";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import { loadScript, namedArgs, runScript } from "../redis/script.ts";
import { fieldOf } from "../redis/stream.ts";
import { inOneLine } from "../store/told.ts";

const ADD = loadScript("quarantine-add");

/** Names that could carry credentials which ingest does not know by value: Basic's text, a signature, a proxy's login. */
const SECRET_HEADER = /auth|cookie|token|secret|key|signature|password|session/i;
const SECRET_PARAMETER = /auth|token|secret|key|signature|password/i;

type Malformed = Extract<StoreEntry, { kind: "malformed" }>;

/** A quarantined message. */
export interface QuarantinedMessage {
  id: string;
  source: string;
  reason: string;
  /** UTC milliseconds since 1970. */
  receivedAt: number;
  problems: string[];
  message: Malformed["message"];
}

export type Quarantine = ReturnType<typeof createQuarantine>;

export interface QuarantineOptions {
  redis: Redis;
  /** Budget of one scope's quarantine. */
  bytes: number;
  /** The oldest messages of the sender that holds most made room for a new one. */
  trimmed(event: { scope: string; count: number }): void;
}

export function createQuarantine({ redis, bytes, trimmed }: QuarantineOptions) {
  async function add(scope: string, source: string, { message, problems, reason }: Malformed): Promise<void> {
    const envelope = {
      method: message.method,
      topic: message.topic,
      retained: message.retained,
      resent: message.resent,
      login: message.login,
      headers: without(message.headers, SECRET_HEADER),
      query: without(message.query, SECRET_PARAMETER),
    };
    const args = {
      source,
      reason,
      receivedAt: message.receivedAt,
      problems: JSON.stringify(problems),
      problem: inOneLine(problems[0] ?? ""),
      envelope: JSON.stringify(envelope),
      share: shareOf(source, message),
      // JSON has no infinity.
      budget: Math.min(bytes, Number.MAX_SAFE_INTEGER),
    };
    const [gone] = await runScript(redis, ADD, [scope], [namedArgs(args), Buffer.from(message.body)]);
    const count = Number(gone);
    if (count > 0) trimmed({ scope, count });
  }

  async function find(scope: string, id: string): Promise<QuarantinedMessage | null> {
    const [entry] = await redis.xrangeBuffer(keyOf(scope, SCOPE_KEYS.quarantine), id, id);
    return entry ? decodeQuarantined(...entry) : null;
  }

  return { add, find };
}

export function decodeQuarantined(id: Buffer, fields: readonly Buffer[]): QuarantinedMessage {
  const field = (name: string) => fieldOf(fields, name);
  const receivedAt = Number(field("receivedAt"));
  return {
    id: id.toString(),
    source: String(field("source")),
    reason: String(field("reason")),
    receivedAt,
    problems: JSON.parse(String(field("problems"))),
    message: {
      ...JSON.parse(String(field("envelope"))),
      receivedAt,
      body: new Uint8Array(field("body") ?? Buffer.alloc(0)),
    },
  };
}

function without(record: Readonly<Record<string, string>>, secret: RegExp): Record<string, string> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => !secret.test(name)));
}

/** Beyond these a topic says nothing more about who sent it; the keys of a path cost memory too. */
const MAX_LEVELS = 8;
const MAX_LEVEL_LENGTH = 64;

/** The path of the message's share (see quarantine-shares.lua), its levels joined by slashes. */
function shareOf(
  source: string,
  { login = "", topic = "" }: { login?: string | undefined; topic?: string | undefined },
): string {
  const levels = [login.replaceAll("/", "_"), ...topic.split("/", MAX_LEVELS)].filter(
    (level) => level !== "",
  );
  return [source, ...levels.map((level) => level.slice(0, MAX_LEVEL_LENGTH))].join("/");
}
