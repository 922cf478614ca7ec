/** What a sender is answered. The answer means one thing: whether to send the message again. */

import type { Reply } from "../../adapters/kit/adapter.ts";
import type { IngestResult } from "../../ingest/result.ts";
import type { Source } from "../../ingest/source.ts";
import type { StoreError } from "../../ingest/store.ts";
import type { BodyResult } from "./body.ts";

/** We could not wait for the result within the time that senders give us. */
export const LATE = { kind: "late" } as const;

export type WebhookResult = IngestResult | typeof LATE;

/** Asked of a sender whose message may still be stored although we could not wait for it; a resend is a duplicate. */
const LATE_RETRY_AFTER_S = 2;
/** Unfinished bodies end within the request timeout; most sooner. */
const NO_ROOM_RETRY_AFTER_S = 5;

/** The answer table. */
export function answerTo(
  { adapter, authMethod }: Pick<Source, "adapter" | "authMethod">,
  result: WebhookResult,
): Response {
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
      return inVendorsWords(result.handshake.reply);
    case "malformed":
      return adapter.malformedStatus === undefined
        ? success(adapter.reply, () => ({ quarantined: true }))
        : answer(adapter.malformedStatus, { error: "malformed", problems: result.problems });
    case "refused": {
      const challenge = authMethod?.challenge ?? adapter.challenge;
      const status = authMethod?.challenge === undefined ? (adapter.refusal ?? 401) : 401;
      const headers = challenge === undefined ? undefined : { "www-authenticate": challenge };
      return answer(status, { error: "refused" }, headers);
    }
    case "deferred":
      return comeAgain(result.reason, result.retryAfterS, BY_OWN_DOING.has(result.reason) ? 429 : 503);
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

/** For a body that did not come whole, so that nothing of it is decoded. */
export function answerToPart(body: Exclude<BodyResult, { kind: "whole" }>): Response {
  switch (body.kind) {
    case "too_large":
      return answer(413, { error: "too_large" });
    case "unsupported_encoding":
      return answer(415, { error: "unsupported_encoding" }, { "accept-encoding": "gzip, deflate, br" });
    case "no_room":
      return comeAgain("no_room", NO_ROOM_RETRY_AFTER_S);
    case "aborted":
      return answer(400, { error: "incomplete" });
    default:
      return body satisfies never;
  }
}

export function notFound(): Response {
  return answer(404, { error: "not_found" });
}

/** The tenant sends, or has waiting, more than it may: RFC 6585 has a status for that. */
const BY_OWN_DOING: ReadonlySet<string> = new Set<StoreError["reason"]>(["tenant_rate", "tenant_backlog"]);

export function comeAgain(error: string, retryAfterS: number, status: 429 | 503 = 503): Response {
  // Whole seconds (RFC 9110 §10.2.3), and never 0: that asks for the next attempt at once.
  return answer(status, { error }, { "retry-after": String(Math.max(1, Math.ceil(retryAfterS))) });
}

const JSON_TYPE = { "content-type": "application/json" };

export function answer(status: number, body: object, headers?: Record<string, string>): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: headers === undefined ? JSON_TYPE : { ...JSON_TYPE, ...headers },
  });
}

function success(reply: Reply | undefined, otherwise: () => object): Response {
  return reply === undefined ? answer(200, otherwise()) : inVendorsWords(reply);
}

function inVendorsWords({ status, contentType, body }: Reply): Response {
  return new Response(body, { status, headers: { "content-type": contentType } });
}
