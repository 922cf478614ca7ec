/** The proxy breaks links in each of its ways, and mends them without losing what a network does not lose. */

import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startProxy, type TcpProxy } from "../../sandbox/proxy.ts";
import { until } from "../support/wait.ts";

let echo: Server;
let received = "";
let proxy: TcpProxy;
const clients: Socket[] = [];

beforeEach(async () => {
  received = "";
  echo = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      received += chunk;
      socket.write(chunk);
    });
  });
  echo.listen(0, "127.0.0.1");
  await once(echo, "listening");
  const address = echo.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  proxy = await startProxy(address.port);
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await proxy.stop();
  echo.close();
});

/** A client that remembers what it received and how its link ended. */
function client() {
  const seen = { text: "", end: "" };
  const socket = connect(proxy.port, "127.0.0.1");
  clients.push(socket);
  socket.on("data", (chunk) => {
    seen.text += chunk;
  });
  socket.on("error", (error) => {
    seen.end = "code" in error ? String(error.code) : error.message;
  });
  socket.on("close", () => {
    seen.end ||= "closed";
  });
  return { seen, send: (text: string) => socket.write(text) };
}

async function talking() {
  const one = client();
  one.send("hello ");
  await until(() => one.seen.text === "hello ", { what: "the echo" });
  return one;
}

test("frozen: nothing passes, and everything arrives once when it is thawed", async () => {
  const { seen, send } = await talking();
  proxy.set({ kind: "frozen" });
  send("world");
  // A client that connects meanwhile waits too.
  const late = client();
  late.send("!");
  await until(() => late.seen.end === "" && received === "hello ", { what: "silence" });
  proxy.set({ kind: "open" });
  await until(() => seen.text === "hello world" && late.seen.text === "!", { what: "the rest" });
});

test("deaf: the request passes, its answer waits", async () => {
  const { seen, send } = await talking();
  proxy.set({ kind: "deaf" });
  send("world");
  await until(() => proxy.unanswered() === 1, { what: "an answer that waits" });
  expect([received, seen.text]).toEqual(["hello world", "hello "]);
  proxy.set({ kind: "open" });
  await until(() => seen.text === "hello world", { what: "the answer" });
});

test("cut: links are reset, new ones too", async () => {
  const { seen } = await talking();
  proxy.set({ kind: "cut" });
  await until(() => seen.end === "ECONNRESET", { what: "the reset" });
  const late = client();
  await until(() => late.seen.end === "ECONNRESET", { what: "the reset of a new link" });
  proxy.set({ kind: "open" });
  await talking();
});

test("torn: the link ends in the middle of an answer", async () => {
  const { seen, send } = await talking();
  proxy.set({ kind: "torn", afterBytes: 3 });
  send("world");
  await until(() => seen.end !== "", { what: "the end" });
  expect([received, seen.text]).toEqual(["hello world", "hello wor"]);
});

test("drip: an answer comes a few bytes at a time, and whole", async () => {
  const { seen, send } = await talking();
  proxy.set({ kind: "drip", bytes: 1, everyMs: 100 });
  send("world");
  await until(() => /^hello w[orl]*$/.test(seen.text), { what: "its first bytes" });
  await until(() => seen.text === "hello world", { what: "its last" });
});

test("moved: new links lead elsewhere, open ones stay where they are", async () => {
  const elsewhere = createServer((socket) => socket.end("elsewhere"));
  elsewhere.listen(0, "127.0.0.1");
  await once(elsewhere, "listening");
  const address = elsewhere.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const { seen, send } = await talking();
  proxy.moveTo(address.port);
  const late = client();
  await until(() => late.seen.text === "elsewhere", { what: "the answer of the other server" });
  send("world");
  await until(() => seen.text === "hello world", { what: "the echo" });
  elsewhere.close();
});

test("reset: open links are reset, new ones pass", async () => {
  const { seen } = await talking();
  proxy.reset();
  await until(() => seen.end === "ECONNRESET", { what: "the reset" });
  await talking();
});
