/** The newest quarantined messages of a scope, as the status lists them: a body, which may have megabytes, is read once. */

import type { Redis } from "ioredis";
import type { QueueStatus } from "../../status/queue.ts";
import { iso } from "../../time.ts";
import { decodeQuarantined } from "../ledger/quarantine.ts";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import { fieldOf } from "../redis/stream.ts";

export interface RecentQuarantined {
  /** When it was received, UTC milliseconds since 1970. */
  at: number;
  entry: QueueStatus["quarantine"]["recent"][number];
  /** Where its share says that it is still there; null for one of an earlier version, which has no share. */
  share: { key: string; member: string } | null;
}

/** The newest first, at most `limit`. `before`: what the last call gave for the scope; of it only the shares are asked. */
export async function recentQuarantined(
  redis: Redis,
  scope: string,
  limit: number,
  before: readonly RecentQuarantined[],
): Promise<RecentQuarantined[]> {
  async function read(from: string, to: string, most: number): Promise<RecentQuarantined[]> {
    const key = keyOf(scope, SCOPE_KEYS.quarantine);
    const entries = await redis.xrevrangeBuffer(key, from, to, "COUNT", most);
    return entries.map(([id, fields]) => decoded(scope, id, fields));
  }

  const [newest] = before;
  const added = await read("+", newest ? `(${newest.entry.id}` : "-", limit);
  const kept = before.slice(0, limit - added.length);
  const scores = await Promise.all(
    kept.map(({ share }) => (share === null ? null : redis.zscore(share.key, share.member))),
  );
  const firstGone = scores.indexOf(null);
  if (firstGone === -1) return [...added, ...kept];
  const found = [...added, ...kept.slice(0, firstGone)];
  const last = found.at(-1);
  return [...found, ...(await read(last ? `(${last.entry.id}` : "+", "-", limit - found.length))];
}

function decoded(scope: string, id: Buffer, fields: readonly Buffer[]): RecentQuarantined {
  const message = decodeQuarantined(id, fields);
  const { source, reason, receivedAt, problems } = message;
  return {
    at: receivedAt,
    entry: { id: message.id, at: iso(receivedAt), source, reason, problem: problems[0] ?? "" },
    share: shareIn(scope, id, fields),
  };
}

/** The end of its path in the tree of shares, where quarantine-shares.lua keeps `id:bytes`. */
function shareIn(scope: string, id: Buffer, fields: readonly Buffer[]): RecentQuarantined["share"] {
  const share = fieldOf(fields, "share");
  if (share === undefined) return null;
  return { key: keyOf(scope, SCOPE_KEYS.share, `/${share}//`), member: `${id}:${fieldOf(fields, "n")}` };
}
