/** Tells a request that is meant for us from one that another website made a browser send. */

import type { Context } from "hono";

export interface OwnHosts {
  /** Where the endpoint listens. */
  host: string;
  /** `ops.hosts`. */
  hosts: readonly string[];
}

/**
 * A name that only pretends to be ours (DNS rebinding) is one that somebody else chose. An address is nobody's name, and
 * localhost is this machine whatever a name server says.
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
 * Whether a page of ours sent it. A browser says so in one of two headers that no page can set; what is neither is no
 * browser, or too old a one to be trusted with a session.
 */
export function isSameOrigin(c: Context, own: OwnHosts): boolean {
  const site = c.req.header("sec-fetch-site");
  const origin = c.req.header("origin");
  if (site !== undefined && site !== "same-origin") return false;
  if (origin === undefined) return site === "same-origin";
  if (!URL.canParse(origin)) return false;
  const { host, hostname } = new URL(origin);
  const asked = c.req.header("host") ?? new URL(c.req.url).host;
  if (host === withoutDefaultPort(origin, asked)) return true;
  // A proxy may ask us by another name than the browser asked it.
  return site === "same-origin" && own.hosts.some((name) => name.toLowerCase() === hostname);
}

/**
 * A proxy in front may speak TLS for us. Nobody but the sender of a request can set its headers, and a forged one only
 * gives the forger a cookie that does not work.
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

/** Of `name:port`, in small letters and without the root's dot; null for what is no host at all. */
function nameOf(host: string): string | null {
  if (!URL.canParse(`http://${host}`)) return null;
  const url = new URL(`http://${host}`);
  // `name@host`, `host/path`: no browser writes that.
  if (url.href !== `http://${url.host}/`) return null;
  return url.hostname.replace(/\.$/, "");
}

function isAddress(name: string): boolean {
  return name.startsWith("[") || /^\d{1,3}(\.\d{1,3}){3}$/.test(name);
}

/** An origin leaves out the port that its scheme implies. */
function withoutDefaultPort(origin: string, host: string): string {
  const { protocol } = new URL(origin);
  return URL.canParse(`${protocol}//${host}`) ? new URL(`${protocol}//${host}`).host : host;
}
