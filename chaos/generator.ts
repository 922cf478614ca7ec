/** Creates readings, sends them by webhook and MQTT, and remembers which of them are owed. */

import { setTimeout as pause } from "node:timers/promises";
import { createPoster, type PostResult } from "../sandbox/post.ts";
import { startPublisher } from "../sandbox/publisher.ts";
import type { Random } from "../sandbox/random.ts";
import type { Issued } from "./history.ts";

export interface GeneratorOptions {
  /** Where the webhook source is reached, one address per gateway; a sender that gets no 2xx goes to the next. */
  webhooks: readonly string[];
  headers: Record<string, string>;
  webhookSource: string;
  /** Null: nothing is sent by MQTT. */
  mqtt: { url: string; source: string; topic(unit: string): string } | null;
  random: Random;
}

export interface Generator {
  issued: ReadonlyMap<string, Issued>;
  units: readonly string[];
  /** The next readings that are created, handed out before they are sent. */
  next(count: number): Promise<Issued[]>;
  /** Messages that got another answer than 2xx, or none. */
  heldBack(): number;
  /** A tenant that comes while others send: its own units send to all addresses until it goes. */
  visit(visitor: Visitor): Visit;
  /** Units of tenants that came, whether they have gone or not. */
  visitors: ReadonlySet<string>;
  /** Answers that end a sender's attempts for good, where a gateway had to ask it to come again. */
  turnedAway(): number;
  /** Readings that were answered from a gateway's disk. */
  spooled(): number;
  /** Acts like a load balancer: webhooks go to the other addresses until null is given. */
  avoid(webhook: string | null): void;
  /** Creates nothing more; resolves when every message that was begun is owed or given up. */
  stop(): Promise<void>;
}

export interface Visitor {
  source: string;
  /** As those of the generator, in the same order. */
  webhooks: readonly string[];
}

export interface Visit {
  /** Resolves with the ids of its readings that are owed. */
  leave(): Promise<string[]>;
}

const SENDERS = 4;
/** Readings of different units that one webhook message carries. */
const UNITS_PER_SENDER = 16;
const MQTT_UNITS = 16;
/** Each has at most one reading under way. */
export const UNITS = SENDERS * UNITS_PER_SENDER + MQTT_UNITS;
/**
 * A unit reports some two to three times a second. With less, faults would pass without traffic; with more, the longest
 * fault would outlast the 44 fixes that the gateway remembers, and what it stores again would look like a bug.
 */
const EVERY_MS = 500;
/** Longer than the gateway needs to store while all is well. A vendor waits longer, but then a run has fewer attempts. */
const SENDER_WAITS_MS = 1500;
const TRY_AGAIN_MS = 100;
/** The gateway's answer to a message that is safe on its disk. */
const SPOOLED = JSON.stringify({ spooled: true });
/** Some messages are given up, so that the gateway cannot rely on resends. */
const GIVES_UP_EVERY = 5;
/** Some answered messages are sent again, as by a vendor whose connection broke off. */
const RESENDS_EVERY = 10;
const VISITING_UNITS = 8;
/** At the end: everything is healed, so the last messages need not wait longer. */
const STOP_WITHIN_MS = 30_000;

interface Sender {
  draw: Random;
  own: readonly string[];
  source: string;
  addresses: readonly string[];
  /** Which of the addresses is asked first. */
  beginsAt: number;
  isLeaving(): boolean;
}

type Answer = "stored" | "spooled" | "not_stored" | "none";

