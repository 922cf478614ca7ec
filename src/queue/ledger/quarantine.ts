/** Keeps raw messages that were proven but could not be decoded, so that they can be decoded again after a fix. */

import type { Redis } from "ioredis";
import type { StoreEntry } from "../../ingest/store.ts";
import { keys } from "../redis/keys.ts";
import { run, script } from "../redis/lua.ts";
import { SHARES, shareOf } from "./quarantine-shares.ts";

/**
 * ARGV: source, reason, receivedAt, problems, envelope, body, byte budget, share. Counted and stored in one step. The sweep
 * keeps the budget too, but only once a second, in which one sender could write gigabytes. Returns how many made room.
 */
const QUARANTINE = script(`${SHARES}
local source, reason, share = ARGV[1], ARGV[2], ARGV[8]
local levels = levelsOf(share)
-- Beside the texts, the entry and its place in the tree take memory too.
local size = #ARGV[4] + #ARGV[5] + #ARGV[6] + #share + 100 + 60 * #levels
-- A bound for a large message among small ones.
local gone = makeRoom(tonumber(ARGV[7]), levels, size, 1000)
local id = redis.call('XADD', p .. ':quarantine', '*', 'source', source, 'reason', reason, 'receivedAt', ARGV[3],
  'problems', ARGV[4], 'envelope', ARGV[5], 'body', ARGV[6], 'n', size, 'share', share)
putIn(levels, id, size)
count(source, 'messages', 1)
count(source, 'malformed', 1)
count(source, 'malformed:' .. reason, 1)
redis.call('HSET', p .. ':n:' .. source, 'lastMessageAt', ARGV[3])
writeCounts()
return { gone }
`);

/** Names that could carry a proof which ingest does not know by its value: Basic's text, a signature, a proxy's login. */
const SECRET_HEADER = /auth|cookie|token|secret|key|signature|password|session/i;
const SECRET_PARAMETER = /auth|token|secret|key|signature|password/i;

type Malformed = Extract<StoreEntry, { kind: "malformed" }>;

/** A quarantined message, as listed. */
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
  /** What may lie in one scope's quarantine. */
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
    const [gone] = await run(redis, QUARANTINE, scope, [
      source,
      reason,
      message.receivedAt,
      JSON.stringify(problems),
      JSON.stringify(envelope),
      Buffer.from(message.body),
      // Lua reads no infinity.
      Number.isFinite(bytes) ? bytes : Number.MAX_SAFE_INTEGER,
      shareOf(source, message),
    ]);
    const count = Number(gone);
    if (count > 0) trimmed({ scope, count });
  }

  /** The newest first. */
  async function list(scope: string, limit: number): Promise<QuarantinedMessage[]> {
    const entries = await redis.xrevrangeBuffer(keys.quarantine(scope), "+", "-", "COUNT", limit);
    return entries.map(([id, fields]) => toQuarantined(id, fields));
  }

  async function find(scope: string, id: string): Promise<QuarantinedMessage | null> {
    const [entry] = await redis.xrangeBuffer(keys.quarantine(scope), id, id);
    return entry ? toQuarantined(...entry) : null;
  }

  return { add, list, find };
}

export function toQuarantined(id: Buffer, fields: readonly Buffer[]): QuarantinedMessage {
  // Names stand at even places; a value may read like one of them.
  const field = (name: string) =>
    fields[fields.findIndex((each, i) => i % 2 === 0 && each.toString() === name) + 1];
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
