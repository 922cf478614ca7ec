/** Takes webhooks: finds the source, hands the message to ingest, and tells the sender whether to send it again. */

import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { getRequestListener, type HttpBindings } from "@hono/node-server";
import { Hono } from "hono";
import type { Dispatcher } from "undici";
import type { Handshake, MessageHead, Reply } from "../../adapters/kit/adapter.ts";
import type { Events } from "../../events.ts";
import type { Authentication } from "../../ingest/authenticate.ts";
import type { Ingest, IngestResult } from "../../ingest/ingest.ts";
import type { Source } from "../../ingest/source.ts";
import { type ConnectionCap, guardConnections } from "../../limits/connections.ts";
import { createGuessing, type Verdict } from "../../limits/guessing.ts";
import { createAddressReader } from "../../limits/remote-address.ts";
import { createBodyReader, readRest } from "./body.ts";
import { createBodyRoom } from "./body-room.ts";
import { confirm } from "./confirm.ts";

export type WebhookEvents = Pick<
  Events,
  "webhookAnswered" | "sourceUnknown" | "failed" | "confirmationEnded" | "authFailed" | "incident"
>;
export type WebhookApp = Hono<{ Bindings: HttpBindings }>;

export interface WebhookParts {
  sources: ReadonlyMap<string, Source>;
  ingest: Ingest;
  limits: {
    /** Of the body as sent and of the body inflated. */
    bodyLimitBytes: number;
    answerWithinMs: number;
    /** Of all bodies that are not whole yet; a default that fits a small machine unless given. */
    unfinishedBytes?: number;
  };
  trustedProxies: readonly string[];
  /** Whether another process knows a source that is unknown here; left out, there are no others. */
  isKnownElsewhere?: (source: string) => Promise<boolean>;
  events: WebhookEvents;
  /** Told whose connections are of proven senders. */
  connections?: Pick<ConnectionCap, "authenticated"> | undefined;
  /** What confirmation fetches go through: a dispatcher of network.ts. */
  confirmVia: Dispatcher;
}

/** Asked of a sender whose message may still be kept although we could not wait for it; a resend is a duplicate. */
const LATE_RETRY_AFTER_S = 2;
/** Unfinished bodies end within the request timeout; most sooner. */
const NO_ROOM_RETRY_AFTER_S = 5;

/** A change of configuration goes from process to process within seconds or minutes; another process may be asked next. */
const UNKNOWN_RETRY_AFTER_S = 5;

const JSON_TYPE = { "content-type": "application/json" };
const LATE = { kind: "late" } as const;

