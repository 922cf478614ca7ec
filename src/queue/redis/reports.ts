/** Tells the other processes what only this one knows, and asks what they know: any of them may be asked for the status. */

import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import type { Redis } from "ioredis";
import type { ProcessReport } from "../../status/process.ts";
import { isRecord } from "../../untrusted.ts";
import { keyOf, PROCESS_KEYS, processPrefix } from "./keys.ts";
import { loadScript, runScript } from "./script.ts";

const REPORT = loadScript("report");

/** At most this often, and only what has changed. */
const WRITE_EVERY_MS = 1000;
/** An unchanged report is written again, well before it ends. */
const REPEAT_EVERY_MS = 10_000;
/** The problems of a process that died are gone this soon. */
const COUNTS_FOR_MS = 15_000;
/** However many pages are open. */
const READ_EVERY_MS = 1000;
/** A page waits no longer for it, and shows what was known before. */
const READ_WITHIN_MS = 300;
/** Of one report; a hundred processes are read at once. */
const MAX_BYTES = 64_000;

export type OwnReport = Omit<ProcessReport, "process" | "at">;

export interface Reports {
  /** What the others call this process. */
  name: string;
  /** What the other processes reported within the last 15 s; what was known last while Redis does not answer. */
  others(): Promise<readonly ProcessReport[]>;
  stop(): void;
}

export function createReports(redis: Redis, prefix: string, { own }: { own(): OwnReport }): Reports {
  // Two containers may have one name and one process id.
  const id = `${hostname()}-${process.pid}-${randomBytes(3).toString("hex")}`;
  const index = keyOf(processPrefix(prefix), PROCESS_KEYS.reports);
  const keyFor = (of: string) => keyOf(processPrefix(prefix), PROCESS_KEYS.report, of);
  let written = "";
  let writtenAt = Number.NEGATIVE_INFINITY;
  let known: readonly ProcessReport[] = [];
  let readAt = Number.NEGATIVE_INFINITY;
  let knownAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | null = null;

  async function write(): Promise<void> {
    const report = bounded(own());
    const text = JSON.stringify(report);
    if (text === written && performance.now() - writtenAt < REPEAT_EVERY_MS) return;
    const whole: ProcessReport = { process: id, at: Date.now(), ...report };
    await store(JSON.stringify(whole));
    written = text;
    writtenAt = performance.now();
  }

  async function store(text: string): Promise<void> {
    await runScript(redis, REPORT, [index, keyFor(id)], [id, text, COUNTS_FOR_MS]);
  }

  async function read(): Promise<void> {
    readAt = performance.now();
    const processes = (await redis.zrange(index, "0", "-1")).filter((each) => each !== id);
    const texts = processes.length === 0 ? [] : await redis.mget(processes.map(keyFor));
    known = texts.flatMap((text) => (text === null ? [] : reportIn(text)));
    knownAt = performance.now();
  }

  /** Redis forgets both when it is emptied; what could not be written is tried again with the next beat. */
  function beat(): void {
    if (redis.status === "ready") write().catch(() => {});
  }

  const timer = setInterval(beat, WRITE_EVERY_MS);
  const writeAnew = () => {
    written = "";
    beat();
  };
  redis.on("ready", writeAnew);
  beat();

  return {
    name: id,
    async others() {
      if (performance.now() - readAt >= READ_EVERY_MS) {
        reading ??= read()
          .catch(() => {})
          .finally(() => {
            reading = null;
          });
      }
      if (reading) await Promise.race([reading, pause(READ_WITHIN_MS, undefined, { ref: false })]);
      return performance.now() - knownAt < COUNTS_FOR_MS ? known : [];
    },
    stop() {
      clearInterval(timer);
      redis.off("ready", writeAnew);
      // Without it, what this process knew stays for as long as it counts.
      if (redis.status === "ready") store("").catch(() => {});
    },
  };
}

/** As much of it as the others may get: half of the longest list is left out until it fits. */
function bounded(report: OwnReport): OwnReport {
  let fitting = report;
  while (Buffer.byteLength(JSON.stringify(fitting)) > MAX_BYTES) {
    const { brokers, pollers, incidents, clocks, mapping } = fitting;
    const lists = { brokers, pollers, incidents, clocks };
    const lengths = { ...lengthsOf(lists), mapping: JSON.stringify(mapping).length };
    const [longest = "mapping"] = Object.entries(lengths)
      .sort(([, a], [, b]) => b - a)
      .map(([name]) => name);
    fitting =
      longest === "mapping"
        ? { ...fitting, mapping: mapping && { ...mapping, problems: half(mapping.problems) } }
        : { ...fitting, ...halved(lists, longest) };
  }
  return fitting;
}

function lengthsOf(lists: Record<string, readonly unknown[]>): Record<string, number> {
  return Object.fromEntries(Object.entries(lists).map(([name, list]) => [name, JSON.stringify(list).length]));
}

function halved<Lists extends Record<string, readonly unknown[]>>(lists: Lists, longest: string): Lists {
  const list = lists[longest];
  return list === undefined ? lists : { ...lists, [longest]: half(list) };
}

function half<Item>(list: readonly Item[]): Item[] {
  return list.slice(0, Math.floor(list.length / 2));
}

/** Its form is that of its key; what is no report at all is left out. */
function reportIn(text: string): ProcessReport[] {
  try {
    const parsed: unknown = JSON.parse(text);
    return isReport(parsed) ? [parsed] : [];
  } catch {
    return [];
  }
}

function isReport(value: unknown): value is ProcessReport {
  return (
    isRecord(value) &&
    typeof value.process === "string" &&
    typeof value.at === "number" &&
    [value.brokers, value.pollers, value.incidents, value.clocks].every(Array.isArray)
  );
}
