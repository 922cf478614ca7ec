/** Senders that never stop, by webhook and by a broker, and remember every answer. */

import { setTimeout as pause } from "node:timers/promises";
import { createPoster } from "../../sandbox/post.ts";
import { startPublisher } from "../../sandbox/publisher.ts";
import { BEARER } from "./gateway-process.ts";

/** One webhook message and its answer. */
export interface Answer {
  externalId: string;
  sentAt: number;
  answeredAt: number;
  /** 0: none. */
  status: number;
  retryAfterS: number | null;
}

export interface SteadySenders {
  answers: readonly Answer[];
  /** externalId of every reading that is owed, and since when: the gateway's 200, or the broker's PUBACK. */
  owed: ReadonlyMap<string, number>;
  /** Everything that was ever sent. */
  sent: ReadonlySet<string>;
  stop(): Promise<void>;
}

export interface SteadyOptions {
  webhook: string;
  /** Null: by webhook only. */
  mqtt: { url: string; topic: string; source: string } | null;
  /** Of the webhook. */
  source: string;
}

const UNITS = 20;
/** Of this process: each has devices of its own, so that no two send the same fix of the same device. */
let fleets = 0;
const WEBHOOK_EVERY_MS = 20;
const PUBLISH_EVERY_MS = 50;
const HEADERS = { ...BEARER, "content-type": "application/json" };

export async function startSteadySenders(options: SteadyOptions): Promise<SteadySenders> {
  const fleet = ++fleets;
  const poster = createPoster(null);
  const publisher = options.mqtt ? await startPublisher(options.mqtt.url) : null;
  const answers: Answer[] = [];
  const owed = new Map<string, number>();
  const sent = new Set<string>();
  const underWay = new Set<Promise<unknown>>();
  let stopping = false;
  let lastFixTime = 0;

  function next(source: string): { id: string; body: string } {
    // One clock for all units, so that no two fixes are alike.
    lastFixTime = Math.max(Date.now(), lastFixTime + 1);
    const deviceId = `van-${fleet}-${lastFixTime % UNITS}`;
    const id = `${source}:${deviceId}:${lastFixTime}`;
    const time = new Date(lastFixTime).toISOString();
    sent.add(id);
    return {
      id,
      body: JSON.stringify({ deviceId, latitude: 32.78, longitude: -96.8, time, speed: 10 }),
    };
  }

  async function post(): Promise<void> {
    const { id, body } = next(options.source);
    const sentAt = Date.now();
    const result = await poster.post({ url: options.webhook, headers: HEADERS, body });
    // Without an answer no vendor counts on anything.
    const { status, retryAfterMs } = result.kind === "answered" ? result : { status: 0, retryAfterMs: null };
    const retryAfterS = retryAfterMs === null ? null : retryAfterMs / 1000;
    if (status === 200) owed.set(id, Date.now());
    answers.push({ externalId: id, sentAt, answeredAt: Date.now(), status, retryAfterS });
  }

  async function publish(): Promise<void> {
    if (!publisher || !options.mqtt) return;
    const { id, body } = next(options.mqtt.source);
    await publisher.publish(options.mqtt.topic, body, 1);
    owed.set(id, Date.now());
  }

  async function every(ms: number, act: () => Promise<void>): Promise<void> {
    while (!stopping) {
      const acting: Promise<void> = act().finally(() => underWay.delete(acting));
      underWay.add(acting);
      await pause(ms);
    }
  }

  const running = [every(WEBHOOK_EVERY_MS, post), ...(publisher ? [every(PUBLISH_EVERY_MS, publish)] : [])];
  return {
    answers,
    owed,
    sent,
    async stop() {
      stopping = true;
      await Promise.all(running);
      await Promise.all(underWay);
      await publisher?.close({ atOnce: false });
      await poster.close();
    },
  };
}
