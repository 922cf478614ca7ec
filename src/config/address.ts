/** Says whether credentials may be sent to an address. */

import ipaddr from "ipaddr.js";

/** https, or an address that no public network can carry. */
export function isConfidential(url: URL): boolean {
  if (url.protocol === "https:") return true;
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (ipaddr.isValid(host)) {
    return ["loopback", "private", "uniqueLocal", "linkLocal"].includes(ipaddr.process(host).range());
  }
  // A name without a dot is resolved by the local network or the container engine; the rest are reserved for them.
  return !host.includes(".") || /\.(localhost|local|internal|test)$/.test(host);
}
