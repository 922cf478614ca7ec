/** Asks a vendor once: one request, and the whole bounded answer or the reason why there is none. */

import { request as send } from "undici";
import type { PullAnswer, PullRequest } from "../../adapters/kit/pull.ts";
import { leadsInside, parseAddress } from "../../addresses.ts";
import {
  codeOf,
  createDispatcher,
  LEADS_INSIDE,
  type NetworkReason,
  type ProxySettings,
  reasonOf,
} from "../../network.ts";
import { USER_AGENT } from "../../version.ts";

export type PullExchange =
  | { kind: "answered"; answer: PullAnswer }
  | {
      kind: "failed";
      reason: NetworkReason | "answer_too_large" | "unreadable_answer" | "private_address";
      code: string;
    };

export interface PullHttp {
  /**
   * Never rejects. Redirects are answers like any other. `privateNetwork`: whether the name may lead into our own network;
   * without it, it may not.
   */
  exchange(request: PullRequest, stop: AbortSignal, privateNetwork: boolean): Promise<PullExchange>;
  close(): Promise<void>;
}

/** A page of 5,000 Geotab records has about a megabyte; Samsara does not say how long its pages may be. */
const MAX_ANSWER_BYTES = 16_000_000;
/** For all of it, connecting included. Pages are answered in seconds, or, while a vendor is overloaded, not at all. */
const ANSWER_WITHIN_MS = 60_000;

/** Fatal, because text repaired with replacement characters could be another device's id. */
const UTF8 = new TextDecoder("utf-8", { fatal: true });

export function createPullHttp(proxy: ProxySettings, answerWithinMs = ANSWER_WITHIN_MS): PullHttp {
  const anywhere = createDispatcher(proxy);
  const outside = createDispatcher(proxy, "outside");
  return {
    async exchange({ method, url, headers, body = null }, stop, privateNetwork) {
      const late = AbortSignal.timeout(answerWithinMs);
      if (!privateNetwork && isInside(url)) return { kind: "failed", reason: "private_address", code: "" };
      try {
        const signal = AbortSignal.any([late, stop]);
        const named = { "user-agent": USER_AGENT, ...headers };
        const dispatcher = privateNetwork ? anywhere : outside;
        const answered = await send(url, { method, headers: named, body, signal, dispatcher });
        const bytes = await wholeBody(answered.body);
        if (bytes === null) return { kind: "failed", reason: "answer_too_large", code: "" };
        const { statusCode: status, headers: given } = answered;
        return { kind: "answered", answer: { status, headers: given, text: textOf(bytes, status) } };
      } catch (error) {
        if (late.aborted) return { kind: "failed", reason: "timeout", code: "deadline" };
        if (error instanceof TypeError)
          return { kind: "failed", reason: "unreadable_answer", code: "not_utf8" };
        const code = codeOf(error);
        if (code === LEADS_INSIDE) return { kind: "failed", reason: "private_address", code: "" };
        return { kind: "failed", reason: reasonOf(code, true), code };
      }
    },
    close: async () => void (await Promise.all([anywhere.close(), outside.close()])),
  };
}

/** An address is not looked up, so that nothing else would notice where it leads. */
function isInside(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const host = new URL(url).hostname.replaceAll(/[[\]]/g, "");
  return parseAddress(host) !== null && leadsInside(host);
}

async function wholeBody(body: AsyncIterable<Buffer>): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    // Leaving the loop cuts the connection.
    if (bytes > MAX_ANSWER_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** With a bad status only what the vendor says about it counts, however it is written. */
function textOf(bytes: Buffer, status: number): string {
  return status === 200 ? UTF8.decode(bytes) : bytes.toString();
}
