/** The ops endpoint's port, with its own bound on connections: it has to answer while other ports are flooded. */

import type { AddressInfo } from "node:net";
import { type HttpBindings, serve } from "@hono/node-server";
import { type ConnectionCap, guardConnections } from "../limits/connections.ts";

export interface OpsPort {
  port: number;
  close(): Promise<void>;
}

export interface OpsPortOptions {
  fetch: (request: Request, bindings: HttpBindings) => Response | Promise<Response>;
  host: string;
  port: number;
  connections: ConnectionCap;
  onError: (error: Error) => void;
}

/** The page requests the first, a scraper the second; both are behind the token. */
const BEHIND_TOKEN = /^\/(api\/v1\/|metrics(\?|$))/;
/** For sending all headers; an operator needs less, but a longer time costs nothing. */
const HEADERS_MS = 10_000;

export async function openOpsPort(options: OpsPortOptions): Promise<OpsPort> {
  const { fetch, host, connections, onError } = options;
  async function answer(request: Request, bindings: HttpBindings): Promise<Response> {
    const response = await fetch(request, bindings);
    const { socket, url = "" } = bindings.incoming;
    // 503 means that Redis is away, and only a request with the token gets it.
    if ((response.ok || response.status === 503) && BEHIND_TOKEN.test(url)) connections.authenticated(socket);
    return response;
  }
  return new Promise((resolve, reject) => {
    const server = serve(
      {
        fetch: (request, bindings) => answer(request, bindings as HttpBindings),
        hostname: host,
        port: options.port,
        serverOptions: { headersTimeout: HEADERS_MS, connectionsCheckingInterval: 1000 },
      },
      (info: AddressInfo) => {
        server.off("error", reject);
        server.on("error", onError);
        resolve({
          port: info.port,
          close: () =>
            new Promise((closed) => {
              server.close(() => closed());
              if ("closeAllConnections" in server) server.closeAllConnections();
            }),
        });
      },
    );
    if ("headersTimeout" in server) guardConnections(server, connections);
    server.once("error", reject);
  });
}
