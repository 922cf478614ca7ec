/** Brokers and pollers in the status document: its field names and their order, with times as text. */

import { expect, test } from "vitest";
import { brokerStatus, pollerStatus } from "../../src/ops/status-document.ts";

test("a broker", () => {
  const status = brokerStatus({
    ...{ name: "yard", kind: "client", state: "disconnected", sinceMs: 1_700_000_000_000 },
    ...{ reason: "connection_closed", unacked: 3, clients: null },
  });
  expect(JSON.stringify(status)).toBe(
    '{"name":"yard","kind":"client","state":"disconnected","since":"2023-11-14T22:13:20.000Z","reason":"connection_closed","unacked":3,"clients":null}',
  );
});

test("a broker with more to say says no more in the document", () => {
  const status = brokerStatus({
    ...{ name: "listen", kind: "embedded", state: "connected", sinceMs: 0, reason: null, unacked: 0 },
    ...{ clients: 2, messages: 7 },
  });
  expect(Object.keys(status)).toEqual(["name", "kind", "state", "since", "reason", "unacked", "clients"]);
});

test("a poller, with and without times", () => {
  const poller = pollerStatus({
    ...{ name: "vans", state: "polling", sinceMs: 0, reason: null, detail: "", lastSuccessAtMs: 1000 },
    ...{ cursorAtMs: 2000, gap: { fromMs: 3000, toMs: 4000 } },
    reads: { pages: 0, rows: 0, unchanged: 0, emptyRounds: 0 },
  });
  expect(JSON.stringify(poller)).toBe(
    '{"name":"vans","state":"polling","since":"1970-01-01T00:00:00.000Z","reason":null,"detail":"","lastSuccessAt":"1970-01-01T00:00:01.000Z","cursorAt":"1970-01-01T00:00:02.000Z","gap":{"from":"1970-01-01T00:00:03.000Z","to":"1970-01-01T00:00:04.000Z"},"reads":{"pages":0,"rows":0,"unchanged":0,"emptyRounds":0}}',
  );
  const { lastSuccessAt, cursorAt, gap } = pollerStatus({
    ...{ name: "vans", state: "standby", sinceMs: 0, reason: "storage is away", detail: "" },
    ...{ lastSuccessAtMs: null, cursorAtMs: null, gap: null },
    reads: { pages: 0, rows: 0, unchanged: 0, emptyRounds: 0 },
  });
  expect([lastSuccessAt, cursorAt, gap]).toEqual([null, null, null]);
});
