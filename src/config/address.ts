/** Decides whether credentials may be sent to an address. */

import { parseAddress } from "../addresses.ts";

const ENCRYPTED = /^(https|mqtts|ssl|wss|rediss):$/;

/** Encrypted, or to an address that no public network routes. */
export function isConfidential({ protocol, hostname }: URL): boolean {
  return ENCRYPTED.test(protocol) || isPrivateHost(hostname);
}

/** An address or a name of this machine or of a private network. */
export function isPrivateHost(name: string): boolean {
  const host = canonical(name);
  if (host === null) return false;
  const address = parseAddress(host);
  if (address !== null) return ["loopback", "private", "uniqueLocal", "linkLocal"].includes(address.range());
  // A name without a dot is resolved by the local network or the container engine; the rest are reserved for them.
  return !host.includes(".") || /\.(localhost|local|internal|svc|test|home\.arpa)$/.test(host);
}

/** As a browser would read it: 134744072, 0x8.8.8.8 and 8.8.8.8 are one address, whatever the URL's scheme. */
function canonical(name: string): string | null {
  const bare = name.replace(/^\[|\]$/g, "");
  const text = `http://${bare.includes(":") ? `[${bare}]` : bare}`;
  return URL.canParse(text) ? new URL(text).hostname.replace(/^\[|\]$|\.$/g, "") : null;
}
