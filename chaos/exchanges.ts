/** Reads along one connection to ServiceTitan's stand-in: which pings each request carried, and whether its answer came through. */

import type { Listener } from "../sandbox/proxy.ts";
import type { Exchange } from "./history.ts";

/**
 * A client that closes earlier did not wait for its time-out: it died, or has a bug. Half the time-out, because on a busy
 * machine a request is seen later than it was sent.
 */
const LEAST_WAIT_SHARE = 0.5;
const HEAD_END = "\r\n\r\n";
const LAST_CHUNK = "0\r\n\r\n";

/** Calls `ended` for every request with pings when its answer is through or can no longer come. */
export function readAlong(requestTimeoutMs: number, ended: (exchange: Exchange) => void): Listener {
  let request = "";
  let answer = "";
  let begunAt = 0;
  let isDisturbed = false;
  let open: Pick<Exchange, "ids" | "from"> | null = null;

  function close(lost: boolean): void {
    if (open && open.ids.length > 0) ended({ ...open, to: Date.now(), lost });
    open = null;
    answer = "";
  }

  return {
    sent(bytes) {
      if (request === "") begunAt = Date.now();
      // One byte, one character: Content-Length counts bytes.
      request += bytes.toString("latin1");
      const whole = messageIn(request);
      if (whole === null) return;
      request = "";
      open = { ids: idsIn(whole.body), from: begunAt };
    },
    answered(bytes) {
      if (open === null) return;
      answer += bytes.toString("latin1");
      const whole = messageIn(answer);
      if (whole === null) return;
      isDisturbed = false;
      close(!isReadable(whole.body));
    },
    disturbed() {
      isDisturbed = true;
    },
    ended(by) {
      const lastedMs = Date.now() - (open?.from ?? 0);
      close(by !== "client" || isDisturbed || lastedMs >= LEAST_WAIT_SHARE * requestTimeoutMs);
    },
  };
}

/** Null: the message is not whole yet. */
function messageIn(text: string): { body: string } | null {
  const headEnd = text.indexOf(HEAD_END);
  if (headEnd === -1) return null;
  const head = text.slice(0, headEnd);
  const rest = text.slice(headEnd + HEAD_END.length);
  const length = /^content-length: *(\d+)/im.exec(head)?.[1];
  if (length !== undefined) return rest.length < Number(length) ? null : { body: rest };
  if (!/^transfer-encoding: *chunked/im.test(head)) return { body: rest };
  return rest.endsWith(LAST_CHUNK) ? { body: rest.replace(/(^|\r\n)[0-9a-f]+\r\n/gi, "") } : null;
}

/** A request for a token has none. */
function idsIn(body: string): string[] {
  return [...body.matchAll(/"externalId":"([^"]*)"/g)].map(([, id = ""]) => id);
}

function isReadable(body: string): boolean {
  try {
    JSON.parse(body);
    return true;
  } catch {
    return false;
  }
}
