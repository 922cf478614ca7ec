/** Changes tenants that came through the API: each change is checked as part of the whole configuration, and written only if nothing changed meanwhile. */

import { createHash } from "node:crypto";
import type { TenantStore } from "../queue/redis/tenant-store.ts";
import { type Snapshot, type TenantDocument, type TenantDocuments, textOf } from "./documents.ts";
import type { Seal } from "./seal.ts";
import {
  type DocumentProblem,
  fillIn,
  type GeneratedSecret,
  type Hide,
  hasSecrets,
  type Path,
  pointerOf,
  sealSecrets,
} from "./secrets.ts";

/** What is changed, and on which condition. */
export type Change =
  | { kind: "create"; document: unknown }
  /** `revision`: what the caller has seen; null: whatever is there. */
  | { kind: "replace"; document: unknown; revision: number | null }
  | { kind: "pause" | "resume"; revision: number | null }
  | { kind: "delete"; revision: number | null };

export type Changed =
  | { kind: "done"; tenant: TenantDocument; generated: GeneratedSecret[]; isRepeated: boolean }
  | { kind: "deleted"; isRepeated: boolean }
  | { kind: "wrong"; problems: DocumentProblem[] }
  /** There is one of that name: here, or in a file. */
  | { kind: "exists"; where: "api" | "file" }
  | { kind: "missing" }
  | { kind: "of_file" }
  /** The document is another one than the caller has seen. */
  | { kind: "stale"; revision: number }
  | { kind: "closed"; why: string }
  | { kind: "no_key" }
  /** The same key came with another request before. */
  | { kind: "other_request" }
  /** Others changed tenants all the time. */
  | { kind: "busy" };

/** What is wrong with the configuration: of a tenant of the API with its name and the steps to the setting. */
interface ConfigurationProblem {
  path: string;
  message: string;
  tenant?: string;
  steps?: Path;
}

/** All tenants of the API, as the configuration is to have them. */
export type Validate = (
  documents: ReadonlyMap<string, Pick<TenantDocument, "document" | "isPaused">>,
) => { kind: "right" } | { kind: "wrong"; problems: readonly ConfigurationProblem[] };

export interface ChangesDeps {
  store: Pick<TenantStore, "change" | "answerTo">;
  documents: Pick<TenantDocuments, "refresh">;
  seal: Seal;
  hide: Hide;
  validate: Validate;
  /** Whether a file of the configuration has a tenant of that name. */
  isOfFile(name: string): boolean;
}

export interface TenantChanges {
  /** `key`: the request's Idempotency-Key, and whose it is. Rejects while Redis does not answer. */
  apply(name: string, change: Change, key?: string): Promise<Changed>;
  /** Seals with the first key what is sealed with another; says how many documents. */
  reseal(): Promise<{ kind: "done"; resealed: number } | { kind: "no_key" } | { kind: "busy" }>;
}

/** Attempts against other changes; each means that another one succeeded. */
const MAX_TRIES = 10;

export function createTenantChanges(deps: ChangesDeps): TenantChanges {
  const { store, documents, seal } = deps;

  async function apply(name: string, change: Change, key?: string): Promise<Changed> {
    const request = key === undefined ? null : requestOf(name, change, key);
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const answered = request && (await answerTo(request));
      if (answered) return answered;
      const snapshot = await documents.refresh();
      const decision = decide(name, change, { snapshot, deps });
      if (decision.kind === "answer") return decision.answer;
      const { text, next, generated } = decision;
      const answer = request && { request: request.key, text: remembered(request, generated, decision) };
      const revision = await store.change({
        revision: snapshot.revision,
        texts: new Map([[name, text]]),
        ...(answer && { answer }),
      });
      if (revision === null) continue;
      const { documents: now } = await documents.refresh();
      if (next === null) return { kind: "deleted", isRepeated: false };
      // It may have been changed again already: the answer tells of this change.
      const tenant = now.get(name)?.revision === revision ? now.get(name) : undefined;
      return { kind: "done", tenant: tenant ?? { ...next, revision }, generated, isRepeated: false };
    }
    return { kind: "busy" };
  }

  function remembered({ key, print }: Request, generated: GeneratedSecret[], { next }: Written): string {
    const text = JSON.stringify({ print, generated, next });
    return seal.canSeal ? seal.seal(text, `answer ${key}`) : JSON.stringify({ print });
  }

  /** Null: the request comes for the first time. */
  async function answerTo({ key, print, isDelete }: Request): Promise<Changed | null> {
    const text = await store.answerTo(key);
    if (text === null) return null;
    const opened = seal.open(text, `answer ${key}`);
    // Its key has gone since: what was answered cannot be told any more, and must not be done twice.
    if (opened.kind === "closed") return { kind: "other_request" };
    const answer: { print: string; generated: GeneratedSecret[]; next: TenantDocument | null } = JSON.parse(
      opened.secret,
    );
    if (answer.print !== print) return { kind: "other_request" };
    if (isDelete || answer.next === null) return { kind: "deleted", isRepeated: true };
    return { kind: "done", tenant: answer.next, generated: answer.generated, isRepeated: true };
  }

  async function reseal() {
    if (!seal.canSeal) return { kind: "no_key" } as const;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const { revision, outdated, documents: all } = await documents.refresh();
      if (outdated.length === 0) return { kind: "done", resealed: 0 } as const;
      const texts = new Map(
        outdated.flatMap((name): [string, string][] => {
          const tenant = all.get(name);
          return tenant ? [[name, textOf(sealSecrets(name, tenant.document, deps), tenant.isPaused)]] : [];
        }),
      );
      if ((await store.change({ revision, texts })) === null) continue;
      await documents.refresh();
      return { kind: "done", resealed: texts.size } as const;
    }
    return { kind: "busy" } as const;
  }

  return { apply, reseal };
}

