/** Sends the fleet's messages as vendors send them: kept-alive connections, deadlines, and retries. */

import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { createPoster } from "./post.ts";
import { FLAWS, type Flaw } from "./receiver.ts";
import { type FleetMessage, MESSAGE_KINDS, type MessageKind } from "./traffic.ts";
import type { FleetSource, Vendor, WebhookWay } from "./vendor.ts";
import { VENDORS } from "./vendors.ts";

/** What one source was sent, and what it answered. */
export interface SourceStats {
  /** Messages by kind; a message counts once, however often it was tried. */
  sent: Record<MessageKind, number>;
  /** Fixes in them by flaw, resends apart. */
  fixes: Record<Flaw, number>;
  resentFixes: number;
  /** Answers by status; `published` on MQTT, `none` where no whole answer came in time. */
  answers: Record<string, number>;
  /** 2xx whose body is not what the vendor needs to see; counts as a failure for the vendor. */
  badReplies: number;
  retries: number;
  /** Messages that were never accepted. */
  gaveUp: number;
}

export interface Sender {
  send(message: FleetMessage): void;
  stats(): { sources: Partial<Record<FleetSource, SourceStats>>; underWay: number };
  /** Starts nothing more, retries included, and waits for what is under way. */
  stop(): Promise<void>;
}

export type PublishMqtt = (topic: string, payload: string, qos: 0 | 1) => Promise<void>;

/** Vendors give up after hours; here minutes show the same. */
const MAX_TRIES = 8;
const FIRST_BACKOFF_MS = 1000;
const MAX_BACKOFF_MS = 30_000;
/** Longer than any vendor waits for an answer. */
const STOP_WITHIN_MS = 12_000;
/** Enough that a slow gateway sees waiting requests and not a polite queue. */
const MAX_CONNECTIONS = 64;

interface SenderOptions {
  /** The source's name is added to it. */
  webhookUrl: string;
  publishMqtt?: PublishMqtt | undefined;
}

type TryResult = { kind: "accepted" } | { kind: "refused" } | { kind: "again"; afterMs: number | null };

export function createSender({ webhookUrl, publishMqtt }: SenderOptions): Sender {
  const poster = createPoster(MAX_CONNECTIONS);
  const sources = new Map<FleetSource, SourceStats>();
  const underWay = new Set<Promise<void>>();
  const stopping = new AbortController();
  // Every message that waits for another try listens, so many listeners are no leak.
  setMaxListeners(0, stopping.signal);
  const base = webhookUrl.replace(/\/$/, "");

  function send(message: FleetMessage): void {
    const stats = sources.get(message.source) ?? blankStats();
    sources.set(message.source, stats);
    stats.sent[message.kind] += 1;
    if (message.kind === "resend") stats.resentFixes += message.fixes.length;
    else for (const { flaw } of message.fixes) stats.fixes[flaw] += 1;
    const delivery = deliver(message, stats).finally(() => underWay.delete(delivery));
    underWay.add(delivery);
  }

  async function deliver(message: FleetMessage, stats: SourceStats): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      const result = await tryOnce(message, stats);
      if (result.kind === "accepted") return;
      const backoffMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (tries - 1));
      const goesOn = result.kind === "again" && tries < MAX_TRIES;
      if (!goesOn || !(await pause(result.afterMs ?? backoffMs))) {
        if (result.kind === "again") stats.gaveUp += 1;
        return;
      }
      stats.retries += 1;
    }
  }

  /** False when the sender stops meanwhile. */
  async function pause(ms: number): Promise<boolean> {
    try {
      await sleep(ms, undefined, { signal: stopping.signal });
      return true;
    } catch {
      return false;
    }
  }

  async function tryOnce(message: FleetMessage, stats: SourceStats): Promise<TryResult> {
    if (message.way.via === "webhook") return post(message, message.way.headers, stats);
    try {
      await publishMqtt?.(message.way.topic, message.body, message.way.qos);
      count(stats.answers, "published");
      return { kind: "accepted" };
    } catch {
      count(stats.answers, "none");
      // An MQTT client queues and repeats by itself; a message whose publish fails is lost.
      return { kind: "again", afterMs: null };
    }
  }

  async function post(
    message: FleetMessage,
    headers: Record<string, string>,
    stats: SourceStats,
  ): Promise<TryResult> {
    const { answerWithinMs, reply } = webhookWay(message.source);
    const url = `${base}/${message.source}`;
    const result = await poster.post({ url, headers, body: message.body, withinMs: answerWithinMs });
    if (result.kind !== "answered") {
      // To a vendor a refused connection, a reset and a deadline are one thing: no answer.
      count(stats.answers, "none");
      return { kind: "again", afterMs: null };
    }
    const { status, text, retryAfterMs } = result;
    count(stats.answers, String(status));
    if (status >= 500) return { kind: "again", afterMs: retryAfterMs };
    if (status >= 300) return { kind: "refused" };
    if (reply === "anything" || isJson(text)) return { kind: "accepted" };
    stats.badReplies += 1;
    return { kind: "again", afterMs: null };
  }

  async function stop(): Promise<void> {
    stopping.abort();
    // An MQTT client without a broker would hold its messages, and this process, for ever.
    await Promise.race([Promise.all(underWay), sleep(STOP_WITHIN_MS, undefined, { ref: false })]);
    await poster.close();
  }

  return {
    send,
    stop,
    stats: () => ({ sources: structuredClone(Object.fromEntries(sources)), underWay: underWay.size }),
  };
}

function webhookWay(source: FleetSource): WebhookWay {
  const way = VENDORS.find((vendor: Vendor) => vendor.source === source)?.way;
  if (way?.via !== "webhook") throw new Error(`${source} does not send webhooks.`);
  return way;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function count(counts: Record<string, number>, word: string): void {
  counts[word] = (counts[word] ?? 0) + 1;
}

function blankStats(): SourceStats {
  const zeros = <K extends string>(words: readonly K[]) =>
    Object.fromEntries(words.map((word) => [word, 0])) as Record<K, number>;
  return {
    sent: zeros(MESSAGE_KINDS),
    fixes: zeros(FLAWS),
    resentFixes: 0,
    answers: {},
    badReplies: 0,
    retries: 0,
    gaveUp: 0,
  };
}
