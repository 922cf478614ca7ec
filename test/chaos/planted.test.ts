/** Real traffic through a gateway that does one thing wrong: the judge names it, and names nothing when all is right. */

import { setTimeout as pause } from "node:timers/promises";
import { afterAll, expect, test, vi } from "vitest";
import { startGenerator } from "../../chaos/generator.ts";
import type { Episode } from "../../chaos/history.ts";
import { judge, type Verdict, type ViolationKind } from "../../chaos/judge.ts";
import { followSandbox } from "../../chaos/observed.ts";
import { SANDBOX_CLIENT, startSandboxApi } from "../../sandbox/api.ts";
import { createRandom } from "../../sandbox/random.ts";
import { scaled } from "../support/speed.ts";
import { until } from "../support/wait.ts";
import { BATCH_PINGS, type Flaw, startBrokenGateway } from "./broken-gateway.ts";

vi.setConfig({ testTimeout: scaled(60_000) });

const RATE = 5;
const CRASHES = 2;
/** Readings before the first crash: what goes wrong with them no crash explains. */
const CALM_READINGS = 400;
/** The answer needs this long, so that a kill can come between a request and its settlement. */
const ANSWER_MS = 30;

const cleanups: (() => Promise<void> | void)[] = [];
afterAll(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

test.concurrent.each<[Flaw, ViolationKind[]]>([
  ["none", []],
  ["answers_before_store", ["lost"]],
  ["drops", ["lost"]],
  ["settles_twice", ["unexplained_repeat"]],
  ["twice_the_rate", ["rate_exceeded"]],
])("%s", async (flaw, expected) => {
  const { violations, total } = await runWith(flaw);
  expect(total.owed).toBeGreaterThan(CALM_READINGS);
  expect([...new Set(violations.map(({ kind }) => kind))]).toEqual(expected);
});

async function runWith(flaw: Flaw): Promise<Verdict> {
  const sandbox = await startSandboxApi({ record: "all", ratePerSecond: 100_000 });
  cleanups.push(sandbox.stop);
  const { clientId, clientSecret, appKey, tenants, providers } = SANDBOX_CLIENT;
  const token = await fetch(`${sandbox.authUrl}/connect/token`, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_id: clientId,
      client_secret: clientSecret,
    }),
  });
  const { access_token } = JSON.parse(await token.text());
  const address = `${sandbox.url}/dispatch/v2/tenant/${tenants[0]}/gps-provider/${providers[0]}/gps-pings`;
  const headers = {
    authorization: `Bearer ${access_token}`,
    "st-app-key": appKey,
    "content-type": "application/json",
  };
  const gateway = await startBrokenGateway({
    flaw,
    ratePerSecond: RATE,
    source: "vans",
    async send(pings) {
      const answer = await fetch(address, { method: "POST", headers, body: JSON.stringify(pings) });
      await answer.arrayBuffer();
      await pause(ANSWER_MS);
      return answer.ok;
    },
  });
  cleanups.push(gateway.stop);
  const observed = followSandbox(sandbox);
  cleanups.push(observed.stop);
  const generator = startGenerator({
    webhooks: [gateway.url],
    headers: {},
    webhookSource: "vans",
    mqtt: null,
    random: createRandom(`planted ${flaw}`),
  });

  const episodes: Episode[] = [];
  for (let n = 0; n < CRASHES; n++) {
    await until(() => generator.issued.size > CALM_READINGS, { what: "some traffic" });
    await until(() => gateway.isBusy(), { what: "a message and a batch under way" });
    const injectedAt = Date.now();
    gateway.crash();
    const last = episodes.at(-1);
    if (last) last.endedAt = injectedAt;
    episodes.push({
      name: "crash",
      injectedAt,
      healedAt: injectedAt,
      endedAt: Number.POSITIVE_INFINITY,
      recoverFrom: injectedAt,
      allowanceMs: 0,
      heldBack: 0,
      unsettledAtMost: BATCH_PINGS,
      unsettledUntil: injectedAt,
      killed: true,
      storageAway: false,
    });
    const missing = () => generator.units.filter((unit) => observed.newestOf(unit) < injectedAt);
    await until(() => missing().length === 0, { what: "a new reading of every unit" });
    sandbox.faults.set({ kind: "status", status: 503, times: 1 });
  }
  await generator.stop();
  await until(
    async () => {
      const before = observed.accepted.length;
      await pause(500);
      return observed.accepted.length === before;
    },
    { what: "the last delivery" },
  );
  observed.update();
  const refusals = sandbox.summary().statuses["503"] ?? 0;
  return judge({
    ratePerSecond: RATE,
    // Recovery is not tested here, and the machine may be busy.
    recoverWithinMs: 30_000,
    requestTimeoutMs: 2000,
    exchanges: [],
    doomed: [],
    dead: [],
    visitors: new Set(),
    spooled: 0,
    issued: generator.issued,
    accepted: observed.accepted,
    arrivals: observed.arrivals,
    episodes,
    exempt: new Map(),
    refusals,
    mismatches: [],
  });
}
