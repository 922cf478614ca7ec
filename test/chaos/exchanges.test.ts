/** What is read along the wire: a request is lost when its answer did not come through whole and readable, and only then. */

import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readAlong } from "../../chaos/exchanges.ts";
import type { Exchange } from "../../chaos/history.ts";
import { startProxy, type TcpProxy } from "../../sandbox/proxy.ts";
import { until } from "../support/wait.ts";

const TIMEOUT_MS = 1000;

let server: Server;
let proxy: TcpProxy;
let ended: Exchange[] = [];
let answer: (response: ServerResponse) => void;
let heard = 0;

beforeEach(async () => {
  [ended, heard] = [[], 0];
  answer = (response) => response.end("[]");
  server = createServer((request, response) => {
    request.resume();
    request.on("end", () => {
      heard++;
      answer(response);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  proxy = await startProxy(address.port, () => readAlong(TIMEOUT_MS, (each) => ended.push(each)));
});
afterEach(async () => {
  await proxy.stop();
  server.closeAllConnections();
  server.close();
});

/** As the gateway posts, on a connection that may be used again. */
async function post(ids: readonly string[], withinMs = 10_000): Promise<string> {
  const body = JSON.stringify(ids.map((externalId) => ({ unitId: "van é", externalId, isNew: false })));
  const signal = AbortSignal.timeout(withinMs);
  const got = await fetch(`http://127.0.0.1:${proxy.port}/`, { method: "POST", body, signal });
  return got.text();
}

const lost = () => ended.filter((each) => each.lost);
const ids = () => lost().map((each) => each.ids);
const untilLost = () => until(() => lost().length > 0, { what: "word of a lost answer" });

test("nothing is lost while answers come through, whole or in chunks, one after the other", async () => {
  await post(["a"]);
  answer = (response) => {
    response.write('[{"externalId"');
    setTimeout(() => response.end(':"b"}]'), 50);
  };
  await post(["b"]);
  await post(["c"]);
  expect([ids(), heard]).toEqual([[], 3]);
  expect(ended.map((each) => each.ids)).toEqual([["a"], ["b"], ["c"]]);
});

test("an answer that cannot be read is lost", async () => {
  answer = (response) => response.end('[{"externalId": "');
  await post(["a", "b"]);
  expect(ids()).toEqual([["a", "b"]]);
});

test("an answer that the server does not give is lost", async () => {
  await post(["a"]);
  answer = (response) => response.socket?.resetAndDestroy();
  await expect(post(["b"])).rejects.toThrow();
  await untilLost();
  expect(ids()).toEqual([["b"]]);
});

test("an answer whose link breaks in its middle is lost", async () => {
  proxy.set({ kind: "torn", afterBytes: 40 });
  await expect(post(["a"])).rejects.toThrow();
  await untilLost();
  expect(ids()).toEqual([["a"]]);
});

test("an answer that the client awaited until the time-out is lost", async () => {
  answer = () => {};
  await expect(post(["a"], TIMEOUT_MS)).rejects.toThrow();
  await untilLost();
  expect(ids()).toEqual([["a"]]);
  expect((lost()[0]?.to ?? 0) - (lost()[0]?.from ?? 0)).toBeGreaterThan(TIMEOUT_MS / 2);
});

test("a client that closes early has lost nothing, unless its link was not open", async () => {
  let gone = false;
  answer = (response) => {
    response.on("close", () => {
      gone = true;
    });
  };
  await expect(post(["a"], 100)).rejects.toThrow();
  await until(() => gone, { what: "the server to see it go" });
  proxy.set({ kind: "deaf" });
  answer = (response) => response.end("[]");
  await expect(post(["b"], 100)).rejects.toThrow();
  await untilLost();
  expect(ids()).toEqual([["b"]]);
});

test("what a frozen link releases after its sender has gone is lost", async () => {
  await post(["a"]);
  proxy.set({ kind: "frozen" });
  await expect(post(["b"], 200)).rejects.toThrow();
  proxy.set({ kind: "open" });
  await until(() => heard === 2 || lost().length > 0, { what: "the request" });
  if (heard === 2) await untilLost();
  expect(ids().flat()).not.toContain("a");
});
