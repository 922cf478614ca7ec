/** Sends a capture's positions by webhook: each device's in order, several devices' at once, again until they are accepted. */

import { setTimeout as delay } from "node:timers/promises";
import { Agent } from "undici";
import { z } from "zod";
import { type Backoff, backoffMs, iso } from "../../time.ts";
import type { CaptureLine } from "./read.ts";
import type { ReplayOptions, Sender, Tally, WebhookSink } from "./sender.ts";

type Position = Extract<CaptureLine, { kind: "position" }>;

/** Longer than the gateway ever takes to answer. */
const TIMEOUT_MS = 30_000;
/** Between attempts without an answer; a gateway that was killed is back within a few seconds. */
const BACKOFF: Backoff = { firstMs: 100, maxMs: 2000, jitter: 0 };
/** For a 503 or 429 without Retry-After. */
const DEFAULT_RETRY_AFTER_MS = 1000;

export function createWebhookSender(
  { url, headers, linesPerMessage }: WebhookSink,
  shiftMs: number,
  { pace, concurrency, patienceMs, signal }: ReplayOptions,
  tally: Tally,
): Sender {
  const agent = new Agent({ headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS });
  const { origin, pathname, search } = new URL(url);
  /** When one request has to wait, all wait: the one gateway cannot keep up. performance.now() milliseconds. */
  let pausedUntil = 0;
  const lanes = Array.from({ length: concurrency }, () =>
    createLane({ send: sendMessage, size: linesPerMessage, whenFull: pace.kind === "fastest" }),
  );

  async function sendMessage(positions: readonly Position[]): Promise<void> {
    const body = JSON.stringify(positions.map((position) => toOwnFormat(position, shiftMs)));
    const givenUpAt = performance.now() + patienceMs;
    for (let failures = 0; ; failures++) {
      while (pausedUntil > performance.now() && !signal?.aborted) {
        const options = signal ? { signal } : {};
        await delay(pausedUntil - performance.now(), undefined, options).catch(() => {});
      }
      if (signal?.aborted || performance.now() > givenUpAt) return tally.abandoned(positions.length);
      if (failures > 0) tally.resent();
      const answer = await post(body);
      tally.answered(answer === null ? "none" : String(answer.status));
      if (answer !== null && !isRetryable(answer.status)) {
        const { status, rejected } = answer;
        return tally.settled(positions.length, { refused: status < 200 || status > 299, rejected });
      }
      const waitMs = answer?.retryAfterMs ?? backoffMs(failures, BACKOFF);
      pausedUntil = Math.max(pausedUntil, performance.now() + waitMs);
    }
  }

  /** Null: there was no answer. Whether the message was stored is unknown then; sent again it is a duplicate at worst. */
  async function post(body: string): Promise<Answer | null> {
    try {
      const response = await agent.request({
        origin,
        path: `${pathname}${search}`,
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body,
      });
      const rejected = rejectedIn(await response.body.text());
      const seconds = Number(response.headers["retry-after"] ?? Number.NaN);
      const hint = Number.isNaN(seconds) ? null : seconds * 1000;
      const { statusCode: status } = response;
      return { status, retryAfterMs: hint ?? defaultRetryAfterMs(status), rejected };
    } catch {
      return null;
    }
  }

  return {
    async send(line) {
      if (line.kind === "position") await lanes[laneOf(line.vehicle, concurrency)]?.add(line);
    },
    async finish() {
      await Promise.all(lanes.map((lane) => lane.finish()));
      await agent.close();
    },
  };
}

interface Answer {
  status: number;
  retryAfterMs: number | null;
  /** Positions that are no valid readings. */
  rejected: number;
}

const counts = z.object({ rejected: z.array(z.unknown()) });

/** 0 where the answer counts none, as that of a gateway which has set the message aside in its spool. */
function rejectedIn(text: string): number {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return 0;
  }
  return counts.safeParse(json).data?.rejected.length ?? 0;
}

/** These mean "send it again": not now, or an error that may pass. Every other status is an answer for good. */
function isRetryable(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

function defaultRetryAfterMs(status: number): number | null {
  return status === 503 || status === 429 ? DEFAULT_RETRY_AFTER_MS : null;
}

interface Lane {
  add(position: Position): Promise<void>;
  finish(): Promise<void>;
}

/** One message under way at a time, so that a device's messages never overtake each other. */
function createLane({
  send,
  size,
  whenFull,
}: {
  send: (positions: Position[]) => Promise<void>;
  size: number;
  whenFull: boolean;
}): Lane {
  let gathering: Position[] = [];
  let underWay = 0;
  let last: Promise<void> = Promise.resolve();

  function flush(): void {
    const positions = gathering;
    gathering = [];
    underWay++;
    last = last
      .then(() => send(positions))
      .then(() => {
        underWay--;
        if (!whenFull && underWay === 0 && gathering.length > 0) flush();
      });
  }

  return {
    async add(position) {
      gathering.push(position);
      // At recorded speed a line does not wait for others, except while a message is under way.
      if (gathering.length >= size || (!whenFull && underWay === 0)) flush();
      // One under way and one ready: more would only use memory.
      if (underWay > 1) await last;
    },
    async finish() {
      if (gathering.length > 0) flush();
      while (underWay > 0) await last;
    },
  };
}

function laneOf(vehicle: string, lanes: number): number {
  let hash = 0;
  for (let i = 0; i < vehicle.length; i++) hash = (Math.imul(hash, 31) + vehicle.charCodeAt(i)) | 0;
  return (hash >>> 0) % lanes;
}

function toOwnFormat(
  { vehicle, at, time, latitude, longitude, speedMps, headingDeg }: Position,
  shiftMs: number,
) {
  return {
    deviceId: vehicle,
    // Missing fields become null: one damaged line must not make the whole message malformed.
    latitude: latitude ?? null,
    longitude: longitude ?? null,
    time: shiftMs === 0 ? time : iso(at + shiftMs),
    speed: speedMps ?? null,
    speedUnit: "mps",
    heading: headingDeg ?? null,
  };
}
