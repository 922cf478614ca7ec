/** Fetches the address that a handshake asks us to fetch, and no other that a vendor could make us fetch. */

import { setTimeout as pause } from "node:timers/promises";
import { type Dispatcher, request } from "undici";
import type { Handshake } from "../../adapters/kit/adapter.ts";
import { messageOf } from "../../untrusted.ts";
import { USER_AGENT } from "../../version.ts";

export interface ConfirmationOutcome {
  host: string;
  ok: boolean;
  /** Status or failure, in a word or a short line; never the address, which carries a token. */
  detail: string;
}

const FETCH_WITHIN_MS = 5000;
const MAX_ANSWER_BYTES = 64_000;
/** Waits before each attempt. The vendor does not ask again: a missed confirmation means registering the webhook anew. */
const ATTEMPTS_AFTER_MS = [0, 5000, 30_000];

/** `via` is the guarded way out: undici's own would go around the proxy, and trust any certificate if the environment says so. */
export async function confirm(
  { url, allowedHost }: NonNullable<Handshake["confirm"]>,
  via: Dispatcher,
): Promise<ConfirmationOutcome> {
  const target = URL.canParse(url) ? new URL(url) : null;
  if (target === null) return { host: "", ok: false, detail: "not_an_address" };
  const host = target.hostname;
  const bare = target.protocol === "https:" && target.port === "" && !target.username && !target.password;
  // The whole host has to match, even where the pattern forgot its anchors.
  if (!bare || allowedHost.exec(host)?.[0] !== host)
    return { host, ok: false, detail: "address_not_allowed" };

  let detail = "";
  for (const afterMs of ATTEMPTS_AFTER_MS) {
    await pause(afterMs, undefined, { ref: false });
    try {
      const status = await fetchOnce(target, via);
      // A redirect is an answer like any other that is not 2xx: it is not followed.
      if (status >= 200 && status < 300) return { host, ok: true, detail: `http_${status}` };
      detail = `http_${status}`;
    } catch (error) {
      detail = messageOf(error);
    }
  }
  return { host, ok: false, detail };
}

async function fetchOnce(target: URL, via: Dispatcher): Promise<number> {
  const signal = AbortSignal.timeout(FETCH_WITHIN_MS);
  const headers = { "user-agent": USER_AGENT };
  const { statusCode, body } = await request(target, { signal, headers, dispatcher: via });
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error("answer_too_large");
  }
  return statusCode;
}
