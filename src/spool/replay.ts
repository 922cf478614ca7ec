/** Replays what waits in the spool through ingest: each source in order, no source waits for another, nothing is sent twice. */

import { asAuthenticated } from "../adapters/kit/adapter.ts";
import type { Ingest } from "../ingest/ingest.ts";
import type { Source } from "../ingest/source.ts";
import type { SpoolDirectory, SpoolFile } from "./directory.ts";
import type { SpoolEvents } from "./events.ts";
import { openSpoolMarks, readSpoolFile } from "./file.ts";
import type { SpoolContents, SpoolRecord } from "./record.ts";

export interface SpoolReplay {
  /** Since the start of this process. */
  replayed(): number;
  /** Ends after the message under way. */
  stop(): Promise<void>;
}

export interface ReplayDeps {
  directory: SpoolDirectory;
  ingest: Ingest;
  sources: ReadonlyMap<string, Source>;
  isStorageBack(): Promise<boolean>;
  /** Checked before every message, and before a file is changed. */
  isOurs(): Promise<boolean>;
  events: Pick<SpoolEvents, "spoolReplayed" | "spoolProblem">;
}

const EVERY_MS = 1000;
/** A source whose buffer is full is tried again after this; for each try a file is read. */
const STUCK_MS = 2000;

/** `stuck`: this source cannot go on now. `away`: no source can. */
type RecordResult = "done" | "stuck" | "away";

export function startReplay(deps: ReplayDeps): SpoolReplay {
  const { directory, isStorageBack, isOurs, events } = deps;
  const stuckUntil = new Map<string, number>();
  let replayed = 0;
  let isStopped = false;
  let timer = setTimeout(() => void next(), EVERY_MS);
  let underWay: Promise<void> = Promise.resolve();
  const replayFile = createFileReplay(deps, {
    mayGoOn: async () => !isStopped && (await isOurs()),
    onReplayed: () => void replayed++,
    onStuck: (source) => void stuckUntil.set(source, performance.now() + STUCK_MS),
  });

  async function next(): Promise<void> {
    underWay = replayAll().catch((error: unknown) => events.spoolProblem({ what: "read", error }));
    await underWay;
    if (!isStopped) timer = setTimeout(() => void next(), EVERY_MS);
  }

  async function replayAll(): Promise<void> {
    if (directory.files().length === 0 || !(await isStorageBack())) return;
    const now = performance.now();
    // For the whole round: a source that goes on in its third file while its first waits would be out of order.
    const stuck = new Set([...stuckUntil].filter(([, until]) => until > now).map(([source]) => source));
    for (const file of [...directory.files()]) {
      if (isStopped || !(await isOurs())) return;
      if (isWaitingFor(file, stuck)) continue;
      if ((await replayFile(file, stuck)) === "away") return;
    }
  }

  return {
    replayed: () => replayed,
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await underWay;
    },
  };
}

interface Round {
  /** False once the replay is stopped or the directory is another process's. */
  mayGoOn(): Promise<boolean>;
  onReplayed(): void;
  onStuck(source: string): void;
}

type ReplayFile = (file: SpoolFile, stuck: Set<string>) => Promise<"through" | "away">;

