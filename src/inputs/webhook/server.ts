/** Opens the port for webhooks, within bounds of time and connections. */

import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { type ConnectionCap, guardConnections } from "../../limits/connections.ts";
import type { WebhookApp } from "./app.ts";

export interface WebhookServer {
  port: number;
  /** For connections from now on; without effect where the port was opened without TLS. */
  setTls(tls: NonNullable<ServeOptions["tls"]>): void;
  /** Lets requests that have begun end, for at most this long. */
  close(withinMs: number): Promise<void>;
}

export interface ServeOptions {
  app: WebhookApp;
  host: string;
  port: number;
  /** PEM texts. With `ca`, senders must show a certificate signed by it. */
  tls?: { cert: string; key: string; ca?: string | undefined } | undefined;
  timeouts?: Partial<Timeouts>;
  connections?: ConnectionCap | undefined;
  /** A connection could not be accepted, for want of descriptors as a rule. */
  onError?: (error: Error) => void;
}

interface Timeouts {
  /** To send all headers; enough over a bad mobile link, too little for a slow-loris to be cheap. */
  headersMs: number;
  /** To send the whole request: 2 MB at 70 kB/s. */
  requestMs: number;
  /** Longer than the 60 s after which common proxies (nginx, AWS ALB) drop an idle connection: they must go first. */
  keepAliveMs: number;
}

const TIMEOUTS: Timeouts = { headersMs: 10_000, requestMs: 30_000, keepAliveMs: 65_000 };

export async function serveWebhooks({
  app,
  host,
  port,
  tls,
  timeouts,
  connections,
  onError = () => {},
}: ServeOptions): Promise<WebhookServer> {
  const { headersMs, requestMs, keepAliveMs } = { ...TIMEOUTS, ...timeouts };
  const options = {
    headersTimeout: headersMs,
    requestTimeout: requestMs,
    keepAliveTimeout: keepAliveMs,
    // How late a timeout may be noticed; Node's default of 30 s would make ours 40.
    connectionsCheckingInterval: Math.min(1000, headersMs),
    // Without it a second Authorization header would be dropped in silence instead of failing authentication.
    joinDuplicateHeaders: true,
  };
  // A device that speaks HTTP/1.0 names no host; ours does not matter to any route.
  const listener = getRequestListener(app.fetch, { hostname: "localhost" });
  const server =
    tls === undefined
      ? createServer(options, listener)
      : createTlsServer(
          { ...options, ...tls, requestCert: tls.ca !== undefined, handshakeTimeout: headersMs },
          listener,
        );
  if (connections !== undefined) guardConnections(server, connections);
  // The body is asked for once the request has shown that it deserves one.
  server.on("checkContinue", (incoming, outgoing) => void listener(incoming, outgoing));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      server.on("error", onError);
      resolve();
    });
  });

  async function close(withinMs: number): Promise<void> {
    const force = setTimeout(() => server.closeAllConnections(), withinMs);
    // A connection that becomes idle after close() would otherwise be kept for the keep-alive time.
    const sweep = setInterval(() => server.closeIdleConnections(), 50);
    await new Promise<void>((resolve) => server.close(() => resolve()));
    clearTimeout(force);
    clearInterval(sweep);
  }

  return {
    port: (server.address() as AddressInfo).port,
    setTls(next) {
      if ("setSecureContext" in server) server.setSecureContext(next);
    },
    close,
  };
}
