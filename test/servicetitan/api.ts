/** A real HTTP server in ServiceTitan's place, whose every answer, good or broken, the test writes by hand. */

import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Target } from "../../src/servicetitan/client.ts";

export interface Seen {
  method: string;
  path: string;
  headers: IncomingMessage["headers"];
  body: string;
}

export type Respond = (response: ServerResponse, seen: Seen) => void;

export interface Api {
  url: string;
  /** Requests seen, by kind. */
  tokenRequests: Seen[];
  pingRequests: Seen[];
  /** How to answer from now on. */
  onToken(respond: Respond): void;
  onPings(respond: Respond): void;
  target(changes?: Partial<Target>): Target;
  close(): Promise<void>;
}

export const json =
  (status: number, body: unknown, headers: Record<string, string> = {}): Respond =>
  (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
  };

export const plain =
  (status: number, body: string, headers: Record<string, string> = {}): Respond =>
  (response) => {
    response.writeHead(status, { "content-type": "text/plain", ...headers }).end(body);
  };

/** Says Success of every ping it was sent. */
export const acceptAll: Respond = (response, { body }) => {
  const pings = JSON.parse(body) as { externalId: string }[];
  json(
    200,
    pings.map(({ externalId }) => ({ externalId, status: "Success", message: "" })),
  )(response, {
    method: "",
    path: "",
    headers: {},
    body,
  });
};

/** Tokens numbered in the order they were given out. */
export function tokensOf(lifeS: number): Respond {
  let given = 0;
  return (response, seen) => {
    given++;
    json(200, { access_token: `token-${given}`, expires_in: lifeS, token_type: "Bearer" })(response, seen);
  };
}

export async function startApi(): Promise<Api> {
  const tokenRequests: Seen[] = [];
  const pingRequests: Seen[] = [];
  let respondToken: Respond = tokensOf(900);
  let respondPings: Respond = acceptAll;
  const { url, close } = await startServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString("utf8");
    const seen = { method: request.method ?? "", path: request.url ?? "", headers: request.headers, body };
    if (seen.path.endsWith("/connect/token")) {
      tokenRequests.push(seen);
      respondToken(response, seen);
    } else {
      pingRequests.push(seen);
      respondPings(response, seen);
    }
  });
  return {
    url,
    tokenRequests,
    pingRequests,
    onToken: (respond) => {
      respondToken = respond;
    },
    onPings: (respond) => {
      respondPings = respond;
    },
    target: (changes = {}) => ({
      name: "main",
      tenant: "123456",
      provider: "acme gps/1",
      appKey: "ak1.app-key-of-the-test",
      clientId: "cid.client-of-the-test",
      clientSecret: "cs1.secret-of-the-test",
      apiUrl: url,
      authUrl: url,
      requestTimeoutMs: 15_000,
      ...changes,
    }),
    close,
  };
}

export async function startServer(
  listener: RequestListener,
): Promise<{ url: string; port: number; connections(): number; close(): Promise<void> }> {
  let connections = 0;
  const server = createServer(listener).on("connection", () => connections++);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    connections: () => connections,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