/** Replays one file, adding to `stuck` the sources that cannot go on. */
function createFileReplay(deps: ReplayDeps, { mayGoOn, onReplayed, onStuck }: Round): ReplayFile {
  const { directory, isOurs, events } = deps;
  const replayRecord = createRecordReplay(deps);

  /** A file that cannot be read, written or removed now must not make the other files wait. */
  async function orReport<T>(
    what: "read" | "write",
    { path }: SpoolFile,
    step: () => Promise<T>,
  ): Promise<T | null> {
    try {
      return await step();
    } catch (error) {
      events.spoolProblem({ what, detail: `${path} stays and is tried again.`, error });
      return null;
    }
  }

  async function replayRecords(file: SpoolFile, records: readonly SpoolRecord[], stuck: Set<string>) {
    const marks = openSpoolMarks(file.path);
    const done: SpoolRecord[] = [];
    const waiting: SpoolRecord[] = [];
    let messages = 0;
    let isAway = false;
    try {
      for (const record of records) {
        const { at, source, isDone } = record;
        if (isDone || file.unmarked.has(at)) {
          done.push(record);
          continue;
        }
        isAway ||= !(await mayGoOn());
        const result: RecordResult = isAway
          ? "away"
          : stuck.has(source)
            ? "stuck"
            : await replayRecord(record);
        if (result === "done") {
          done.push(record);
          messages++;
          onReplayed();
          await marks.markDone(record).catch((error: unknown) => {
            file.unmarked.add(at);
            events.spoolProblem({ what: "write", detail: `${file.path}: done, but not marked so.`, error });
          });
          continue;
        }
        waiting.push(record);
        if (result === "away") isAway = true;
        else if (!stuck.has(source)) {
          stuck.add(source);
          onStuck(source);
        }
      }
    } finally {
      await orReport("write", file, marks.close);
    }
    return { done, waiting, messages, isAway };
  }

  async function end(file: SpoolFile, done: SpoolRecord[], contents: SpoolContents, messages: number) {
    const { tornBytes, damagedBytes } = contents;
    if (damagedBytes === 0) {
      await directory.remove(file);
      events.spoolReplayed({ messages, tornBytes });
      return;
    }
    const path = await directory.keepDamaged(file, done);
    events.spoolReplayed({ messages, tornBytes });
    events.spoolProblem({
      what: "damaged",
      detail: `${damagedBytes} bytes of ${file.path} cannot be read; all else in it is replayed. They are in ${path}, which counts towards spool.maxBytes: check the disk, and remove the file when it is no longer needed.`,
    });
  }

  return async (file, stuck) => {
    await orReport("write", file, () => directory.finish(file));
    const contents = await orReport("read", file, () => readSpoolFile(file.path));
    if (contents === null) return "through";
    const { done, waiting, messages, isAway } = await replayRecords(file, contents.records, stuck);
    // By now the directory may be another process's, and the file another file.
    if (!(await isOurs())) return "away";
    await orReport("write", file, () =>
      waiting.length > 0 ? directory.settle(file, { waiting, done }) : end(file, done, contents, messages),
    );
    return isAway ? "away" : "through";
  };
}

function createRecordReplay({
  directory,
  ingest,
  sources,
  isStorageBack,
  events,
}: ReplayDeps): (record: SpoolRecord) => Promise<RecordResult> {
  async function setOrphanAside({ source, message }: SpoolRecord): Promise<RecordResult> {
    try {
      const path = await directory.keepOrphan({ source, message });
      events.spoolProblem({
        what: "no_source",
        detail: `Source "${source}" is not configured; its message is in ${path}. Configure it and, while the gateway is stopped, rename the file to 0000000000.spool; or remove the file.`,
      });
      return "done";
    } catch (error) {
      events.spoolProblem({ what: "write", error });
      return "stuck";
    }
  }

  return async (record) => {
    const source = sources.get(record.source);
    if (!source) return setOrphanAside(record);
    const result = await ingest.ingest(source, asAuthenticated(record.message));
    if (result.kind === "deferred" && result.reason === "storage_unavailable") {
      // While Redis answers, only this message cannot be stored, and other sources need not wait for it.
      return (await isStorageBack()) ? "stuck" : "away";
    }
    const isLeft = result.kind === "deferred" || (result.kind === "failed" && !result.quarantined);
    return isLeft ? "stuck" : "done";
  };
}

function isWaitingFor({ waiting }: SpoolFile, stuck: ReadonlySet<string>): boolean {
  return waiting !== null && waiting.size > 0 && [...waiting.keys()].every((source) => stuck.has(source));
}
