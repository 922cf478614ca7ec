/** Logs a browser in by a link to one tenant's page, with role read and nothing of other tenants. */

import type { Link, Links } from "./links.ts";
import type { Session } from "./session.ts";
import type { Topology } from "./sight.ts";

/** What a cookie begins with that is a link, and not the session of a token. No token's session has the space. */
const MARK = "link ";

export function cookieOfLink(text: string): string {
  return `${MARK}${text}`;
}

/** The session that a link opens; null where the text is none, or its tenant is gone. */
export function sessionOfLink(cookie: string, links: Links, topology: Topology): Session | null {
  const link = cookie.startsWith(MARK) ? links.read(cookie.slice(MARK.length)) : null;
  const destinations = link && destinationsOf(link, topology);
  if (!link || !destinations || destinations.length === 0) return null;
  const token = { name: `link to ${link.tenant}`, token: "", role: "read" as const, destinations };
  return { id: link.id, token, endsAtMs: link.endsAtMs };
}

/** A name may have gone to another tenant since: what a document says now counts. */
function destinationsOf({ tenant, destinations }: Link, topology: Topology): readonly string[] {
  const own = topology.tenants?.get(tenant);
  if (own) return own.destinations;
  const taken = new Set([...(topology.tenants?.values() ?? [])].flatMap((each) => each.destinations));
  return destinations.filter((name) => topology.destinations.includes(name) && !taken.has(name));
}

/**
 * A page of ours that goes on by itself: a browser sends a strict cookie along with a request that one of our pages made,
 * and not with a redirect that came from another site.
 */
export function goOnPage(tenant: string): string {
  const path = `/tenants/${encodeURIComponent(tenant)}`;
  return `<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=${path}"><title>Waypost</title><p><a href="${path}">Go on</a>`;
}
