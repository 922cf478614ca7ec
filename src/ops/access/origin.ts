/** Distinguishes requests meant for this endpoint from those that another website made a browser send. */

import type { Context } from "hono";

export interface OwnHosts {
  /** The host the endpoint listens on. */
  host: string;
  /** `ops.hosts`. */
  hosts: readonly string[];
}

/**
 * Only names of ours: any other may be an attacker's name that leads here (DNS rebinding). An address is safe because
 * no name server is involved, and localhost is this machine whatever a name server says.
 */
export function isOurHost(c: Context, own: OwnHosts): boolean {
  const given = [c.req.header("host"), new URL(c.req.url).host].filter((host) => host !== undefined);
  const names = new Set([own.host, ...own.hosts].map((name) => name.toLowerCase()));
  return given.every((host) => {
    const name = nameOf(host);
    return name !== null && (name === "localhost" || isAddress(name) || names.has(name));
  });
}

/**
 * Whether a page of ours sent the request. A browser says so in one of two headers that no page can set; a request with
 * neither comes from no browser, or from one too old to be trusted with a session.
 */
export function isSameOrigin(c: Context, own: OwnHosts): boolean {
  const site = c.req.header("sec-fetch-site");
  const origin = c.req.header("origin");
  if (site !== undefined && site !== "same-origin") return false;
  if (origin === undefined) return site === "same-origin";
  if (!URL.canParse(origin)) return false;
  const { host, hostname } = new URL(origin);
  const ownHost = c.req.header("host") ?? new URL(c.req.url).host;
  if (host === withoutDefaultPort(origin, ownHost)) return true;
  // A proxy may forward the request under another host name than the browser used.
  return site === "same-origin" && own.hosts.some((name) => name.toLowerCase() === hostname);
}

/**
 * A proxy in front may terminate TLS. Only the sender of a request can set its headers, and a forged one only gives the
 * sender itself a cookie that does not work.
 */
export function isHttps(c: Context): boolean {
  const forwarded = c.req.header("x-forwarded-proto")?.split(",")[0]?.trim().toLowerCase();
  return (forwarded ?? new URL(c.req.url).protocol.slice(0, -1)) === "https";
}

/** The peer as the Node server knows it; requests made without a server have none. */
export function addressOf(c: Context): string {
  const server: { incoming?: { socket?: { remoteAddress?: string } } } | undefined = c.env;
  return (server?.incoming?.socket?.remoteAddress ?? "unknown").replace(/^::ffff:/i, "");
}

/** The name in `name:port`, in lower case and without the final dot; null for what is no host at all. */
function nameOf(host: string): string | null {
  if (!URL.canParse(`http://${host}`)) return null;
  const url = new URL(`http://${host}`);
  // `name@host` or `host/path`: no browser sends that.
  if (url.href !== `http://${url.host}/`) return null;
  return url.hostname.replace(/\.$/, "");
}

function isAddress(name: string): boolean {
  return name.startsWith("[") || /^\d{1,3}(\.\d{1,3}){3}$/.test(name);
}

/** An origin omits the default port of its scheme. */
function withoutDefaultPort(origin: string, host: string): string {
  const { protocol } = new URL(origin);
  return URL.canParse(`${protocol}//${host}`) ? new URL(`${protocol}//${host}`).host : host;
}
