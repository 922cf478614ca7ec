/** Sends a recorded capture to the running gateway, at recorded or another speed, and counts every line. */

import { setTimeout as delay } from "node:timers/promises";
import { type CaptureLine, readCapture } from "./read.ts";
import type { Pace, ReplayOptions, ReplayResult, Sender, Tally } from "./sender.ts";
import { createWebhookSender } from "./webhook.ts";

export async function replay(options: ReplayOptions): Promise<ReplayResult> {
  const { file, pace, signal } = options;
  const result: ReplayResult = {
    lines: 0,
    unreadable: 0,
    firstUnreadable: null,
    sent: 0,
    refused: 0,
    rejected: 0,
    abandoned: 0,
    messages: 0,
    answers: {},
    resends: 0,
  };
  const tally = tallyInto(result, options.onProgress);
  const shiftMs = options.times === "shifted" ? await shiftOf(file, pace) : 0;
  const senders = new Map<CaptureLine["kind"], Sender>();
  let clock: ((at: number) => number) | null = null;

  try {
    for await (const line of readCapture(file)) {
      if (signal?.aborted) break;
      result.lines++;
      if (line.kind === "unreadable") {
        result.unreadable++;
        result.firstUnreadable ??= { line: line.line, problem: line.problem };
        options.onProgress?.(result);
        continue;
      }
      if (pace.kind === "recorded") {
        clock ??= clockFrom(line.at, pace.times);
        await until(clock(line.at), signal);
      }
      const sender = senders.get(line.kind) ?? senderFor(line.kind, options, shiftMs, tally);
      senders.set(line.kind, sender);
      await sender.send(line);
    }
  } finally {
    for (const sender of senders.values()) await sender.finish();
  }
  return result;
}

function senderFor(kind: "position" | "mqtt", options: ReplayOptions, shiftMs: number, tally: Tally): Sender {
  if (kind === "position") {
    if (options.webhook === undefined)
      throw new Error(`${options.file} holds positions; they need a webhook's address.`);
    return createWebhookSender(options.webhook, shiftMs, options, tally);
  }
  if (options.publish === undefined)
    throw new Error(`${options.file} holds MQTT messages; they need a broker.`);
  if (options.times === "shifted")
    throw new Error("MQTT messages are sent as recorded; their times cannot be shifted.");
  return createMqttSender(options.publish, options.concurrency, tally);
}

/**
 * Publications start in the order of the file, on one connection: that keeps every device's messages in order although
 * the device of a message is not known here.
 */
function createMqttSender(
  publish: NonNullable<ReplayOptions["publish"]>,
  concurrency: number,
  tally: Tally,
): Sender {
  const underWay = new Set<Promise<void>>();

  async function publishOne(topic: string, payload: Uint8Array): Promise<void> {
    try {
      await publish(topic, payload);
      tally.answered("ack");
      tally.settled(1, { refused: false, rejected: 0 });
    } catch {
      tally.answered("none");
      tally.abandoned(1);
    }
  }

  return {
    async send(line) {
      if (line.kind !== "mqtt") return;
      const sending = publishOne(line.topic, line.payload).finally(() => underWay.delete(sending));
      underWay.add(sending);
      if (underWay.size >= concurrency) await Promise.race(underWay);
    },
    async finish() {
      await Promise.all(underWay);
    },
  };
}

function tallyInto(result: ReplayResult, onProgress: ReplayOptions["onProgress"]): Tally {
  return {
    answered(answer) {
      result.answers[answer] = (result.answers[answer] ?? 0) + 1;
    },
    settled(lines, { refused, rejected }) {
      result.sent += lines;
      if (refused) result.refused += lines;
      result.rejected += rejected;
      result.messages++;
      onProgress?.(result);
    },
    abandoned(lines) {
      result.abandoned += lines;
      onProgress?.(result);
    },
    resent() {
      result.resends++;
      onProgress?.(result);
    },
  };
}

/**
 * The shift that gives the newest line the moment at which it will be sent: earlier lines lie in the past by as much as
 * was recorded, and none in the future, where it would be rejected.
 */
async function shiftOf(file: string, pace: Pace): Promise<number> {
  let first = Number.POSITIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  for await (const line of readCapture(file)) {
    if (line.kind === "unreadable") continue;
    first = Math.min(first, line.at);
    last = Math.max(last, line.at);
  }
  if (first > last) return 0;
  const takesMs = pace.kind === "fastest" ? 0 : (last - first) / pace.times;
  return Math.round(Date.now() + takesMs - last);
}

/** Recorded time → time of our own clock. The first line is due now. */
function clockFrom(first: number, times: number): (at: number) => number {
  const startedAt = performance.now();
  return (at) => startedAt + (at - first) / times;
}

async function until(due: number, signal: AbortSignal | undefined): Promise<void> {
  const ms = due - performance.now();
  // Timers are no finer than 1 ms, and many lines share one second.
  if (ms < 1) return;
  await delay(ms, undefined, signal ? { signal } : {}).catch(() => {});
}
