/** The least common to vendors that are asked: a server that notes each request, and answers out of turn when told to. */

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface Asked {
  method: string;
  /** With the query. */
  path: string;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: string;
  /** By the monotonic clock, ms. */
  at: number;
}

export interface VendorAnswer {
  status: number;
  headers?: Record<string, string>;
  body: string | object;
  /** Answers only then, or, never resolving, not at all. */
  after?: Promise<unknown>;
}

export interface AskedVendor {
  url: string;
  asked: Asked[];
  /** Answers for the next requests, one each, in place of what the vendor would say. */
  instead: VendorAnswer[];
  close(): Promise<void>;
}

export async function startAskedVendor(answer: (asked: Asked) => VendorAnswer): Promise<AskedVendor> {
  const asked: Asked[] = [];
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