export function startGenerator(options: GeneratorOptions): Generator {
  const { webhooks, random } = options;
  const poster = createPoster(null);
  const headers = { "content-type": "application/json", ...options.headers };
  const issued = new Map<string, Issued>();
  const units: string[] = [];
  const newestFix = new Map<string, number>();
  const wanted: { count: number; got: Issued[]; resolve(got: Issued[]): void }[] = [];
  let heldBack = 0;
  let spooled = 0;
  let turnedAway = 0;
  let visits = 0;
  const visitors = new Set<string>();
  let avoided: string | null = null;
  let stopping = false;
  let giveUpAt = Number.POSITIVE_INFINITY;
  /** Devices that wait for a PUBACK. */
  const waiting = new Set<(acknowledged: boolean) => void>();

  function createReading(source: string, unit: string, draw: Random): Issued {
    // No two readings of a unit at the same instant: they would be one fix.
    const fixTime = Math.max(Date.now(), (newestFix.get(unit) ?? 0) + 1);
    newestFix.set(unit, fixTime);
    const reading: Issued = {
      id: `${source}:${unit}:${fixTime}`,
      unit,
      fixTime,
      latitude: Number(draw.between(25, 48).toFixed(6)),
      longitude: Number(draw.between(-122, -70).toFixed(6)),
      speedMps: Number(draw.between(1, 35).toFixed(2)),
      owedAt: null,
      unclear: false,
      handedOver: 0,
      spooledAt: null,
    };
    issued.set(reading.id, reading);
    const [first] = wanted;
    if (first && first.got.push(reading) >= first.count) {
      wanted.shift();
      first.resolve(first.got);
    }
    return reading;
  }

  async function post(url: string, body: string, readings: readonly Issued[]): Promise<Answer> {
    const result = await poster.post({ url, headers, body, withinMs: SENDER_WAITS_MS });
    const answer = answerOf(result);
    if (result.kind === "answered" && result.status === 404) turnedAway++;
    if (answer !== "not_stored") for (const reading of readings) reading.handedOver++;
    return answer;
  }

  async function sendWebhooks(sender: Sender): Promise<void> {
    const { draw, own, source, addresses } = sender;
    let at = sender.beginsAt;
    const webhook = () => addresses[at % addresses.length] ?? "";
    await pause(draw.between(0, EVERY_MS));
    for (let n = 0; !stopping && !sender.isLeaving(); n++) {
      const readings = own.map((unit) => createReading(source, unit, draw));
      const body = JSON.stringify(readings.map(messageOf));
      let answer: Answer = "not_stored";
      do {
        if (webhook() === avoided) at++;
        answer = await post(webhook(), body, readings);
        if (answer === "stored" || answer === "spooled") break;
        heldBack++;
        at++;
        if (answer === "none") for (const reading of readings) reading.unclear = true;
        await pause(TRY_AGAIN_MS);
      } while (n % GIVES_UP_EVERY !== 0 && Date.now() < giveUpAt);
      if (answer === "stored" || answer === "spooled") {
        const now = Date.now();
        for (const reading of readings) reading.owedAt = now;
        const resends = n % RESENDS_EVERY === 0;
        if (answer === "spooled") {
          spooled += readings.length;
          for (const reading of readings) reading.spooledAt = webhook();
          // Sent again to the same gateway: two disks know nothing of each other, and Redis remembers only the last fixes.
          if (resends) await post(webhook(), body, readings);
          // That gateway is not ready, so the next message goes to the other one.
          at++;
        } else if (resends) {
          at++;
          if (webhook() === avoided) at++;
          await post(webhook(), body, readings);
          at++;
        }
      }
      await pause(draw.between(EVERY_MS / 2, EVERY_MS));
    }
  }

  async function sendByMqtt({ url, source, topic }: NonNullable<GeneratorOptions["mqtt"]>): Promise<void> {
    const publisher = await startPublisher(url, {
      clientId: "chaos-devices",
      keepsSession: true,
      reconnectEveryMs: 200,
    });
    function publish(to: string, text: string): Promise<boolean> {
      return new Promise((resolve) => {
        waiting.add(resolve);
        publisher
          .publish(to, text, 1)
          .then(
            () => resolve(true),
            () => resolve(false),
          )
          .finally(() => waiting.delete(resolve));
      });
    }
    async function device(unit: string): Promise<void> {
      const draw = random.fork(unit);
      await pause(draw.between(0, EVERY_MS));
      while (!stopping) {
        const reading = createReading(source, unit, draw);
        const before = publisher.disconnects();
        reading.handedOver++;
        if (await publish(topic(unit), JSON.stringify(messageOf(reading)))) reading.owedAt = Date.now();
        reading.unclear = publisher.disconnects() !== before;
        await pause(draw.between(EVERY_MS / 2, EVERY_MS));
      }
    }
    const own = Array.from({ length: MQTT_UNITS }, (_, i) => `tracker-${i}`);
    units.push(...own);
    await Promise.all(own.map(device));
    await publisher.close({ atOnce: true });
  }

  function sender(i: number): Promise<void> {
    const own = Array.from({ length: UNITS_PER_SENDER }, (_, n) => `van-${i}-${n}`);
    units.push(...own);
    const draw = random.fork(`sender ${i}`);
    const { webhookSource: source } = options;
    return sendWebhooks({ draw, own, source, addresses: webhooks, beginsAt: i, isLeaving: () => false });
  }

  function visit({ source, webhooks: addresses }: Visitor): Visit {
    let isLeaving = false;
    const since = Date.now();
    visits++;
    const own = Array.from({ length: VISITING_UNITS }, (_, i) => `${source}-${i}`);
    for (const unit of own) visitors.add(unit);
    const draw = random.fork(`visit ${visits}`);
    const sending = sendWebhooks({
      ...{ draw, own, source, addresses, beginsAt: 0 },
      isLeaving: () => isLeaving,
    });
    running.push(sending);
    return {
      async leave() {
        isLeaving = true;
        await sending;
        const all = [...issued.values()];
        return all
          .filter(({ unit, owedAt }) => owedAt !== null && owedAt >= since && own.includes(unit))
          .map(({ id }) => id);
      },
    };
  }

  const running = Array.from({ length: SENDERS }, (_, i) => sender(i));
  if (options.mqtt) running.push(sendByMqtt(options.mqtt));

  return {
    issued,
    units,
    next: (count) => new Promise((resolve) => wanted.push({ count, got: [], resolve })),
    heldBack: () => heldBack,
    spooled: () => spooled,
    visit,
    visitors,
    turnedAway: () => turnedAway,
    avoid(webhook) {
      avoided = webhook;
    },
    async stop() {
      stopping = true;
      giveUpAt = Date.now() + STOP_WITHIN_MS;
      const timer = setTimeout(() => {
        for (const resolve of waiting) resolve(false);
      }, STOP_WITHIN_MS);
      await Promise.all(running);
      clearTimeout(timer);
      await poster.close();
    },
  };
}

function messageOf({ unit, fixTime, latitude, longitude, speedMps }: Issued) {
  return {
    deviceId: unit,
    latitude,
    longitude,
    time: new Date(fixTime).toISOString(),
    speed: speedMps,
    speedUnit: "mps",
  };
}

function answerOf(result: PostResult): Answer {
  switch (result.kind) {
    case "answered":
      if (result.status < 200 || result.status > 299) return "not_stored";
      return result.text === SPOOLED ? "spooled" : "stored";
    case "unreachable":
      return "not_stored";
    case "unanswered":
      return "none";
    default:
      return result satisfies never;
  }
}