export function createWebhookApp(parts: WebhookParts): WebhookApp {
  const { sources, ingest, limits, events } = parts;
  const { bodyLimitBytes: limitBytes, unfinishedBytes: totalBytes } = limits;
  const readBody = createBodyReader({ limitBytes, room: createBodyRoom({ limitBytes, totalBytes }) });
  const addressOf = createAddressReader(parts.trustedProxies);
  const guessing = createGuessing({ door: "webhook", events, where: (name) => `source ${name}` });

  async function take(name: string, incoming: IncomingMessage, outgoing: ServerResponse): Promise<Response> {
    const source = sources.get(name);
    if (source === undefined) {
      events.sourceUnknown({ name, remoteAddress: addressOf(incoming) ?? null });
      // 404 is final for many vendors; while a new configuration is rolled out it would cost the new source its messages.
      const comes = await parts.isKnownElsewhere?.(name);
      return comes ? comeAgain("unknown_here_yet", UNKNOWN_RETRY_AFTER_S) : notFound();
    }
    const methods: readonly string[] = source.adapter.methods ?? ["POST"];
    const method = incoming.method ?? "";
    if (!methods.includes(method)) {
      ingest.refuse(source, "wrong_method");
      return answer(405, { error: "method_not_allowed" }, { allow: methods.join(", ") });
    }
    // Arrival for the age of what it says; the vendor's clock starts when it has sent the last byte.
    const head = headOf(incoming, method, Date.now());
    const from = head.remoteAddress ?? "";
    const verdict = heard(source, from);
    if (verdict.kind === "refused") return unheard(source, verdict);
    if (verdict.kind === "wait") await guessing.wait(verdict.ms);
    // Before the body, so that a sender who is not authenticated costs neither the memory for one nor the time to inflate it.
    const early = ingest.authenticateHead(source, head);
    if (early !== null) {
      learn(source, from, early);
      if (early.kind !== "authenticated") return reply(source, early);
      parts.connections?.authenticated(incoming.socket, name);
    }
    const holder = early === null ? from : null;
    const body = method === "GET" ? EMPTY : await readBody(incoming, outgoing, holder);
    switch (body.kind) {
      case "too_large":
        ingest.refuse(source, "too_large");
        return answer(413, { error: "too_large" });
      case "unsupported_encoding":
        ingest.refuse(source, "unsupported_encoding");
        return answer(415, { error: "unsupported_encoding" }, { "accept-encoding": "gzip, deflate, br" });
      case "no_room":
        return comeAgain("no_room", NO_ROOM_RETRY_AFTER_S);
      case "aborted":
        return answer(400, { error: "incomplete" });
      case "whole":
        break;
      default:
        return body satisfies never;
    }
    if (early !== null) {
      const message = { ...early.message, body: body.bytes };
      return reply(source, await inTime(source, ingest.ingest(source, message), incoming));
    }
    // Others may have been wrong while the body came; who waited has its place already.
    const still = verdict.kind === "go" ? heard(source, from) : GO;
    if (still.kind !== "go") return unheard(source, still);
    const result = await inTime(source, ingest.receive(source, { ...head, body: body.bytes }), incoming);
    learn(source, from, result);
    return reply(source, result);
  }

  /** Where the proof is no secret, nothing can be guessed. */
  function heard({ authMethod, name }: Source, from: string): Verdict {
    return authMethod?.needs.includes("secrets") ? guessing.verdict(from, name) : GO;
  }

  function learn(
    { authMethod, name }: Source,
    from: string,
    result: IngestResult | Authentication<MessageHead> | typeof LATE,
  ): void {
    if (!authMethod?.needs.includes("secrets")) return;
    const { kind } = result;
    if (kind === "refused") {
      if (result.guess) guessing.failed(from, name);
      // A handshake may have come without credentials; of the other two it is not known.
    } else if (kind !== "handshake" && kind !== "failed" && kind !== "late") guessing.succeeded(from, name);
  }

  /** Told as any other refusal; but whose address was right before may be right again, and shall come again. */
  function unheard(source: Source, verdict: Verdict): Response {
    if (verdict.kind === "refused" && verdict.known) return comeAgain("guessing", verdict.retryAfterS);
    ingest.refuse(source, "guessing");
    return reply(source, { kind: "refused", reason: "guessing" });
  }

  function headOf(incoming: IncomingMessage, method: string, receivedAt: number): MessageHead {
    const head: MessageHead = {
      receivedAt,
      method,
      headers: headersOf(incoming),
      query: queryOf(incoming.url ?? ""),
      retained: false,
    };
    const remoteAddress = addressOf(incoming);
    if (remoteAddress !== undefined) head.remoteAddress = remoteAddress;
    return head;
  }

  async function inTime(
    source: Source,
    ingesting: Promise<IngestResult>,
    incoming: IncomingMessage,
  ): Promise<IngestResult | typeof LATE> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<typeof LATE>((resolve) => {
      timer = setTimeout(resolve, limits.answerWithinMs, LATE);
    });
    try {
      const result = await Promise.race([ingesting, late]);
      if (isAuthenticated(result)) parts.connections?.authenticated(incoming.socket, source.name);
      return result;
    } finally {
      clearTimeout(timer);
    }
  }

  /** The answer table: it says one thing, whether to send the message again. */
  function reply(source: Source, result: IngestResult | typeof LATE): Response {
    const { adapter } = source;
    switch (result.kind) {
      case "stored":
        return success(adapter.reply, () => ({
          stored: result.stored,
          duplicates: result.duplicates,
          rejected: result.rejections,
        }));
      case "spooled":
        return success(adapter.reply, () => ({ spooled: true }));
      case "ignored":
        return success(adapter.reply, () => ({ ignored: result.what }));
      case "handshake":
        follow(source, result.handshake);
        return spoken(result.handshake.reply);
      case "malformed":
        return adapter.malformedStatus === undefined
          ? success(adapter.reply, () => ({ quarantined: true }))
          : answer(adapter.malformedStatus, { error: "malformed", problems: result.problems });
      case "refused":
        return answer(
          adapter.refusal ?? 401,
          { error: "refused" },
          adapter.challenge === undefined ? undefined : { "www-authenticate": adapter.challenge },
        );
      case "deferred":
        return comeAgain(result.reason, result.retryAfterS);
      case "late":
        return comeAgain("late", LATE_RETRY_AFTER_S);
      case "failed":
        return result.quarantined
          ? success(adapter.reply, () => ({ quarantined: true }))
          : answer(500, { error: "internal_error", requestId: result.requestId });
      default:
        return result satisfies never;
    }
  }

  /** Fetches what the vendor asks to have fetched, after it has its answer; the outcome is only told. */
  function follow(source: Source, handshake: Handshake): void {
    if (handshake.confirm === undefined) return;
    void confirm(handshake.confirm, parts.confirmVia).then((outcome) =>
      events.confirmationEnded({ source: source.name, ...outcome }),
    );
  }

  const app: WebhookApp = new Hono<{ Bindings: HttpBindings }>();
  app.all("/webhooks/:source", async (c) => {
    const startedMs = performance.now();
    const response = await take(c.req.param("source"), c.env.incoming, c.env.outgoing);
    events.webhookAnswered(response.status, performance.now() - startedMs);
    await readRest(c.env.incoming, c.env.outgoing);
    return response;
  });
  app.notFound(notFound);
  app.onError((error) => {
    const requestId = randomUUID();
    events.failed({ where: "webhook", error: new Error(`Request ${requestId} failed.`, { cause: error }) });
    return answer(500, { error: "internal_error", requestId });
  });
  return app;
}

