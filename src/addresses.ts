/** IP addresses and ranges: parses them, matches them, and decides which addresses count as one sender. */

import ipaddr from "ipaddr.js";

export type Address = ipaddr.IPv4 | ipaddr.IPv6;
/** The first address of a range, and how many leading bits all its addresses share. */
export type AddressRange = readonly [base: Address, bits: number];

/** IPv4 written as IPv6 (`::ffff:10.0.0.1`, as a dual-stack socket reports it) becomes IPv4. Null for anything else. */
export function parseAddress(text: string): Address | null {
  return ipaddr.isValid(text) ? ipaddr.process(text) : null;
}

/**
 * An address or a CIDR range (RFC 4632) as people write it, or null when it is neither. IPv4 has four decimal parts:
 * `10.1` and `0x0a.0.0.1` are addresses to some programs and typing errors to people.
 */
export function parseRange(text: string): AddressRange | null {
  const [address = "", bits, ...more] = text.split("/");
  const isPlain = address.includes(":")
    ? ipaddr.IPv6.isValid(address)
    : ipaddr.IPv4.isValidFourPartDecimal(address);
  if (!isPlain || more.length > 0) return null;
  const base = ipaddr.parse(address);
  const widest = base.kind() === "ipv4" ? 32 : 128;
  if (bits !== undefined && (!/^[0-9]{1,3}$/.test(bits) || Number(bits) > widest)) return null;
  return asIpv4(base, bits === undefined ? widest : Number(bits));
}

/** A range within `::ffff:0:0/96` is one of IPv4. */
function asIpv4(base: Address, bits: number): AddressRange {
  return base instanceof ipaddr.IPv6 && base.isIPv4MappedAddress() && bits >= 96
    ? [base.toIPv4Address(), bits - 96]
    : [base, bits];
}

/** The ranges among `texts` as one test; a text that is no range matches no address. */
export function withinRanges(texts: readonly string[]): (address: Address) => boolean {
  const ranges = texts.map(parseRange).filter((range) => range !== null);
  return (address) => ranges.some((range) => isWithin(address, range));
}

function isWithin(address: Address, [base, bits]: AddressRange): boolean {
  // `match` throws when the kinds differ.
  return address.kind() === base.kind() && address.match(base, bits);
}

/**
 * The address whose share a sender uses: the address itself, and for IPv6 its /64. One customer gets a whole /64, so a
 * share of each single address would bound nothing. A text that is no address has a share of its own.
 */
export function addressShare(address: string): string {
  if (!address.includes(":") || !ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  if (parsed.kind() === "ipv4") return parsed.toString();
  const groups = parsed.toNormalizedString().split(":").slice(0, 4);
  return `${groups.join(":")}::/64`;
}

/** No public network routes them. */
const PRIVATE: readonly string[] = ["loopback", "private", "uniqueLocal", "linkLocal"];
/** Also no address of anybody else's server: they lead to this machine, to many, or into a provider's own network. */
const NOBODYS: readonly string[] = ["unspecified", "broadcast", "multicast", "carrierGradeNat", "reserved"];

/** Whether a name that was resolved leads into our own network, where a vendor has no business. */
export function leadsInside(text: string): boolean {
  const address = parseAddress(text);
  return address === null || PRIVATE.includes(address.range()) || NOBODYS.includes(address.range());
}

/** An address or a name of this machine or of a private network. */
export function isPrivateHost(name: string): boolean {
  const host = canonical(name);
  if (host === null) return false;
  const address = parseAddress(host);
  if (address !== null) return PRIVATE.includes(address.range());
  // A name without a dot is resolved by the local network or the container engine; the rest are reserved for them.
  return !host.includes(".") || /\.(localhost|local|internal|svc|test|home\.arpa)$/.test(host);
}

/** As a browser would read it: 134744072, 0x8.8.8.8 and 8.8.8.8 are one address, whatever the URL's scheme. */
function canonical(name: string): string | null {
  const bare = name.replace(/^\[|\]$/g, "");
  const text = `http://${bare.includes(":") ? `[${bare}]` : bare}`;
  return URL.canParse(text) ? new URL(text).hostname.replace(/^\[|\]$|\.$/g, "") : null;
}
