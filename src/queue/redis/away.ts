/** Says in words why Redis is away and at which address, and when it goes and comes back. */

import type { Redis } from "ioredis";
import { errorCode, messageOf } from "../../untrusted.ts";

const CLOSED = "connection closed";
/** The system's words for a connection that cannot be made or ends. */
const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: CLOSED,
  EPIPE: CLOSED,
  ETIMEDOUT: "no answer",
  EHOSTUNREACH: "no way to the host",
  ENETUNREACH: "no way to the network",
  ENOTFOUND: "no such host name",
  EAI_AGAIN: "the host name cannot be looked up now",
  ENOENT: "no such socket file",
  EACCES: "no access to the socket file",
};

/** How ioredis says that a command was not sent, or its answer lost, because there is no connection. */
const CONNECTION_LOST =
  /^(Stream isn't writeable|Connection is closed|Reached the max retries per request|Command aborted|Socket timeout)/;
/** Of a reply that refuses the login, the rest may quote what was sent. */
const LOGIN_REFUSED = /^(WRONGPASS|NOAUTH|NOPERM)|invalid password/;

/** The error that each connection ended with or could not be made for. */
const lastErrors = new WeakMap<Redis, unknown>();

/** Must be called as soon as the connection exists: the first attempt fails within a millisecond. */
export function rememberErrors(redis: Redis): void {
  redis.on("error", (error: unknown) => lastErrors.set(redis, error));
  redis.on("ready", () => lastErrors.delete(redis));
}

/**
 * Why Redis does not answer, and where: "connection refused at 127.0.0.1:6379". `error` is what a command failed with;
 * it counts where the connection itself has nothing to say. The URL's password never shows.
 */
export function whyRedisIsAway(redis: Redis, error?: unknown): string {
  return `${reasonOf(lastErrors.get(redis) ?? error)} at ${addressOf(redis)}`;
}

function addressOf({ options }: Redis): string {
  if (options.path) return options.path;
  const host = options.host ?? "localhost";
  return `${host.includes(":") ? `[${host}]` : host}:${options.port ?? 6379}`;
}

function reasonOf(error: unknown): string {
  if (error === undefined) return "not connected";
  const known = REASONS[errorCode(error) ?? ""];
  if (known !== undefined) return known;
  const message = messageOf(error);
  if (LOGIN_REFUSED.test(message)) return "the login is refused: see user and password in redis.url";
  if (/^(Socket timeout|Command timed out|connect ETIMEDOUT)/.test(message)) return "no answer in time";
  return isConnectionLost(error) ? CLOSED : message;
}

/** Whether the error follows from Redis being away, and so says nothing that is not said already. */
export function isConnectionLost(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return CONNECTION_LOST.test(error.message) || isConnectionLost(error.cause);
}

/** Whether BullMQ hands on what one of its connections could not do. */
export function isConnectionError(error: unknown): boolean {
  return isConnectionLost(error) || (errorCode(error) ?? "") in REASONS;
}

export interface AwayEvents {
  redisProblem(event: { problem: string }): void;
  redisRecovered(event: { afterMs: number }): void;
}

/**
 * One line when Redis goes, one more for each new reason, one when it is back. `meanwhile` says what becomes of the
 * senders. The connections reconnect by themselves, each second.
 */
export function watchConnections(connections: readonly Redis[], meanwhile: string, events: AwayEvents): void {
  let awaySince: number | null = null;
  const told = new Set<string>();
  let closings = 0;

  function failed(redis: Redis, error: unknown): void {
    awaySince ??= performance.now();
    const reason = reasonOf(error);
    // A Redis that is killed closes every connection once; why it does not come back is the news.
    if (reason === CLOSED && ++closings <= connections.length) return;
    // Two reasons may take turns, as a host does that restarts: each is told once.
    if (told.has(reason)) return;
    told.add(reason);
    const where = `Redis does not answer at ${addressOf(redis)} (${reason}).`;
    events.redisProblem({ problem: `${where} Is it running? Trying again every second; ${meanwhile}` });
  }

  function ready(): void {
    if (awaySince === null || connections.some(({ status }) => status !== "ready")) return;
    if (told.size > 0) events.redisRecovered({ afterMs: performance.now() - awaySince });
    awaySince = null;
    closings = 0;
    told.clear();
  }

  for (const redis of connections) {
    redis.on("error", (error: unknown) => failed(redis, error));
    redis.on("ready", ready);
  }
}
