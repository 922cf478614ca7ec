/** Logs in at a broker once, under a name of its own and without a session, and says what it allows. */

import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import { errorCode, messageOf } from "../../untrusted.ts";
import { type BrokerSettings, clientOptions } from "./library.ts";

/** What the broker says to one filter. */
export type FilterAnswer = { filter: string } & (
  | { kind: "granted"; qos: number }
  | { kind: "refused"; words: string }
  /** The connection ended, or nothing came in time: some brokers answer a forbidden filter so. */
  | { kind: "unanswered"; words: string }
);

export type BrokerAnswer =
  /** The connection could not be made; `code` is the system's or the library's word. */
  | { kind: "failed"; code: string; words: string }
  | { kind: "refused"; words: string }
  /** `retained`: how many retained messages came, counted up to `maxRetained` + 1. */
  | { kind: "asked"; filters: readonly FilterAnswer[]; retained: number };

export interface BrokerQuestion {
  settings: BrokerSettings;
  filters: readonly string[];
  /** For the login, and again for the subscriptions. */
  withinMs: number;
  /** How long retained messages are waited for, counted from the last of them. */
  quietMs: number;
  maxRetained: number;
}

/** Another client id than the gateway's: a broker ends the connection that had the same one. Short enough for MQTT 3.1. */
export function probeClientId(): string {
  return `waypost-dr-${randomBytes(5).toString("hex")}`;
}

/** Never rejects. */
export async function probeBroker(question: BrokerQuestion, clientId: string): Promise<BrokerAnswer> {
  const { settings, filters, withinMs, maxRetained } = question;
  const client = mqtt.connect(settings.url, optionsOf(question, clientId));
  const retained = { count: 0, lastAt: 0 };
  client.on("error", () => {});
  client.on("message", (_topic, _payload, { retain }) => {
    if (!retain) return;
    retained.count += 1;
    retained.lastAt = performance.now();
    // Enough is known: a broker with millions need not send them all.
    if (retained.count > maxRetained) client.end(true);
  });
  try {
    const refusal = await loggedIn(client, withinMs);
    if (refusal !== null) return refusal;
    const answers = await Promise.all(filters.map((filter) => subscribed(client, filter, withinMs)));
    if (answers.some(({ kind }) => kind === "granted")) await untilQuiet(question, retained);
    return { kind: "asked", filters: answers, retained: retained.count };
  } finally {
    client.end(true);
  }
}

/** Without a session nothing is kept for this name, and nothing is taken from the gateway's. */
function optionsOf({ settings, withinMs }: BrokerQuestion, clientId: string): IClientOptions {
  const { properties, ...options } = clientOptions(settings);
  return {
    ...options,
    ...(properties ? { properties: { ...properties, sessionExpiryInterval: 0 } } : {}),
    clientId,
    clean: true,
    reconnectPeriod: 0,
    reconnectOnConnackError: false,
    connectTimeout: withinMs,
  };
}

function loggedIn(client: MqttClient, withinMs: number): Promise<BrokerAnswer | null> {
  return new Promise((resolve) => {
    const late = setTimeout(
      () => settle({ kind: "failed", code: "ETIMEDOUT", words: "no answer" }),
      withinMs,
    );
    function settle(answer: BrokerAnswer | null): void {
      clearTimeout(late);
      resolve(answer);
    }
    client.on("connect", () => settle(null));
    client.on("error", (error) => settle(failureOf(error)));
    client.on("close", () =>
      settle({ kind: "failed", code: "closed", words: "the broker ends the connection" }),
    );
  });
}

function failureOf(error: Error): BrokerAnswer {
  const words = messageOf(error) || (errorCode(error) ?? error.name);
  const [, refusal] = /^Connection refused: (.*)/.exec(words) ?? [];
  if (refusal !== undefined) return { kind: "refused", words: refusal };
  return { kind: "failed", code: errorCode(error) ?? "unknown", words };
}

/** One SUBSCRIBE for each filter: the library tells of one refusal in a packet, and not whose it is. */
function subscribed(client: MqttClient, filter: string, withinMs: number): Promise<FilterAnswer> {
  return new Promise((resolve) => {
    const unanswered = (words: string) => resolve({ filter, kind: "unanswered", words });
    const late = setTimeout(unanswered, withinMs, "no answer");
    client.on("close", () => {
      clearTimeout(late);
      unanswered("the broker ends the connection");
    });
    client.subscribe(filter, { qos: 1 }, (error, granted) => {
      clearTimeout(late);
      const refusal = error && /^Subscribe error: (.*)/.exec(error.message)?.[1];
      if (refusal) resolve({ filter, kind: "refused", words: refusal });
      else if (error) unanswered(error.message);
      else resolve({ filter, kind: "granted", qos: granted?.[0]?.qos ?? 0 });
    });
  });
}

const LOOK_EVERY_MS = 20;

async function untilQuiet(
  { quietMs, withinMs, maxRetained }: BrokerQuestion,
  retained: { readonly count: number; readonly lastAt: number },
): Promise<void> {
  const startedAt = performance.now();
  while (retained.count <= maxRetained) {
    const now = performance.now();
    if (now - Math.max(startedAt, retained.lastAt) >= quietMs || now - startedAt >= withinMs) return;
    await pause(LOOK_EVERY_MS);
  }
}
