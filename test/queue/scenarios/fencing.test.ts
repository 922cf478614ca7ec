/** A process that lost its batch to another settles nothing, whatever answer it got meanwhile. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type SandboxApi, startSandboxApi } from "../../../sandbox/api.ts";
import { createDelivery } from "../../../src/queue/deliver/deliver.ts";
import type { DeliveryEvents } from "../../../src/queue/deliver/delivery-events.ts";
import { settle } from "../../../src/queue/deliver/settle.ts";
import { settlementOf } from "../../../src/queue/deliver/settlement.ts";
import { acquireSlot } from "../../../src/queue/deliver/slot.ts";
import { createClient } from "../../../src/servicetitan/client.ts";
import { readingOf } from "../../support/queue.ts";
import { type Store, startStores } from "../../support/store.ts";
import { until } from "../../support/wait.ts";

let stores: Awaited<ReturnType<typeof startStores>>;
let sandbox: SandboxApi;
beforeEach(async () => {
  stores = await startStores();
  sandbox = await startSandboxApi({ record: "all" });
});
afterEach(async () => {
  await stores.close();
  await sandbox.stop();
});

/** What one process would deliver with, and what it reports. */
function processOn(store: Store) {
  const reported: string[] = [];
  const report = (name: string) => () => reported.push(name);
  const events: DeliveryEvents = {
    attemptMade: ({ outcome }) => reported.push(outcome),
    batchSettled: report("settled"),
    pingsDeadLettered: report("dead"),
    gateChanged: report("gate"),
    deliveryLatency: () => {},
    sweepFound: ({ what }) => reported.push(what),
  };
  const delivery = createDelivery({
    redis: store.db,
    client: createClient({ proxy: { httpProxy: null, httpsProxy: null, noProxy: "" } }),
    destinations: store.destinations,
    ledgerMaxAgeMs: 86_400_000,
    events,
    freed: () => {},
  });
  return { reported, delivery };
}

function open(requestTimeoutMs = 1500): Store {
  const store = stores.open();
  store.destination.target = {
    ...store.destination.target,
    apiUrl: sandbox.url,
    authUrl: sandbox.authUrl,
    requestTimeoutMs,
  };
  return store;
}

describe("a batch taken over while its first process waits for an answer", () => {
  it("is settled once, by the second", async () => {
    // Longer than a claim keeps the second away.
    const store = open(4000);
    await store.add([readingOf("a", 2), readingOf("b", 1)]);
    const { id } = await store.batch();
    const name = { destination: "acme", lane: 0, batchId: id };
    const [first, second] = [processOn(store), processOn(store)];
    sandbox.faults.set({ kind: "hang", when: "after_accepting", times: 1 });
    const hanging = first.delivery.deliver(name);
    await until(() => sandbox.summary().accepted === 2, { what: "the first request" });
    await second.delivery.deliver(name);
    const settled = await store.account();
    expect(settled).toMatchObject({ delivered: 2, inFlight: 0, waiting: 0 });
    await hanging;
    expect(first.reported).toEqual(["unavailable", "settled_elsewhere"]);
    expect(second.reported).toEqual(["delivered", "settled"]);
    // Neither counters nor gates have moved.
    expect(await store.account()).toEqual(settled);
    expect((await store.status()).destinations[0]?.scopeGate.state).toBe("open");
    expect(await store.mismatches()).toEqual([]);
  });

  it("is sent once by two that come for it in the same moment", async () => {
    const store = open();
    await store.add([readingOf("a", 1), readingOf("b", 1)]);
    const { id } = await store.batch();
    const name = { destination: "acme", lane: 0, batchId: id };
    const both = [processOn(store), processOn(store)];
    await Promise.all(both.map(({ delivery }) => delivery.deliver(name)));
    expect(sandbox.summary()).toMatchObject({ requests: 1, accepted: 2 });
    expect(both.flatMap(({ reported }) => reported)).toEqual(["delivered", "settled"]);
    expect(await store.account()).toMatchObject({ delivered: 2, inFlight: 0 });
  });

  it("is not sent again by a process that comes back after it was settled", async () => {
    const store = open();
    await store.add([readingOf("a", 1)]);
    const { id } = await store.batch();
    const name = { destination: "acme", lane: 0, batchId: id };
    const [first, second] = [processOn(store), processOn(store)];
    await second.delivery.deliver(name);
    await first.delivery.deliver(name);
    expect(first.reported).toEqual([]);
    expect(sandbox.summary().requests).toBe(1);
  });
});

describe("a settlement", () => {
  it("with a token that was replaced changes nothing", async () => {
    const store = open();
    await store.add([readingOf("a", 1)]);
    const { id } = await store.batch();
    const batch = { id, lane: 0 };
    expect((await acquireSlot(store.db, store.destination, batch, "old", "sending")).kind).toBe("send");
    const claim = () => acquireSlot(store.db, store.destination, batch, "new", "settling");
    expect(await claim()).toMatchObject({ kind: "wait", waitMs: expect.closeTo(1000, -2) });
    await until(async () => (await claim()).kind === "closed", { what: "the end of the first claim" });
    const past = { asked: false, serverErrors: 0, root: null };
    const request = (token: string) => ({
      batchId: id,
      lane: 0,
      token,
      settlement: settlementOf({ kind: "delivered" }, { externalIds: ["x"], past, bytes: 1 }),
      label: "delivered",
      ledger: null,
      isTold: false,
      ledgerMaxAgeMs: 1000,
    });
    const before = await store.account();
    expect(await settle(store.db, store.destination, request("old"))).toEqual({ kind: "fenced" });
    expect(await store.account()).toEqual(before);
    expect((await settle(store.db, store.destination, request("new"))).kind).toBe("settled");
    expect((await settle(store.db, store.destination, request("new"))).kind).toBe("fenced");
    expect(await store.account()).toMatchObject({ delivered: 1, inFlight: 0 });
    expect(await store.mismatches()).toEqual([]);
  });
});
