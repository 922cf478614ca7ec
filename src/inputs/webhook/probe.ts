/** Answers a vendor's form that only tries whether the address is there, before it sends anything. */

import type { IncomingMessage } from "node:http";
import { answer } from "./answers.ts";

/** Of the query, what an address carries by itself; all else in a GET is a message sent by the wrong method. */
const IN_ADDRESS: ReadonlySet<string> = new Set(["token"]);

/**
 * The answer to a probe, null for all else. It is the same for right, wrong and no credentials, which nobody looks at: a
 * probe is neither a message nor a refusal, and no guess.
 */
export function answerToProbe(incoming: IncomingMessage, methods: readonly string[]): Response | null {
  const allow = [...new Set([...methods, "GET", "HEAD", "OPTIONS"])].join(", ");
  switch (incoming.method) {
    case "OPTIONS":
      return new Response(null, { status: 204, headers: { allow } });
    case "HEAD":
      return new Response(null, { status: 200, headers: { allow } });
    case "GET":
      return methods.includes("GET") || carriesMessage(incoming)
        ? null
        : answer(200, { send: methods }, { allow });
    default:
      return null;
  }
}

/** A sender that puts positions into the address, where its vendor posts them, has to be told. */
function carriesMessage({ url = "", headers }: IncomingMessage): boolean {
  const names = new URLSearchParams(url.split("?").slice(1).join("?")).keys();
  return [...names].some((name) => !IN_ADDRESS.has(name)) || Number(headers["content-length"] ?? 0) > 0;
}
