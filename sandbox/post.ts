/** Posts webhooks over kept-alive connections, and reports each attempt in one shape to every sender. */

import { Agent } from "undici";

export interface PostRequest {
  url: string;
  headers: Record<string, string>;
  body: string;
  /** Default: as long as undici waits, five minutes. */
  withinMs?: number;
}

export type PostResult =
  /** `retryAfterMs`: null where the answer has no Retry-After. */
  | { kind: "answered"; status: number; text: string; retryAfterMs: number | null }
  /** No process listens there, so the message certainly did not arrive. */
  | { kind: "unreachable" }
  /** A reset or a deadline: whether the message arrived is unknown. */
  | { kind: "unanswered" };

export interface Poster {
  post(request: PostRequest): Promise<PostResult>;
  /** Breaks off what is not answered yet. */
  close(): Promise<void>;
}

/** `connections`: how many at most; null: one for each request under way. */
export function createPoster(connections: number | null): Poster {
  const agent = new Agent({ connections });
  return {
    async post({ url, headers, body, withinMs }) {
      const { origin, pathname } = new URL(url);
      try {
        const answer = await agent.request({
          origin,
          path: pathname,
          method: "POST",
          headers,
          body,
          ...(withinMs === undefined ? {} : { signal: AbortSignal.timeout(withinMs) }),
        });
        const text = await answer.body.text();
        const retryAfterMs = retryAfterMsOf(answer.headers["retry-after"]);
        return { kind: "answered", status: answer.statusCode, text, retryAfterMs };
      } catch (error) {
        const refused = error instanceof Error && "code" in error && error.code === "ECONNREFUSED";
        return { kind: refused ? "unreachable" : "unanswered" };
      }
    },
    close: () => agent.destroy(),
  };
}

/** Seconds or an HTTP date (RFC 9110 §10.2.3). */
function retryAfterMsOf(header: string | string[] | undefined): number | null {
  const text = Array.isArray(header) ? header[0] : header;
  if (text === undefined) return null;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : null;
}
