/** The stand-in for ServiceTitan in its fast mode: checks nothing, keeps only counts, and costs as little as possible. */

import { once } from "node:events";
import { STATUS_CODES } from "node:http";
import { createServer, type Socket } from "node:net";

/**
 * Written on bare sockets: on a machine that everything shares, each microsecond spent here is taken from the process
 * that is measured. It reads bodies with a Content-Length over kept-alive connections, and refuses all else.
 */

export interface FastAnswer {
  status: number;
  /** JSON. */
  body: string;
}

/** In place of Success for every ping; given the body of a POST of gps-pings. */
export type Decide = (body: string) => FastAnswer | Promise<FastAnswer>;

/** What came in POSTs that got Success. Times are monotonic milliseconds, 0 before the first POST. */
export interface FastCounts {
  pings: number;
  posts: number;
  /** Pings of the first POST: they came before a clock that starts with the first arrival. */
  firstPings: number;
  firstAtMs: number;
  lastAtMs: number;
}

export interface FastApi {
  url: string;
  port: number;
  counts(): FastCounts;
  /** Forgets what was counted. */
  reset(): void;
  /** Null: Success for every ping, which is how it starts. */
  answers(decide: Decide | null): void;
  stop(): Promise<void>;
}

const HEAD_END = Buffer.from("\r\n\r\n");
const CR = 13;
const EXTERNAL_ID = '"externalId":"';
const TOKEN: FastAnswer = {
  status: 200,
  body: JSON.stringify({
    access_token: "sandbox-fast",
    expires_in: 900,
    token_type: "Bearer",
    scope: "tn.dis.gpspings:w",
  }),
};
const NOT_FOUND: FastAnswer = { status: 404, body: "{}" };
const LENGTH_REQUIRED: FastAnswer = { status: 411, body: "{}" };
const NOTHING: FastCounts = { pings: 0, posts: 0, firstPings: 0, firstAtMs: 0, lastAtMs: 0 };

export async function startFastApi(): Promise<FastApi> {
  const sockets = new Set<Socket>();
  let counts = { ...NOTHING };
  let decide: Decide | null = null;

  function respond(requestLine: string, body: Buffer): FastAnswer | Promise<FastAnswer> {
    if (requestLine.includes("token")) return TOKEN;
    if (!requestLine.includes("gps-pings")) return NOT_FOUND;
    return decide === null ? accept(body.toString("latin1")) : decide(body.toString("utf8"));
  }

  function accept(body: string): FastAnswer {
    const now = performance.now();
    let items = "";
    let count = 0;
    for (let at = body.indexOf(EXTERNAL_ID); at !== -1; at = body.indexOf(EXTERNAL_ID, at)) {
      const start = at + EXTERNAL_ID.length;
      // The ids of every sender here are plain ASCII without quotes or backslashes.
      at = body.indexOf('"', start);
      items += `${count === 0 ? "" : ","}{"externalId":"${body.slice(start, at)}","status":"Success","message":""}`;
      count += 1;
    }
    if (counts.posts === 0) {
      counts.firstAtMs = now;
      counts.firstPings = count;
    }
    counts.lastAtMs = now;
    counts.posts += 1;
    counts.pings += count;
    return { status: 200, body: `[${items}]` };
  }

  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    serve(socket, respond);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the system gave no TCP port");

  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    counts: () => counts,
    reset() {
      counts = { ...NOTHING };
    },
    answers(next) {
      decide = next;
    },
    async stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}

/** Reads one request after the other from a connection, and answers each before it reads the next. */
function serve(
  socket: Socket,
  respond: (requestLine: string, body: Buffer) => FastAnswer | Promise<FastAnswer>,
): void {
  let chunks: Buffer[] = [];
  let have = 0;
  /** Bytes of the whole request once its head is read. */
  let want = 0;
  let bodyStart = 0;
  let isDeciding = false;

  function readOn(): void {
    while (!isDeciding && have > 0 && have >= want) {
      const bytes = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, have);
      if (want === 0) {
        const headEnd = bytes.indexOf(HEAD_END);
        if (headEnd === -1) {
          chunks = [bytes];
          return;
        }
        bodyStart = headEnd + HEAD_END.length;
        const head = bytes.toString("latin1", 0, bodyStart);
        if (/\r\ntransfer-encoding:/i.test(head)) {
          write(socket, LENGTH_REQUIRED);
          socket.destroySoon();
          return;
        }
        want = bodyStart + Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
        chunks = [bytes];
        continue;
      }
      const requestLine = bytes.toString("latin1", 0, bytes.indexOf(CR));
      const answer = respond(requestLine, bytes.subarray(bodyStart, want));
      const rest = bytes.subarray(want);
      chunks = rest.length > 0 ? [rest] : [];
      have = rest.length;
      want = 0;
      if (answer instanceof Promise) {
        isDeciding = true;
        void answer.then((decided) => {
          isDeciding = false;
          write(socket, decided);
          readOn();
        });
      } else write(socket, answer);
    }
  }

  socket.setNoDelay(true);
  socket.on("data", (chunk) => {
    chunks.push(chunk);
    have += chunk.length;
    readOn();
  });
  socket.on("error", () => socket.destroy());
}

function write(socket: Socket, { status, body }: FastAnswer): void {
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
  socket.write(head + body);
}
