/** One HTTP exchange: a request goes out once, and the whole bounded answer or a named failure comes back. */

import { Agent, type Dispatcher, EnvHttpProxyAgent, Pool } from "undici";
import type { UnavailableReason } from "./outcome.ts";

/** From the proxy environment, read by whoever reads the environment; null where there is none. */
export interface ProxySettings {
  httpProxy: string | null;
  httpsProxy: string | null;
  /** Hosts reached directly, as in NO_PROXY; empty for none. */
  noProxy: string;
}

export interface HttpRequest {
  origin: string;
  path: string;
  headers: Record<string, string>;
  body: string;
  /** For all of it: connecting, sending, waiting and reading. */
  timeoutMs: number;
  /** Asked right before the request leaves, however long connecting took. After a no it fails without having left. */
  mayLeave?: () => boolean;
}

export interface Answer {
  status: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Null when it was longer than MAX_ANSWER_BYTES. */
  body: string | null;
}

export type Exchanged =
  | { kind: "answered"; answer: Answer; tookMs: number }
  /** No answer, or only part of a good one. `code` is the system's word for what went wrong. */
  | { kind: "failed"; reason: UnavailableReason; code: string; status: number | null; tookMs: number };

export interface Http {
  /** Never rejects. */
  exchange(request: HttpRequest): Promise<Exchanged>;
  /** Lets requests under way end, then closes the connections. */
  close(): Promise<void>;
}

/** A thousand results with long messages are a quarter of it; more is no answer of this API. */
const MAX_ANSWER_BYTES = 1_048_576;
/** A TLS handshake over a bad line takes one or two seconds; the attempts come again anyway. */
const CONNECT_TIMEOUT_MS = 5000;
/**
 * Idle connections are dropped after this, unless the server announces less: well below the 60 s after which common
 * load balancers drop them, so that a POST seldom meets a connection that is just being closed, and long enough that
 * a quiet tenant does not connect anew for each batch.
 */
const KEEP_ALIVE_MS = 30_000;

export function createHttp(proxy: ProxySettings): Http {
  const dispatcher = createDispatcher(proxy);
  return {
    exchange: (request) => exchange(dispatcher, request),
    close: () => dispatcher.close(),
  };
}

function createDispatcher({ httpProxy, httpsProxy, noProxy }: ProxySettings): Dispatcher {
  // Said aloud, or NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment would switch verification off.
  const connect = { timeout: CONNECT_TIMEOUT_MS, rejectUnauthorized: true };
  const options = {
    connect,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // One deadline covers the whole exchange; undici's own timers are coarse and would only name it differently.
    headersTimeout: 0,
    bodyTimeout: 0,
  };
  if (httpProxy === null && httpsProxy === null) return new Agent(options);
  return new EnvHttpProxyAgent({
    ...options,
    // Left out, each of the three would be read from the environment behind the configuration's back.
    httpProxy: httpProxy ?? "",
    httpsProxy: httpsProxy ?? "",
    noProxy,
    proxyTls: connect,
    requestTls: connect,
    clientFactory: proxyPool,
  });
}

/** Connections to the proxy, over which tunnels are asked for. */
function proxyPool(origin: URL, options: object): Dispatcher {
  // The answer to CONNECT is part of connecting.
  const pool = new Pool(origin, { ...options, headersTimeout: CONNECT_TIMEOUT_MS });
  const ask: (request: Dispatcher.ConnectOptions) => Promise<Dispatcher.ConnectData> = pool.connect;
  const connect = (request: Dispatcher.ConnectOptions) =>
    ask.call(pool, request).catch((error: unknown) => {
      // Told a broken socket, undici asks for the tunnel again at once and for ever: hundreds of times a second
      // while the proxy is restarting.
      if (codeOf(error) !== "UND_ERR_SOCKET") throw error;
      throw Object.assign(new Error("The proxy closed the connection.", { cause: error }), {
        code: PROXY_CLOSED,
      });
    });
  return Object.assign(pool, { connect });
}
const PROXY_CLOSED = "PROXY_CLOSED";

function exchange(dispatcher: Dispatcher, request: HttpRequest): Promise<Exchanged> {
  return new Promise((resolve) => {
    let startedAt = performance.now();
    let leftOnSocket = false;
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
      // A bad status says enough, whatever became of its body; a good one does not, for the body holds the results.
      if (status !== null && (status < 200 || status > 299)) answered(textOf(chunks));
      else settle({ kind: "failed", reason, code, status, tookMs: tookMs() });
    }

    const deadline = setTimeout(() => {
      failed("timeout", "deadline");
      controller?.abort(new Error("The exchange took too long."));
    }, request.timeoutMs);

    const { origin, path, headers: requestHeaders, body } = request;
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(given) {
        controller = given;
        // The deadline passed while the connection was being made: the request must not leave any more.
        if (settled) return given.abort(new Error("The exchange took too long."));
        // Thrown, for an abort would cost the connection, and the next request would be late again.
        if (request.mayLeave?.() === false)
          throw Object.assign(new Error("It is too late."), { code: TOO_LATE });
        startedAt = performance.now();
        leftOnSocket = true;
      },
      onResponseStart(_controller, statusCode, given) {
        // An informational status may come first; the last one counts.
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
        failed(reasonOf(code, leftOnSocket), code);
      },
    };
    try {
      dispatcher.dispatch({ origin, path, method: "POST", headers: requestHeaders, body }, handler);
    } catch (error) {
      const code = codeOf(error);
      failed(reasonOf(code, leftOnSocket), code);
    }
  });
}

const TOO_LATE = "TOO_LATE";

function textOf(chunks: Buffer[]): string {
  const [first] = chunks;
  if (first === undefined) return "";
  return (chunks.length === 1 ? first : Buffer.concat(chunks)).toString("utf8");
}

/** The first `code` on the way down through causes and, where several addresses were tried, their errors. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  if ("code" in error && typeof error.code === "string") return error.code;
  if (error instanceof AggregateError) return codeOf(error.errors[0]);
  return error.cause === undefined ? error.name : codeOf(error.cause);
}

/** By code, never by message: messages change between versions and carry hosts and addresses. */
function reasonOf(code: string, leftOnSocket: boolean): UnavailableReason {
  switch (code) {
    case "ECONNREFUSED":
      return "connection_refused";
    case "ECONNRESET":
    case "EPIPE":
    case "ECONNABORTED":
    case "UND_ERR_SOCKET":
      return "connection_reset";
    case "UND_ERR_CONNECT_TIMEOUT":
    case "UND_ERR_HEADERS_TIMEOUT":
      return "connect_timeout";
    case "ETIMEDOUT":
      return leftOnSocket ? "timeout" : "connect_timeout";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "dns_error";
    case "UND_ERR_PRX_TLS":
      return "tls_error";
    case PROXY_CLOSED:
      return "proxy_refused";
    case "UND_ERR_ABORTED":
      // We abort only what has settled already; before the request left, it was the proxy that gave up.
      return leftOnSocket ? "network_error" : "proxy_refused";
    default:
      return TLS_CODE.test(code) ? "tls_error" : "network_error";
  }
}

/** OpenSSL's verification results as Node names them, Node's own TLS errors, and a handshake with something else. */
const TLS_CODE =
  /^(ERR_TLS_|ERR_SSL_|ERR_OSSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH|EPROTO)/;
