/** What all polled vendors share: a server that records each request, and gives another answer where a test wants one. */

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface VendorRequest {
  method: string;
  /** With the query. */
  path: string;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: string;
  /** Monotonic milliseconds. */
  at: number;
}

export interface VendorAnswer {
  status: number;
  headers?: Record<string, string>;
  body: string | object;
  /** Answers only then; where it never resolves, not at all. */
  after?: Promise<unknown>;
}

export interface PolledVendor {
  url: string;
  asked: VendorRequest[];
  /** Answers for the next requests, one each, in place of the vendor's own. */
  instead: VendorAnswer[];
  close(): Promise<void>;
}

export async function startPolledVendor(
  answer: (asked: VendorRequest) => VendorAnswer,
): Promise<PolledVendor> {
  const asked: VendorRequest[] = [];
  const instead: VendorAnswer[] = [];
  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", async () => {
      const { method = "", url: path = "", headers } = incoming;
      const request = {
        method,
        path,
        headers,
        body: Buffer.concat(chunks).toString(),
        at: performance.now(),
      };
      asked.push(request);
      const { status, headers: said = {}, body, after } = instead.shift() ?? answer(request);
      await after;
      const type = typeof body === "string" ? "text/plain" : "application/json";
      outgoing.writeHead(status, { "content-type": type, ...said });
      outgoing.end(typeof body === "string" ? body : JSON.stringify(body));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    instead,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}
