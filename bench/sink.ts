/** Stands where ServiceTitan stands: a process that says Success to every ping and counts, at the least cost we could find. */

import { createServer, type Socket } from "node:net";
import { serveParent } from "./parts.ts";

/**
 * Written on bare sockets: on the two processors that everything shares, each microsecond spent here is taken from
 * who is measured. It reads what the contestants send (Content-Length bodies, keep-alive) and refuses the rest.
 */

type Mood = "accept" | "unavailable";

let mood: Mood = "accept";
let pings = 0;
let posts = 0;
/** Monotonic milliseconds. */
let firstAtMs = 0;
let lastAtMs = 0;
/** Pings of the first POST: they came before the clock ran. */
let firstPings = 0;

const HEAD_END = Buffer.from("\r\n\r\n");
const CR = 13;
const EXTERNAL_ID = '"externalId":"';
const TOKEN = JSON.stringify({
  access_token: "bench",
  expires_in: 900,
  token_type: "Bearer",
  scope: "tn.dis.gpspings:w",
});

function answer(socket: Socket, status: string, body: string): void {
  socket.write(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    "latin1",
  );
}

function respond(requestLine: string, body: string): [status: string, body: string] {
  if (requestLine.includes("token")) return ["200 OK", TOKEN];
  if (!requestLine.includes("gps-pings")) return ["404 Not Found", "{}"];
  if (mood === "unavailable") return ["503 Service Unavailable", "{}"];
  const now = performance.now();
  let items = "";
  let count = 0;
  for (let at = body.indexOf(EXTERNAL_ID); at !== -1; at = body.indexOf(EXTERNAL_ID, at)) {
    const start = at + EXTERNAL_ID.length;
    // Ids of all contestants are plain ASCII without quotes or backslashes.
    at = body.indexOf('"', start);
    items += `${count === 0 ? "" : ","}{"externalId":"${body.slice(start, at)}","status":"Success","message":""}`;
    count += 1;
  }
  if (posts === 0) {
    firstAtMs = now;
    firstPings = count;
  }
  lastAtMs = now;
  posts += 1;
  pings += count;
  return ["200 OK", `[${items}]`];
}

function serve(socket: Socket): void {
  socket.setNoDelay(true);
  let chunks: Buffer[] = [];
  let have = 0;
  /** Bytes of the whole request once its head is read. */
  let want = 0;
  let bodyStart = 0;
  socket.on("data", (chunk) => {
    chunks.push(chunk);
    have += chunk.length;
    while (have > 0 && have >= want) {
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
          answer(socket, "411 Length Required", "{}");
          socket.destroy();
          return;
        }
        want = bodyStart + Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
        chunks = [bytes];
        continue;
      }
      const requestLine = bytes.toString("latin1", 0, bytes.indexOf(CR));
      const [status, body] = respond(requestLine, bytes.toString("latin1", bodyStart, want));
      answer(socket, status, body);
      const rest = bytes.subarray(want);
      chunks = rest.length > 0 ? [rest] : [];
      have = rest.length;
      want = 0;
    }
  });
  socket.on("error", () => socket.destroy());
}

const server = createServer(serve);

const handlers = {
  address(): Promise<number> {
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", () => {
        const address = server.address();
        if (address === null || typeof address === "string") reject(new Error("no TCP port"));
        else resolve(address.port);
      });
    });
  },
  /** Forgets what was counted, and from now on is in this mood. */
  reset(next: Mood): void {
    mood = next;
    pings = 0;
    posts = 0;
    firstPings = 0;
  },
  read() {
    return { pings, posts, firstPings, firstAtMs, lastAtMs, nowMs: performance.now() };
  },
};
export type Sink = typeof handlers;

serveParent(handlers);
