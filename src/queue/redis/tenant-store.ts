/** Stores the tenants that came through the API, and tells every process of a change within a second. */

import type { Redis } from "ioredis";
import { keyOf, TENANT_KEYS, tenantPrefix } from "./keys.ts";
import { loadScript, namedArgs, runScript } from "./script.ts";

const CHANGE = loadScript("tenant-change");

/** A notification may be missed, when a connection was lost just then. */
const LOOK_EVERY_MS = 1000;
/** As long as a client may still repeat a request whose answer it missed. */
const ANSWERS_FOR_MS = 86_400_000;
/** 20 MB of the largest answers, and more tenants than anybody adds in a day. */
const MAX_ANSWERS = 10_000;

/** All documents as of one revision. */
export interface StoredTenants {
  revision: number;
  /** By name, each with the revision that wrote it. */
  texts: ReadonlyMap<string, { revision: number; text: string }>;
}

export interface TenantChange {
  /** The revision the change was worked out from: another change in between makes it fail. */
  revision: number;
  /** Null: the document goes. */
  texts: ReadonlyMap<string, string | null>;
  /** What is answered when the same request comes again. */
  answer?: { request: string; text: string } | undefined;
}

export interface TenantStore {
  /** Rejects while Redis does not answer. */
  load(): Promise<StoredTenants>;
  /** The new revision; null where another change came first. */
  change(change: TenantChange): Promise<number | null>;
  /** How a request was answered before; null where it was not, or longer than a day ago. */
  answerTo(request: string): Promise<string | null>;
  /** Calls with the revision whenever it may have changed, also in another process. */
  watch(mayHaveChanged: (revision: number) => void): { stop(): void };
}

export function createTenantStore(redis: Redis, prefix: string): TenantStore {
  const key = (pattern: (typeof TENANT_KEYS)[keyof typeof TENANT_KEYS]) =>
    keyOf(tenantPrefix(prefix), pattern);

  return {
    async load() {
      const [revision, documents] = await Promise.all([
        redis.get(key(TENANT_KEYS.revision)),
        redis.hgetall(key(TENANT_KEYS.documents)),
      ]);
      // Asked for together but not at once: a document of a later revision only makes the next look come sooner.
      return { revision: Number(revision ?? 0), texts: textsIn(documents) };
    },
    async change({ revision, texts, answer }) {
      const changes = [...texts].map(([name, text]) => ({ name, text }));
      const args = namedArgs({
        ...{ revision, changes, forMs: ANSWERS_FOR_MS, most: MAX_ANSWERS },
        ...(answer && { request: answer.request, answer: answer.text }),
      });
      const { documents, revision: number, answers, answeredAt, changed } = TENANT_KEYS;
      const [own] = await runScript(
        redis,
        CHANGE,
        [documents, number, answers, answeredAt, changed].map(key),
        [args],
      );
      return Number(own) === 0 ? null : Number(own);
    },
    async answerTo(request) {
      const at = await redis.zscore(key(TENANT_KEYS.answeredAt), request);
      if (at === null || Date.now() - Number(at) > ANSWERS_FOR_MS) return null;
      return redis.hget(key(TENANT_KEYS.answers), request);
    },
    watch: (mayHaveChanged) => watch(redis, { prefix, mayHaveChanged }),
  };
}

function watch(
  redis: Redis,
  { prefix, mayHaveChanged }: { prefix: string; mayHaveChanged(revision: number): void },
): { stop(): void } {
  const channel = keyOf(tenantPrefix(prefix), TENANT_KEYS.changed);
  const revision = keyOf(tenantPrefix(prefix), TENANT_KEYS.revision);
  // A connection that listens can do nothing else. It subscribes again by itself after every reconnect.
  const listening = redis.duplicate({ enableOfflineQueue: true, maxRetriesPerRequest: null });
  // The other connections tell that Redis is away; until it is back the looks below fail, too.
  listening.on("error", () => {});
  listening.subscribe(channel).catch(() => {});
  listening.on("message", (_channel, text) => mayHaveChanged(Number(text)));
  const look = () => {
    if (redis.status !== "ready") return;
    redis.get(revision).then(
      (text) => mayHaveChanged(Number(text ?? 0)),
      () => {},
    );
  };
  const timer = setInterval(look, LOOK_EVERY_MS);
  return {
    stop() {
      clearInterval(timer);
      listening.disconnect();
    },
  };
}

/** `revision text`, as the script writes it. */
function textsIn(documents: Readonly<Record<string, string>>): StoredTenants["texts"] {
  return new Map(
    Object.entries(documents).map(([name, value]) => {
      const space = value.indexOf(" ");
      return [name, { revision: Number(value.slice(0, space)), text: value.slice(space + 1) }];
    }),
  );
}