const GO = { kind: "go" } as const;
/** By its body; without that nothing of it would have been stored or even read. */
function isAuthenticated({ kind }: IngestResult | typeof LATE): boolean {
  return kind !== "refused" && kind !== "late" && kind !== "failed";
}

const EMPTY = { kind: "whole", bytes: new Uint8Array(0) } as const;

function notFound(): Response {
  return answer(404, { error: "not_found" });
}

function comeAgain(error: string, retryAfterS: number): Response {
  // Whole seconds (RFC 9110 §10.2.3), and never 0: that asks for the next attempt at once.
  return answer(503, { error }, { "retry-after": String(Math.max(1, Math.ceil(retryAfterS))) });
}

function success(reply: Reply | undefined, otherwise: () => object): Response {
  return reply === undefined ? answer(200, otherwise()) : spoken(reply);
}

function spoken({ status, contentType, body }: Reply): Response {
  return new Response(body, { status, headers: { "content-type": contentType } });
}

function answer(status: number, body: object, headers?: Record<string, string>): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: headers === undefined ? JSON_TYPE : { ...JSON_TYPE, ...headers },
  });
}

function headersOf(incoming: IncomingMessage): Record<string, string> {
  // Without a prototype: header names are the sender's words, `__proto__` included.
  const headers: Record<string, string> = Object.create(null);
  const received = incoming.headers;
  for (const name in received) {
    const value = received[name];
    if (typeof value === "string") headers[name] = value;
  }
  return headers;
}

const NO_QUERY: Readonly<Record<string, string>> = Object.freeze({});

function queryOf(url: string): Readonly<Record<string, string>> {
  const start = url.indexOf("?");
  if (start === -1) return NO_QUERY;
  const query: Record<string, string> = Object.create(null);
  for (const [name, value] of new URLSearchParams(url.slice(start + 1))) query[name] = value;
  return query;
}

export interface WebhookServer {
  port: number;
  /** Lets requests under way end, for at most this long. */
  close(withinMs: number): Promise<void>;
}

export interface ServeOptions {
  app: WebhookApp;
  host: string;
  port: number;
  /** PEM texts. With `ca`, senders must show a certificate signed by it. */
  tls?: { cert: string; key: string; ca?: string | undefined } | undefined;
  timeouts?: Partial<Timeouts>;
  connections?: ConnectionCap | undefined;
  /** A connection could not be taken, for want of descriptors as a rule. */
  onError?: (error: Error) => void;
}

interface Timeouts {
  /** To send all headers; enough over a bad mobile link, too little for a slow-loris to be cheap. */
  headersMs: number;
  /** To send the whole request: 2 MB at 70 kB/s. */
  requestMs: number;
  /** Longer than the 60 s after which common proxies (nginx, AWS ALB) drop an idle connection: they must go first. */
  keepAliveMs: number;
}

const TIMEOUTS: Timeouts = { headersMs: 10_000, requestMs: 30_000, keepAliveMs: 65_000 };

export async function serveWebhooks({
  app,
  host,
  port,
  tls,
  timeouts,
  connections,
  onError = () => {},
}: ServeOptions): Promise<WebhookServer> {
  const { headersMs, requestMs, keepAliveMs } = { ...TIMEOUTS, ...timeouts };
  const options = {
    headersTimeout: headersMs,
    requestTimeout: requestMs,
    keepAliveTimeout: keepAliveMs,
    // How late a timeout may be noticed; Node's default of 30 s would make ours 40.
    connectionsCheckingInterval: Math.min(1000, headersMs),
    // Without it a second Authorization header would be dropped in silence instead of failing the proof.
    joinDuplicateHeaders: true,
  };
  // A device that speaks HTTP/1.0 names no host; ours does not matter to any route.
  const listener = getRequestListener(app.fetch, { hostname: "localhost" });
  const server =
    tls === undefined
      ? createServer(options, listener)
      : createTlsServer(
          { ...options, ...tls, requestCert: tls.ca !== undefined, handshakeTimeout: headersMs },
          listener,
        );
  if (connections !== undefined) guardConnections(server, connections);
  // The body is asked for once the request has shown that it deserves one.
  server.on("checkContinue", (incoming, outgoing) => void listener(incoming, outgoing));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      server.on("error", onError);
      resolve();
    });
  });

  async function close(withinMs: number): Promise<void> {
    const force = setTimeout(() => server.closeAllConnections(), withinMs);
    // A connection that becomes idle after close() would otherwise be kept for the keep-alive time.
    const sweep = setInterval(() => server.closeIdleConnections(), 50);
    await new Promise<void>((resolve) => server.close(() => resolve()));
    clearTimeout(force);
    clearInterval(sweep);
  }

  return { port: (server.address() as AddressInfo).port, close };
}
