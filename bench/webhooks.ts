/** The load generator for webhooks: a process that keeps a fixed number of connections busy, one request at a time on each. */

import { connect, type Socket } from "node:net";
import { serveParent } from "./child.ts";
import { createReadings } from "./readings.ts";

/**
 * Bare sockets and ready-made bodies, as in the sink: processor time spent here is missing from the contestant. That is why
 * it does not use sandbox/post.ts.
 */

export interface Load {
  url: string;
  token: string;
  readingsPerRequest: number;
  connections: number;
  /** The load ends at `forMs` or at `maxReadings`, whichever comes first. */
  forMs: number;
  maxReadings: number;
}

export interface LoadResult {
  requests: number;
  /** Readings in requests that were answered 2xx. */
  accepted: number;
  /** Answers by status, other than 2xx. */
  failures: Record<string, number>;
  tookMs: number;
  p50Ms: number;
  p99Ms: number;
}

const HEAD_END = "\r\n\r\n";
/** A contestant that does not answer for this long counts as dead. */
const SILENCE_MS = 20_000;

function load({
  url,
  token,
  readingsPerRequest,
  connections,
  forMs,
  maxReadings,
}: Load): Promise<LoadResult> {
  const { hostname, port, pathname, host } = new URL(url);
  const bodies = createReadings(readingsPerRequest);
  const head = Buffer.from(
    `POST ${pathname} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${bodies.bytes}${HEAD_END}`,
    "latin1",
  );
  const latencies: number[] = [];
  const failures: Record<string, number> = {};
  const startedAt = performance.now();
  let sent = 0;
  let ok = 0;
  let open = connections;

  return new Promise((resolve, reject) => {
    function finish(): void {
      open -= 1;
      if (open > 0) return;
      latencies.sort((a, b) => a - b);
      resolve({
        requests: latencies.length,
        accepted: ok * readingsPerRequest,
        failures,
        tookMs: performance.now() - startedAt,
        p50Ms: quantile(latencies, 0.5),
        p99Ms: quantile(latencies, 0.99),
      });
    }

    function run(socket: Socket): void {
      /** Each connection owns its bytes: they may still be on their way when another one builds the next body. */
      const request = Buffer.alloc(head.length + bodies.bytes);
      head.copy(request);
      let sentAt = 0;
      let pending = "";

      function next(): void {
        const now = performance.now();
        if (now - startedAt >= forMs || (sent + 1) * readingsPerRequest > maxReadings) {
          socket.end();
          finish();
          return;
        }
        sent += 1;
        bodies.writeNext(request, head.length);
        sentAt = now;
        socket.write(request);
      }

      socket.setNoDelay(true);
      socket.setTimeout(SILENCE_MS, () =>
        socket.destroy(new Error(`${url} has not answered for ${SILENCE_MS} ms`)),
      );
      socket.on("error", reject);
      socket.on("data", (chunk) => {
        pending += chunk.toString("latin1");
        const headEnd = pending.indexOf(HEAD_END);
        if (headEnd === -1) return;
        const length = /\r\ncontent-length: *(\d+)/i.exec(pending)?.[1];
        // An answer of unknown length ends with the empty chunk.
        const whole =
          length === undefined
            ? pending.endsWith("0\r\n\r\n")
            : pending.length >= headEnd + 4 + Number(length);
        if (!whole) return;
        latencies.push(performance.now() - sentAt);
        const status = pending.slice(9, 12);
        if (status.startsWith("2")) ok += 1;
        else failures[status] = (failures[status] ?? 0) + 1;
        pending = "";
        next();
      });
      next();
    }

    for (let i = 0; i < connections; i++) {
      const socket = connect(Number(port), hostname, () => run(socket));
      socket.on("error", reject);
    }
  });
}

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;
}

const handlers = { load };
export type Webhooks = typeof handlers;

serveParent(handlers);
