/** Keeps the tenants that came through the API as this process knows them: read, opened, and read again on every change. */

import type { StoredTenants, TenantStore } from "../queue/redis/tenant-store.ts";
import { isRecord } from "../untrusted.ts";
import type { Seal } from "./seal.ts";
import { openSecrets } from "./secrets.ts";

/** One tenant's document with its secrets. */
export interface TenantDocument {
  /** In the form of a file of `tenants.d/`. */
  document: unknown;
  /** Of the change that wrote it: no other tenant and no other version has the same. */
  revision: number;
  /** Nothing is taken in for it; what waits is still sent. */
  isPaused: boolean;
}

/** Why a document cannot be used. */
export interface ClosedDocument {
  revision: number;
  why: string;
}

export interface TenantDocuments {
  /** By name; those that cannot be opened are left out. The same map until something changes. */
  current(): ReadonlyMap<string, TenantDocument>;
  closed(): ReadonlyMap<string, ClosedDocument>;
  /** Resolves with what Redis holds now, and rejects while it does not answer. */
  refresh(): Promise<Snapshot>;
  /** Called after `current` has become another map. Returns what ends that. */
  changed(listener: () => void): () => void;
  stop(): void;
}

/** All documents as of one revision. */
export interface Snapshot {
  revision: number;
  documents: ReadonlyMap<string, TenantDocument>;
  closed: ReadonlyMap<string, ClosedDocument>;
  /** Sealed with a key that is going. */
  outdated: readonly string[];
}

export interface TenantDocumentsDeps {
  store: Pick<TenantStore, "load" | "watch">;
  seal: Seal;
  failed(error: unknown): void;
}

const NOTHING: Snapshot = { revision: -1, documents: new Map(), closed: new Map(), outdated: [] };

/** What a document's text in Redis holds. */
export function textOf(sealed: unknown, isPaused: boolean): string {
  return JSON.stringify({ document: sealed, ...(isPaused && { isPaused }) });
}

export function createTenantDocuments({ store, seal, failed }: TenantDocumentsDeps): TenantDocuments {
  const listeners = new Set<() => void>();
  let known = NOTHING;
  let reading: Promise<Snapshot> | null = null;

  async function read(): Promise<Snapshot> {
    const stored = await store.load();
    if (isEmptied(stored)) {
      failed(
        new Error("Redis has lost the tenants that came through the API: this process goes on with them."),
      );
      return known;
    }
    if (stored.revision === known.revision) return known;
    const isFirstOfNone = known === NOTHING && stored.texts.size === 0;
    known = openAll(stored, seal);
    if (isFirstOfNone) return known;
    for (const [name, { why }] of known.closed) failed(new Error(`Tenant ${name} cannot be used: ${why}`));
    for (const listener of listeners) listener();
    return known;
  }

  /** A Redis that was emptied must not take every tenant away from the processes that still know them. */
  function isEmptied({ revision, texts }: StoredTenants): boolean {
    return revision === 0 && texts.size === 0 && known.documents.size > 0;
  }

  function refresh(): Promise<Snapshot> {
    reading ??= read().finally(() => {
      reading = null;
    });
    return reading;
  }

  /** A reading that is under way may have missed the change, so it is looked at once more. */
  async function catchUp(revision: number): Promise<void> {
    for (let i = 0; i < 2 && revision !== known.revision; i++) await refresh();
  }

  let lost = "";
  const watching = store.watch((revision) => {
    if (revision === known.revision) return;
    catchUp(revision).then(
      () => {
        lost = "";
      },
      // The next look comes in a second; the connection's own events tell that Redis is away.
      (error: unknown) => {
        const text = String(error);
        if (text !== lost) failed(error);
        lost = text;
      },
    );
  });

  return {
    current: () => known.documents,
    closed: () => known.closed,
    refresh,
    changed(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    stop: watching.stop,
  };
}

function openAll({ revision, texts }: StoredTenants, seal: Seal): Snapshot {
  const documents = new Map<string, TenantDocument>();
  const closed = new Map<string, ClosedDocument>();
  const outdated: string[] = [];
  for (const [name, { revision: own, text }] of [...texts].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const stored: unknown = JSON.parse(text);
    if (!isRecord(stored)) continue;
    const opened = openSecrets(name, stored.document, seal);
    if (opened.kind === "closed") {
      closed.set(name, { revision: own, why: WHY[opened.why](opened.pointer) });
      continue;
    }
    documents.set(name, { document: opened.document, revision: own, isPaused: stored.isPaused === true });
    if (!opened.isCurrent) outdated.push(name);
  }
  return { revision, documents, closed, outdated };
}

const WHY = {
  unknown_key: (pointer: string) =>
    `the secret at ${pointer} is sealed with a key that is not in WAYPOST_SEAL_KEY: set that key, after the new one.`,
  broken: (pointer: string) =>
    `the secret at ${pointer} cannot be opened: it was changed in Redis. Replace the tenant's document.`,
};
