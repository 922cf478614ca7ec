/** Receives webhooks: finds the source, hands the message to ingest, and tells the sender whether to send it again. */

import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { HttpBindings } from "@hono/node-server";
import { Hono } from "hono";
import type { Dispatcher } from "undici";
import type { Handshake, MessageHead } from "../../adapters/kit/adapter.ts";
import type { Events } from "../../events/events.ts";
import type { Ingest } from "../../ingest/ingest.ts";
import type { Source } from "../../ingest/source.ts";
import type { ConnectionCap } from "../../limits/connections.ts";
import type { Verdict } from "../../limits/guessing.ts";
import { createAddressReader } from "../../limits/remote-address.ts";
import { answer, answerTo, answerToPart, comeAgain, LATE, notFound, type WebhookResult } from "./answers.ts";
import { createBodyReader, readRest } from "./body.ts";
import { createBodyBudget } from "./body-budget.ts";
import { confirm } from "./confirm.ts";
import { headOf } from "./head.ts";
import { answerToProbe } from "./probe.ts";
import { createSecretGuessing } from "./secret-guessing.ts";

export type WebhookEvents = Pick<
  Events,
  "webhookAnswered" | "sourceUnknown" | "failed" | "confirmationEnded" | "authFailed" | "incident"
>;
export type WebhookApp = Hono<{ Bindings: HttpBindings }>;

export interface WebhookDeps {
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
  /** Learns which connections are of authenticated senders. */
  connections?: Pick<ConnectionCap, "authenticated"> | undefined;
  /** What confirmation fetches go through: a dispatcher of network.ts. */
  confirmVia: Dispatcher;
}

/** A change of configuration goes from process to process within seconds or minutes; another process may be asked next. */
const UNKNOWN_RETRY_AFTER_S = 5;

const EMPTY = { kind: "whole", bytes: new Uint8Array(0) } as const;

export function createWebhookApp(deps: WebhookDeps): WebhookApp {
  const { sources, ingest, limits, events, connections } = deps;
  const { bodyLimitBytes: limitBytes, unfinishedBytes: totalBytes } = limits;
  const readBody = createBodyReader({ limitBytes, budget: createBodyBudget({ limitBytes, totalBytes }) });
  const addressOf = createAddressReader(deps.trustedProxies);
  const guessing = createSecretGuessing(events);

  async function handleRequest(
    source: Source,
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    kind?: string,
  ): Promise<Response> {
    if (kind !== undefined && !source.adapter.kindInPath) return notFound();
    const methods = methodsOf(source);
    const method = incoming.method ?? "";
    if (!methods.includes(method)) {
      ingest.refuse(source, "wrong_method", addressOf(incoming));
      return answer(405, { error: "method_not_allowed" }, { allow: methods.join(", ") });
    }
    const plain = headOf(incoming, method, addressOf(incoming));
    const head = kind === undefined ? plain : { ...plain, query: { ...plain.query, kind } };
    return await handleMessage(source, head, incoming, outgoing);
  }

  async function answerToUnknown(name: string, incoming: IncomingMessage): Promise<Response> {
    events.sourceUnknown({ name, remoteAddress: addressOf(incoming) ?? null });
    // 404 is final for many vendors; while a new configuration is rolled out it would cost the new source its messages.
    const isKnown = await deps.isKnownElsewhere?.(name);
    return isKnown ? comeAgain("unknown_here_yet", UNKNOWN_RETRY_AFTER_S) : notFound();
  }

  async function handleMessage(
    source: Source,
    head: MessageHead,
    incoming: IncomingMessage,
    outgoing: ServerResponse,
  ): Promise<Response> {
    const from = head.remoteAddress ?? "";
    const verdict = guessing.verdict(source, from);
    if (verdict.kind === "refused") return refuseGuess(source, verdict, from);
    if (verdict.kind === "wait") await guessing.wait(verdict.ms);
    // Before the body, so that a sender who is not authenticated costs neither the memory for one nor the time to inflate it.
    const early = ingest.authenticateHead(source, head);
    if (early !== null) {
      guessing.learn(source, from, early);
      if (early.kind !== "authenticated") return answerTo(source, early);
      connections?.authenticated(incoming.socket, source.name);
    }
    const budgetOwner = early === null ? from : null;
    const body = head.method === "GET" ? EMPTY : await readBody(incoming, outgoing, budgetOwner, source.name);
    if (body.kind !== "whole") {
      if (body.kind === "too_large" || body.kind === "unsupported_encoding") {
        ingest.refuse(source, body.kind, from);
      }
      return answerToPart(body);
    }
    if (early !== null) {
      const message = { ...early.message, body: body.bytes };
      return conclude(source, await inTime(source, ingest.ingest(source, message), incoming));
    }
    // Others may have guessed wrong while the body came. A sender that waited has its turn already.
    const still = verdict.kind === "go" ? guessing.verdict(source, from) : null;
    if (still !== null && still.kind !== "go") return refuseGuess(source, still, from);
    const result = await inTime(source, ingest.receive(source, { ...head, body: body.bytes }), incoming);
    guessing.learn(source, from, result);
    return conclude(source, result);
  }

  /** Answered as any other refusal; but a sender that was right before from its address may be right again, and comes again. */
  function refuseGuess(source: Source, verdict: Verdict, from: string): Response {
    if (verdict.kind === "refused" && verdict.isTrusted) return comeAgain("guessing", verdict.retryAfterS);
    ingest.refuse(source, "guessing", from);
    return answerTo(source, { kind: "refused", reason: "guessing" });
  }

  async function inTime(
    source: Source,
    ingesting: Promise<WebhookResult>,
    incoming: IncomingMessage,
  ): Promise<WebhookResult> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<typeof LATE>((resolve) => {
      timer = setTimeout(resolve, limits.answerWithinMs, LATE);
    });
    try {
      const result = await Promise.race([ingesting, late]);
      if (isOfAuthenticated(result)) connections?.authenticated(incoming.socket, source.name);
      return result;
    } finally {
      clearTimeout(timer);
    }
  }

  function conclude(source: Source, result: WebhookResult): Response {
    if (result.kind === "handshake") follow(source, result.handshake);
    return answerTo(source, result);
  }

  /** Fetches what the vendor asks to have fetched, after the vendor has its answer; the outcome is only reported. */
  function follow(source: Source, handshake: Handshake): void {
    if (handshake.confirm === undefined) return;
    void confirm(handshake.confirm, deps.confirmVia).then((outcome) =>
      events.confirmationEnded({ source: source.name, ...outcome }),
    );
  }

  // Some vendors' forms end every address with a slash: not strict, it is the same address.
  const app: WebhookApp = new Hono<{ Bindings: HttpBindings }>({ strict: false });
  app.all("/webhooks/:source/:kind?", async (c) => {
    const startedMs = performance.now();
    const { incoming, outgoing } = c.env;
    const { source: name, kind } = c.req.param();
    const source = sources.get(name);
    const probed = source === undefined ? null : answerToProbe(incoming, methodsOf(source));
    if (probed !== null) return probed;
    const response =
      source === undefined
        ? await answerToUnknown(name, incoming)
        : await handleRequest(source, incoming, outgoing, kind);
    events.webhookAnswered(response.status, performance.now() - startedMs);
    await readRest(incoming, outgoing);
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

function methodsOf({ adapter }: Source): readonly string[] {
  return adapter.methods ?? ["POST"];
}

/** Otherwise nothing of the message would have been stored or even decoded. */
function isOfAuthenticated({ kind }: WebhookResult): boolean {
  return kind !== "refused" && kind !== "late" && kind !== "failed";
}
