/** Says which addresses count as one where each may have only a share of something. */

import ipaddr from "ipaddr.js";

/**
 * The address itself; for IPv6 its /64, which one customer gets whole: by single addresses a share would be no bound.
 * What is no address is a party of its own.
 */
export function addressShare(address: string): string {
  if (!address.includes(":") || !ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  if (parsed.kind() === "ipv4") return parsed.toString();
  const groups = parsed.toNormalizedString().split(":").slice(0, 4);
  return `${groups.join(":")}::/64`;
}
