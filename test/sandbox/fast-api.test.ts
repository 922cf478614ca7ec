/** The fast mode of the stand-in answers every ping with Success, counts, and leaves an answer to the test that wants another. */

import { connect } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type FastApi, startFastApi } from "../../sandbox/fast-api.ts";
import { until } from "../support/wait.ts";

let api: FastApi;
beforeEach(async () => {
  api = await startFastApi();
});
afterEach(() => api.stop());

const PATH = "/dispatch/v2/tenant/1/gps-provider/waypost/gps-pings";

function post(body: unknown, path = PATH): Promise<Response> {
  return fetch(`${api.url}${path}`, { method: "POST", body: JSON.stringify(body) });
}

test("gives a token to every client", async () => {
  const answer = await post({}, "/connect/token");
  expect(await answer.json()).toMatchObject({ access_token: expect.any(String), token_type: "Bearer" });
  expect(api.counts().posts).toBe(0);
});

test("accepts every ping and counts it", async () => {
  const answer = await post([{ externalId: "a:1" }, { externalId: "a:2" }]);
  expect(await answer.json()).toEqual([
    { externalId: "a:1", status: "Success", message: "" },
    { externalId: "a:2", status: "Success", message: "" },
  ]);
  await post([{ externalId: "a:3" }]);
  expect(api.counts()).toMatchObject({ pings: 3, posts: 2, firstPings: 2 });
  api.reset();
  expect(api.counts()).toMatchObject({ pings: 0, posts: 0 });
});

test("answers as decided, with text of any language", async () => {
  api.answers(async (body) => ({ status: 400, body: JSON.stringify({ seen: JSON.parse(body) }) }));
  const answer = await post([{ unitName: "Kühlwagen 東" }]);
  expect(answer.status).toBe(400);
  expect(await answer.json()).toEqual({ seen: [{ unitName: "Kühlwagen 東" }] });
  expect(api.counts().posts).toBe(0);
  api.answers(null);
  expect((await post([])).status).toBe(200);
});

test("answers requests that come in pieces, and two in one piece, in order", async () => {
  const body = JSON.stringify([{ externalId: "b:1" }]);
  const request = `POST ${PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const socket = connect(api.port, "127.0.0.1");
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk;
  });
  socket.write(request.slice(0, 30));
  socket.write(request.slice(30, -5));
  socket.write(request.slice(-5) + request + request.replace("gps-pings", "other"));
  await until(() => /404 Not Found[\s\S]*\{\}$/.test(text), { what: "the last answer" });
  expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200", "HTTP/1.1 200", "HTTP/1.1 404"]);
  expect(api.counts()).toMatchObject({ pings: 2, posts: 2 });
  socket.destroy();
});

test("refuses a body of unknown length", async () => {
  const stream = new Blob(["[]"]).stream();
  const init = { method: "POST", body: stream, duplex: "half" } as RequestInit;
  expect((await fetch(`${api.url}${PATH}`, init)).status).toBe(411);
});
