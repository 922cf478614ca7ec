/** Sends a recorded capture through the running line, at the speed it was recorded or another, and counts every line. */

import { setTimeout as delay } from "node:timers/promises";
import { type CaptureLine, readCapture } from "./read.ts";
import type { Pace, ReplayOptions, ReplayResult, Tally, Way } from "./way.ts";
import { createWebhookWay } from "./webhook.ts";

export async function replay(options: ReplayOptions): Promise<ReplayResult> {
  const { file, pace, signal } = options;
  const result: ReplayResult = {
    lines: 0,
    unreadable: 0,
    sent: 0,
    abandoned: 0,
    messages: 0,
    answers: {},
    resends: 0,
  };
  const tally = tallyInto(result, options.onProgress);
  const shiftMs = options.times === "shifted" ? await shiftOf(file, pace) : 0;
  const ways = new Map<CaptureLine["kind"], Way>();
  let clock: ((at: number) => number) | null = null;

  try {
    for await (const line of readCapture(file)) {
      if (signal?.aborted) break;
      result.lines++;
      if (line.kind === "unreadable") {
        result.unreadable++;
        continue;
      }
      if (pace.kind === "recorded") {
        clock ??= clockFrom(line.at, pace.times);
        await until(clock(line.at), signal);
      }
      const way = ways.get(line.kind) ?? wayFor(line.kind, options, shiftMs, tally);
      ways.set(line.kind, way);
      await way.take(line);
    }
  } finally {
    for (const way of ways.values()) await way.finish();
  }
  return result;
}

function wayFor(kind: "position" | "mqtt", options: ReplayOptions, shiftMs: number, tally: Tally): Way {
  if (kind === "position") {
    if (options.webhook === undefined)
      throw new Error(`${options.file} holds positions; they need a webhook's address.`);
    return createWebhookWay(options.webhook, shiftMs, options, tally);
  }
  if (options.publish === undefined)
    throw new Error(`${options.file} holds MQTT messages; they need a broker.`);
  if (options.times === "shifted")
    throw new Error("MQTT messages are sent as recorded; their times cannot be shifted.");
  return createMqttWay(options.publish, options.concurrency, tally);
}

/**
 * Publications start in the order of the file, on one connection; that keeps every device's messages in order
 * although nobody knows here which device a message is from.
 */
function createMqttWay(
  publish: NonNullable<ReplayOptions["publish"]>,
  concurrency: number,
  tally: Tally,
): Way {
  const underWay = new Set<Promise<void>>();

  async function send(topic: string, payload: Uint8Array): Promise<void> {
    try {
      await publish(topic, payload);
      tally.answered("ack");
      tally.settled(1);
    } catch {
      tally.answered("none");
      tally.abandoned(1);
    }
  }

  return {
    async take(line) {
      if (line.kind !== "mqtt") return;
      const sending = send(line.topic, line.payload).finally(() => underWay.delete(sending));
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
    settled(lines) {
      result.sent += lines;
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
 * By how much to shift so that the newest line carries the moment at which it will be sent: earlier ones lie in the
 * past by as much as was recorded, and none in the future, where it would be rejected.
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
  // Timers are no finer than this, and lines of one second come in crowds.
  if (ms < 1) return;
  await delay(ms, undefined, signal ? { signal } : {}).catch(() => {});
}
