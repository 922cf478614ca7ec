/** One HTTP exchange: sends a request once, and returns the whole bounded answer or a named failure. */

import type { Dispatcher } from "undici";
import { codeOf, createDispatcher, type NetworkReason, type ProxySettings, reasonOf } from "../network.ts";
import { USER_AGENT } from "../version.ts";

/** Why a destination or its scope cannot accept anything now. Short words, fit for metric labels. */
export type UnavailableReason = NetworkReason | "token_unavailable" | `http_${number}`;

export interface HttpRequest {
  /** Default: POST. */
  method?: "GET";
  origin: string;
  path: string;
  headers: Record<string, string>;
  body?: string;
  /** For all of it: connecting, sending, waiting and reading. */
  timeoutMs: number;
  /** Called right before the request is sent, however long connecting took. After false the exchange fails unsent. */
  beforeSend?: () => boolean;
}

export interface Answer {
  status: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Null when it was longer than MAX_ANSWER_BYTES. */
  body: string | null;
}

export type Exchanged =
  | { kind: "answered"; answer: Answer; tookMs: number }
  /** No answer, or only part of a 2xx one. `code` is the system's word for what went wrong. */
  | { kind: "failed"; reason: UnavailableReason; code: string; status: number | null; tookMs: number };

export interface Http {
  /** Never rejects. */
  exchange(request: HttpRequest): Promise<Exchanged>;
  /** Lets requests under way end, then closes the connections. */
  close(): Promise<void>;
}

/** A thousand results with long messages are a quarter of it; a longer body is no answer of this API. */
const MAX_ANSWER_BYTES = 1_048_576;

export function createHttp(proxy: ProxySettings): Http {
  const dispatcher = createDispatcher(proxy);
  return {
    exchange: (request) => exchange(dispatcher, request),
    close: () => dispatcher.close(),
  };
}

function exchange(dispatcher: Dispatcher, request: HttpRequest): Promise<Exchanged> {
  return new Promise((resolve) => {
    let startedAt = performance.now();
    let isSent = false;
    let settled = false;
    let controller: Dispatcher.DispatchController | null = null;
    let status: number | null = null;
    let headers: Answer["headers"] = {};
    let chunks: Buffer[] = [];
    let bytes = 0;

    function settle(exchanged: Exchanged): void {
      if (settled) return;
      settled = true;
      clearTimeout(deadline);
      resolve(exchanged);
    }
    function tookMs(): number {
      return performance.now() - startedAt;
    }
    function answered(body: string | null): void {
      if (status !== null) settle({ kind: "answered", answer: { status, headers, body }, tookMs: tookMs() });
    }
    function failed(reason: UnavailableReason, code: string): void {
      // A bad status is enough, even without its body; a good one is not, since the body holds the results.
      if (status !== null && (status < 200 || status > 299)) answered(textOf(chunks));
      else settle({ kind: "failed", reason, code, status, tookMs: tookMs() });
    }

    const deadline = setTimeout(() => {
      failed("timeout", "deadline");
      controller?.abort(new Error("The exchange took too long."));
    }, request.timeoutMs);

    const { method = "POST", origin, path, body = null } = request;
    const requestHeaders = { "user-agent": USER_AGENT, ...request.headers };
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(given) {
        controller = given;
        // The deadline passed while the connection was being made: the request must not be sent any more.
        if (settled) return given.abort(new Error("The exchange took too long."));
        // Thrown, because an abort would close the connection, and the next request would be late again.
        if (request.beforeSend?.() === false)
          throw Object.assign(new Error("It is too late."), { code: TOO_LATE });
        startedAt = performance.now();
        isSent = true;
      },
      onResponseStart(_controller, statusCode, given) {
        // An informational status may come first; the last status counts.
        status = statusCode;
        headers = given;
        chunks = [];
      },
      onResponseData(given, chunk) {
        bytes += chunk.length;
        if (bytes <= MAX_ANSWER_BYTES) {
          chunks.push(chunk);
          return;
        }
        answered(null);
        given.abort(new Error("The answer is too long."));
      },
      onResponseEnd() {
        answered(textOf(chunks));
      },
      onResponseError(_controller, error) {
        const code = codeOf(error);
        failed(reasonOf(code, isSent), code);
      },
    };
    try {
      dispatcher.dispatch({ origin, path, method, headers: requestHeaders, body }, handler);
    } catch (error) {
      const code = codeOf(error);
      failed(reasonOf(code, isSent), code);
    }
  });
}

const TOO_LATE = "TOO_LATE";

function textOf(chunks: Buffer[]): string {
  const [first] = chunks;
  if (first === undefined) return "";
  return (chunks.length === 1 ? first : Buffer.concat(chunks)).toString("utf8");
}
