/** The guarded way out: through a proxy where there is one, certificates always verified, and names for its failures. */

import { lookup } from "node:dns";
import type { LookupFunction } from "node:net";
import { Agent, type Dispatcher, EnvHttpProxyAgent, Pool } from "undici";
import { leadsInside } from "./addresses.ts";

/** From the proxy environment, which config/ reads; null where it is not set. */
export interface ProxySettings {
  httpProxy: string | null;
  httpsProxy: string | null;
  /** Hosts reached directly, as in NO_PROXY; empty for none. */
  noProxy: string;
}

/** Why no answer came. Short words, fit for metric labels. */
export type NetworkReason =
  | "timeout"
  | "connection_refused"
  | "connection_reset"
  | "connect_timeout"
  | "dns_error"
  | "tls_error"
  | "proxy_refused"
  | "network_error";

/** A TLS handshake over a bad line takes one or two seconds; the attempts come again anyway. */
const CONNECT_TIMEOUT_MS = 5000;
/**
 * Idle connections are dropped after this, unless the server announces less: well below the 60 s after which common
 * load balancers drop them, so that a POST seldom meets a connection that is just being closed, and long enough that
 * a quiet tenant does not connect anew for each batch.
 */
const KEEP_ALIVE_MS = 30_000;

/** `reach`: with `outside`, a name that leads into our own network is refused, wherever its owner points it today. */
export function createDispatcher(
  { httpProxy, httpsProxy, noProxy }: ProxySettings,
  reach: "anywhere" | "outside" = "anywhere",
): Dispatcher {
  const toProxy = {
    timeout: CONNECT_TIMEOUT_MS,
    // Explicit, or NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment would switch verification off.
    rejectUnauthorized: true,
  };
  const connect = { ...toProxy, ...(reach === "outside" && { lookup: lookupOutside }) };
  const options = {
    connect,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // One deadline covers the whole exchange; undici's own timers are coarse and would only name the failure differently.
    headersTimeout: 0,
    bodyTimeout: 0,
  };
  if (httpProxy === null && httpsProxy === null) return new Agent(options);
  return new EnvHttpProxyAgent({
    ...options,
    // Left out, undici would read each of the three from the environment, past the configuration.
    httpProxy: httpProxy ?? "",
    httpsProxy: httpsProxy ?? "",
    noProxy,
    // The proxy itself is usually one of ours.
    proxyTls: toProxy,
    requestTls: connect,
    clientFactory: proxyPool,
  });
}

/** The proxy that requests to this origin go through, as undici decides it; null where they go directly. */
export function proxyFor(origin: string, { httpProxy, httpsProxy, noProxy }: ProxySettings): string | null {
  const { protocol, hostname, port } = new URL(origin);
  // Without one of its own, https goes the way of http.
  const proxy = protocol === "https:" ? (httpsProxy ?? httpProxy) : httpProxy;
  if (proxy === null || noProxy.trim() === "*") return null;
  const ownPort = port || (protocol === "https:" ? "443" : "80");
  const isExcepted = noProxy
    .toLowerCase()
    .split(/[,\s]+/)
    .filter((entry) => entry !== "")
    .some((entry) => {
      const [, name = entry, onlyPort] = /^(.+):(\d+)$/.exec(entry) ?? [];
      if (onlyPort !== undefined && onlyPort !== ownPort) return false;
      const bare = name.replace(/^\*?\./, "");
      return hostname === bare || hostname.endsWith(`.${bare}`);
    });
  return isExcepted ? null : proxy;
}

/** Behind a proxy it is the proxy that resolves names, and guards them. */
const lookupOutside: LookupFunction = (name, options, done) => {
  lookup(name, { ...options, all: true }, (error, addresses) => {
    const [first] = addresses ?? [];
    if (error || !first) return done(error ?? new Error(`${name} has no address.`), []);
    if (addresses.some(({ address }) => leadsInside(address))) {
      const refused = new Error(`${name} leads into our own network.`);
      return done(Object.assign(refused, { code: LEADS_INSIDE }), []);
    }
    if (options.all) done(null, addresses);
    else done(null, first.address, first.family);
  });
};
export const LEADS_INSIDE = "LEADS_INSIDE";

/** Connections to the proxy, over which tunnels are requested. */
function proxyPool(origin: URL, options: object): Dispatcher {
  // The answer to CONNECT is part of connecting.
  const pool = new Pool(origin, { ...options, headersTimeout: CONNECT_TIMEOUT_MS });
  const openTunnel: (request: Dispatcher.ConnectOptions) => Promise<Dispatcher.ConnectData> = pool.connect;
  const connect = (request: Dispatcher.ConnectOptions) =>
    openTunnel.call(pool, request).catch((error: unknown) => {
      // After a broken socket undici requests the tunnel again at once and for ever: hundreds of times a second while
      // the proxy is restarting.
      if (codeOf(error) !== "UND_ERR_SOCKET") throw error;
      throw Object.assign(new Error("The proxy closed the connection.", { cause: error }), {
        code: PROXY_CLOSED,
      });
    });
  return Object.assign(pool, { connect });
}
const PROXY_CLOSED = "PROXY_CLOSED";

/** The first `code` on the way down through causes and, where several addresses were tried, their errors. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  if ("code" in error && typeof error.code === "string") return error.code;
  if (error instanceof AggregateError) return codeOf(error.errors[0]);
  return error.cause === undefined ? error.name : codeOf(error.cause);
}

/** By code, never by message: messages change between versions and carry hosts and addresses. */
export function reasonOf(code: string, isSent: boolean): NetworkReason {
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
      return isSent ? "timeout" : "connect_timeout";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "dns_error";
    case "UND_ERR_PRX_TLS":
      return "tls_error";
    case PROXY_CLOSED:
      return "proxy_refused";
    case "UND_ERR_ABORTED":
      // We abort only settled exchanges; before the request was sent, the proxy gave up.
      return isSent ? "network_error" : "proxy_refused";
    default:
      return TLS_CODE.test(code) ? "tls_error" : "network_error";
  }
}

/** OpenSSL's verification results as Node names them, Node's own TLS errors, and a handshake with something else. */
const TLS_CODE =
  /^(ERR_TLS_|ERR_SSL_|ERR_OSSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH|EPROTO)/;

/** `Retry-After` in milliseconds: seconds, which some vendors give with a fraction, or a date; null without one. */
export function retryAfterHeaderMs(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  now: number,
): number | null {
  const header = only(headers["retry-after"])?.trim();
  if (header === undefined || header === "") return null;
  if (/^\d+(\.\d+)?$/.test(header)) return Number(header) * 1000;
  const until = Date.parse(header);
  if (Number.isNaN(until)) return null;
  // By the server's own clock where it sends it: ours may be off by more than the wait.
  const serverNow = Date.parse(only(headers.date) ?? "");
  return until - (Number.isNaN(serverNow) ? now : serverNow);
}

function only(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}
