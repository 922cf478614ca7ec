/** Turns the head of a request into that of a message. */

import type { IncomingMessage } from "node:http";
import type { MessageHead } from "../../adapters/kit/adapter.ts";

export function headOf(
  incoming: IncomingMessage,
  method: string,
  remoteAddress: string | undefined,
): MessageHead {
  const head: MessageHead = {
    // For the age of what the message says, arrival counts; the vendor's clock starts when it has sent the last byte.
    receivedAt: Date.now(),
    method,
    headers: headersOf(incoming),
    query: queryOf(incoming.url ?? ""),
    retained: false,
  };
  if (remoteAddress !== undefined) head.remoteAddress = remoteAddress;
  return head;
}

function headersOf(incoming: IncomingMessage): Record<string, string> {
  // Without a prototype: header names are the sender's words, `__proto__` included.
  const headers: Record<string, string> = Object.create(null);
  const received = incoming.headers;
  for (const name in received) {
    const value = received[name];
    if (typeof value === "string") headers[name] = value;
  }
  return headers;
}

const NO_QUERY: Readonly<Record<string, string>> = Object.freeze({});

function queryOf(url: string): Readonly<Record<string, string>> {
  const start = url.indexOf("?");
  if (start === -1) return NO_QUERY;
  const query: Record<string, string> = Object.create(null);
  for (const [name, value] of new URLSearchParams(url.slice(start + 1))) query[name] = value;
  return query;
}
