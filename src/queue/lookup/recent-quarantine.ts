/** The newest quarantined messages of a scope, as the status lists them: a body, which may have megabytes, is read once. */

import type { Redis } from "ioredis";
import { LRUCache } from "lru-cache";
import { decodeQuarantined } from "../ledger/quarantine.ts";
import { keyOf, SCOPE_KEYS } from "../redis/keys.ts";
import { fieldOf } from "../redis/stream.ts";

export interface QuarantinedBriefly {
  id: string;
  source: string;
  reason: string;
  /** UTC milliseconds since 1970. */
  receivedAt: number;
  /** The first of its problems. */
  problem: string;
}

/** With where its share says that it is still there; null for one of an earlier version, which has no share. */
interface Known {
  brief: QuarantinedBriefly;
  share: { key: string; member: string } | null;
}

const MAX_SCOPES = 200;

/** The newest first, at most `limit`. */
export function createRecentQuarantine(
  redis: Redis,
): (scope: string, limit: number) => Promise<QuarantinedBriefly[]> {
  const remembered = new LRUCache<string, Known[]>({ max: MAX_SCOPES });

  async function read(scope: string, from: string, to: string, limit: number): Promise<Known[]> {
    const key = keyOf(scope, SCOPE_KEYS.quarantine);
    const entries = await redis.xrevrangeBuffer(key, from, to, "COUNT", limit);
    return entries.map(([id, fields]) => ({
      brief: brief(id, fields),
      share: shareOf(scope, id, fields),
    }));
  }

  async function stillThere(before: readonly Known[]): Promise<Known[]> {
    const scores = await Promise.all(
      before.map(({ share }) => (share === null ? null : redis.zscore(share.key, share.member))),
    );
    return before.filter((_, i) => scores[i] !== null);
  }

  return async (scope, limit) => {
    const before = remembered.get(scope) ?? [];
    const [newest] = before;
    const added = await read(scope, "+", newest ? `(${newest.brief.id}` : "-", limit);
    const kept = before.slice(0, limit - added.length);
    const found = [...added, ...(await stillThere(kept))];
    if (found.length < added.length + kept.length) {
      // Some have gone, and those behind them move up.
      const last = found.at(-1);
      found.push(...(await read(scope, last ? `(${last.brief.id}` : "+", "-", limit - found.length)));
    }
    remembered.set(scope, found);
    return found.map((each) => each.brief);
  };
}

function brief(id: Buffer, fields: readonly Buffer[]): QuarantinedBriefly {
  const { source, reason, receivedAt, problems } = decodeQuarantined(id, fields);
  return { id: id.toString(), source, reason, receivedAt, problem: problems[0] ?? "" };
}

/** The end of the entry's path in the tree of shares, where quarantine-shares.lua keeps `id:bytes`. */
function shareOf(scope: string, id: Buffer, fields: readonly Buffer[]): Known["share"] {
  const share = fieldOf(fields, "share")?.toString();
  if (share === undefined) return null;
  const levels = share.split("/").filter((level) => level !== "");
  const path = `/${[...levels, "/"].join("/")}`;
  return { key: keyOf(scope, SCOPE_KEYS.share, path), member: `${id}:${fieldOf(fields, "n")}` };
}
