/** A destination of a test's own making, where the sandbox's faults are not enough: answers as the test decides. */

import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export interface SentPing {
  unitId: string;
  externalId: string;
  eventTime: string;
}

export interface Answer {
  status: number;
  body?: unknown;
}

export interface Api {
  url: string;
  /** What each request held and was answered, in order. */
  requests: { pings: SentPing[]; status: number }[];
  /** Pings of requests answered 2xx. */
  accepted(): SentPing[];
  /** Changes what is answered from now on. */
  answers(decide: (pings: SentPing[]) => Answer | Promise<Answer>): void;
  stop(): Promise<void>;
}

export function everySuccess(pings: readonly SentPing[]): Answer {
  return {
    status: 200,
    body: pings.map(({ externalId }) => ({ externalId, status: "Success", message: "" })),
  };
}

export async function startApi(
  first: (pings: SentPing[]) => Answer | Promise<Answer> = everySuccess,
): Promise<Api> {
  let decide = first;
  const requests: Api["requests"] = [];
  const server = createServer((request, response) => {
    void pingsOf(request).then(async (pings) => {
      const { status, body } = await decide(pings);
      requests.push({ pings, status });
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body ?? ""));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    accepted: () => requests.filter(({ status }) => status < 300).flatMap(({ pings }) => pings),
    answers: (next) => {
      decide = next;
    },
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

async function pingsOf(request: IncomingMessage): Promise<SentPing[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString());
}