interface Request {
  /** A fingerprint: the caller's key is a text of its choice. */
  key: string;
  /** Of everything else that the request says. */
  print: string;
  isDelete: boolean;
}

function requestOf(name: string, change: Change, key: string): Request {
  return {
    key: printOf(key),
    print: printOf(JSON.stringify([name, change])),
    isDelete: change.kind === "delete",
  };
}

function printOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}

/** What is to be written: `text` null where the document goes. */
interface Written {
  kind: "write";
  text: string | null;
  next: TenantDocument | null;
  generated: GeneratedSecret[];
}
type Decision = Written | { kind: "answer"; answer: Changed };

/** Pure, but for secrets that are made and nonces that are drawn. */
function decide(
  name: string,
  change: Change,
  { snapshot, deps }: { snapshot: Snapshot; deps: ChangesDeps },
): Decision {
  const before = snapshot.documents.get(name);
  const refusal = refusalOf(name, change, snapshot, deps);
  if (refusal) return { kind: "answer", answer: refusal };
  switch (change.kind) {
    case "delete":
      return { kind: "write", text: null, next: null, generated: [] };
    case "pause":
    case "resume":
      return before
        ? paused(name, before, { isPaused: change.kind === "pause", deps })
        : { kind: "answer", answer: { kind: "missing" } };
    case "create":
    case "replace":
      return checked(name, change.document, { before, snapshot, deps });
    default:
      return change satisfies never;
  }
}

function paused(
  name: string,
  before: TenantDocument,
  { isPaused, deps }: { isPaused: boolean; deps: ChangesDeps },
): Decision {
  const generated: GeneratedSecret[] = [];
  if (before.isPaused !== isPaused) return written(name, { ...before, isPaused }, generated, deps);
  return { kind: "answer", answer: { kind: "done", tenant: before, generated, isRepeated: false } };
}

function checked(
  name: string,
  given: unknown,
  { before, snapshot, deps }: { before: TenantDocument | undefined; snapshot: Snapshot; deps: ChangesDeps },
): Decision {
  const { document, generated, problems } = fillIn(given, before?.document, deps.hide);
  if (problems.length > 0) return { kind: "answer", answer: { kind: "wrong", problems } };
  const next = { document, isPaused: before?.isPaused ?? false, revision: 0 };
  // Of two documents that meet, the last one is told so.
  const others = [...snapshot.documents].filter(([other]) => other !== name);
  const verdict = deps.validate(new Map([...others, [name, next]]));
  const wrong = verdict.kind === "wrong" ? ownProblems(name, verdict.problems) : [];
  if (wrong.length > 0) return { kind: "answer", answer: { kind: "wrong", problems: wrong } };
  if (hasSecrets(document, deps.hide) && !deps.seal.canSeal)
    return { kind: "answer", answer: { kind: "no_key" } };
  return written(name, next, generated, deps);
}

function written(
  name: string,
  next: TenantDocument,
  generated: GeneratedSecret[],
  { hide, seal }: ChangesDeps,
): Decision {
  if (!seal.canSeal && hasSecrets(next.document, hide)) return { kind: "answer", answer: { kind: "no_key" } };
  const sealed = sealSecrets(name, next.document, { hide, seal });
  return { kind: "write", text: textOf(sealed, next.isPaused), next, generated };
}

/** Why the change cannot be made to what is there; null where it can. */
function refusalOf(
  name: string,
  change: Change,
  { documents, closed }: Snapshot,
  { isOfFile }: ChangesDeps,
): Changed | null {
  const before = documents.get(name) ?? closed.get(name);
  if (change.kind === "create") {
    if (before) return { kind: "exists", where: "api" };
    return isOfFile(name) ? { kind: "exists", where: "file" } : null;
  }
  if (!before) return isOfFile(name) ? { kind: "of_file" } : { kind: "missing" };
  if (change.revision !== null && change.revision !== before.revision)
    return { kind: "stale", revision: before.revision };
  const unusable = closed.get(name);
  // A document that cannot be opened may be replaced or deleted.
  if (unusable && (change.kind === "pause" || change.kind === "resume"))
    return { kind: "closed", why: unusable.why };
  return null;
}

/** Those of this tenant's document, and of the files, without which it cannot be checked. Other tenants are as they were. */
function ownProblems(name: string, problems: readonly ConfigurationProblem[]): DocumentProblem[] {
  return problems
    .filter(({ tenant = name }) => tenant === name)
    .map(({ tenant, path, steps = [], message }) =>
      tenant === undefined
        ? {
            pointer: "",
            detail: `cannot be checked while the files of the gateway are wrong: ${path} ${message}`,
          }
        : { pointer: pointerOf(steps), detail: message },
    );
}
