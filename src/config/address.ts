/** Decides whether credentials may be sent to an address. */

import { isPrivateHost } from "../addresses.ts";

export { isPrivateHost };

const ENCRYPTED = /^(https|mqtts|ssl|wss|rediss):$/;

/** Encrypted, or to an address that no public network routes. */
export function isConfidential({ protocol, hostname }: URL): boolean {
  return ENCRYPTED.test(protocol) || isPrivateHost(hostname);
}
