/** What no sender should send, sent to a running gateway: each gets its answer, and nobody else notices. */

import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { BEARER, type GatewayProcess, startGatewayProcess, TOKEN } from "../support/gateway-process.ts";
import { scaled } from "../support/speed.ts";
import { until } from "../support/wait.ts";

vi.setConfig({ testTimeout: scaled(120_000), hookTimeout: scaled(120_000) });

/** The answer comes within 2.5 s whatever happens; vendors give up after 3. */
const ANSWERED_WITHIN_MS = scaled(2500);
const POINTS = 100_000;
const ROUNDS = 6;

let redis: PrivateRedis;
let sandbox: SandboxApi;
let gateway: GatewayProcess;
beforeAll(async () => {
  redis = await startPrivateRedis();
  sandbox = await startSandboxApi({ record: "all", ratePerSecond: 10_000 });
  gateway = await start("usual", {});
});
afterAll(async () => {
  await gateway?.stop();
  await sandbox?.stop();
  await redis?.stop();
});

function start(
  prefix: string,
  http: Record<string, unknown>,
  limits: Record<string, unknown> = {},
): Promise<GatewayProcess> {
  const ours = { vendor: "json", destination: "acme", auth: { method: "bearer", secret: TOKEN } };
  const bouncie = { vendor: "bouncie", destination: "acme", auth: { secret: TOKEN } };
  return startGatewayProcess({
    redisUrl: redis.url,
    sandbox,
    // Twice as slow a machine has twice the time for its answers, or it would send others away for no fault of theirs.
    http: { answerWithinMs: ANSWERED_WITHIN_MS, ...http },
    sources: { bad: ours, good: ours, trucks: bouncie },
    destination: { ratePerSecond: 200, maxBatchPings: 500, maxBatchBytes: 500_000, maxBatchAgeMs: 200 },
    sections: { redis: { url: redis.url, prefix }, limits },
  });
}

/** One request, byte for byte; resolves with the answer even if the gateway does not read all of it. */
function send(
  to: GatewayProcess,
  { method = "POST", path = "/webhooks/bad", headers = {}, body = "", declareLength = true }: Bad,
): Promise<{ status: number; text: string }> {
  const bytes = Buffer.from(body);
  const all: Record<string, string> = {
    host: "127.0.0.1",
    connection: "close",
    "content-type": "application/json",
    ...BEARER,
    ...(declareLength ? { "content-length": String(bytes.length) } : { "transfer-encoding": "chunked" }),
    ...headers,
  };
  const head = `${method} ${path} HTTP/1.1\r\n${Object.entries(all)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("")}\r\n`;
  return new Promise((resolve, reject) => {
    const socket = connect(to.webhookPort, "127.0.0.1");
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk;
    });
    // Whoever is told "too large" may find the door closed while still sending.
    socket.on("error", () => {});
    socket.on("close", () => {
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);
      if (Number.isNaN(status)) reject(new Error(`no answer to ${method} ${path}: ${text.slice(0, 200)}`));
      else resolve({ status, text });
    });
    socket.write(head);
    if (declareLength) socket.write(bytes);
    else {
      socket.write(`${bytes.length.toString(16)}\r\n`);
      socket.write(bytes);
      socket.write("\r\n0\r\n\r\n");
    }
  });
}

interface Bad {
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  /** False: the body comes in a chunk whose end nobody announced. */
  declareLength?: boolean;
}

function points(count: number): string {
  const from = Date.now() - count;
  return JSON.stringify(
    Array.from({ length: count }, (_, i) => ({
      deviceId: `bad-${i % 500}`,
      latitude: 32.78,
      longitude: -96.8,
      time: new Date(from + i).toISOString(),
      speed: 10,
    })),
  );
}

const KEY = "x-bouncie-authorization";
const HUGE = `[${"1,".repeat(2_500_000)}1]`;
const BAD: [what: string, bad: Bad, status: number, says: RegExp, countedAs: string][] = [
  ["not JSON", { body: "latitude=here" }, 400, /"malformed".*"problems":\[".+"/, "malformed"],
  ["half of a JSON", { body: '[{"deviceId":"van"' }, 400, /"malformed"/, "malformed"],
  ["nothing", { body: "" }, 400, /"malformed"/, "malformed"],
  ["no text at all", { body: new Uint8Array(1000).map((_, i) => i * 37) }, 400, /"malformed"/, "malformed"],
  ["JSON of another kind", { body: '{"hello":"world"}' }, 400, /deviceId: is missing/, "malformed"],
  [
    "deeply nested",
    { body: `${"[".repeat(900_000)}${"]".repeat(900_000)}` },
    400,
    /"malformed"/,
    "malformed",
  ],
  [
    "deeply nested objects",
    { body: `${'{"a":'.repeat(200_000)}1${"}".repeat(200_000)}` },
    400,
    /"malformed"/,
    "malformed",
  ],
  [
    "not JSON, to a vendor who expects 200",
    { path: "/webhooks/trucks", headers: { [KEY]: TOKEN }, body: "<xml/>" },
    200,
    /./,
    "malformed",
  ],
  ["5 MB", { body: HUGE }, 413, /"too_large"/, "too_large"],
  ["5 MB of unannounced length", { body: HUGE, declareLength: false }, 413, /"too_large"/, "too_large"],
  ["100,000 points", { body: points(POINTS) }, 413, /"too_large"/, "too_large"],
  [
    "a gzip bomb",
    { body: gzipSync(Buffer.alloc(300_000_000)), headers: { "content-encoding": "gzip" } },
    413,
    /"too_large"/,
    "too_large",
  ],
  [
    "an encoding nobody knows",
    { body: "{}", headers: { "content-encoding": "zstd" } },
    415,
    /"unsupported_encoding"/,
    "unsupported_encoding",
  ],
  [
    "a wrong secret",
    { body: "[]", headers: { authorization: "Bearer guessed" } },
    401,
    /"refused"/,
    "unauthenticated",
  ],
  [
    "a wrong secret and nonsense",
    { body: "[[[", headers: { authorization: "Bearer x" } },
    401,
    /"refused"/,
    "unauthenticated",
  ],
  ["a wrong method", { method: "PUT", body: "[]" }, 405, /allow: POST/i, "wrong_method"],
  ["an unknown source", { path: "/webhooks/nobody", body: "[]" }, 404, /"not_found"/, "nobody"],
  ["an address that is none", { path: "/", body: "[]" }, 404, /"not_found"/, "nobody"],
];

test("each bad input gets its answer while others are served, and is counted under its reason", async () => {
  const others = startOthers(gateway);
  const counted: Record<string, number> = {};
  for (const [what, bad, status, says, countedAs] of BAD) {
    const answer = await send(gateway, bad);
    expect({ what, status: answer.status }).toEqual({ what, status });
    expect(answer.text.replaceAll("\r\n", " "), what).toMatch(says);
    counted[countedAs] = (counted[countedAs] ?? 0) + 1;
  }
  // All of it at once as well, again and again.
  for (let round = 0; round < ROUNDS; round++) {
    const together = await Promise.all(BAD.map(([, bad]) => send(gateway, bad)));
    expect(together.map(({ status }) => status)).toEqual(BAD.map(([, , status]) => status));
    for (const [, , , , countedAs] of BAD) counted[countedAs] = (counted[countedAs] ?? 0) + 1;
  }
  const { sent, worstMs, statuses } = await others.stop();

  expect(statuses).toEqual(new Set([200]));
  expect(worstMs).toBeLessThan(ANSWERED_WITHIN_MS);
  const { malformed = 0, nobody: _, ...refused } = counted;
  const total = Object.values(refused).reduce((sum, n) => sum + n, 0);
  // A refusal is written a moment after its answer.
  await until(async () => (await gateway.accounting()).refused === total, {
    what: "every refusal to be counted",
  });
  const status = await gateway.drained();
  const [bad, good, trucks] = status.sources;
  expect(bad?.refusedBy).toEqual(refused);
  expect((bad?.accounting.malformed ?? 0) + (trucks?.accounting.malformed ?? 0)).toBe(malformed);
  expect(good?.accounting).toMatchObject({
    messages: sent,
    stored: sent,
    delivered: sent,
    refused: 0,
    malformed: 0,
  });
  expect(status.totals.identity).toEqual({ messages: 0, readings: 0, stored: 0 });
  expect(sandbox.summary().distinct).toBe(sent);

  expect(status.quarantine.count).toBe(malformed);
  const list = await fetch(`http://127.0.0.1:${gateway.opsPort}/api/v1/quarantine`, { headers: BEARER });
  const quarantined: { items: { problem: string }[] } = JSON.parse(await list.text());
  expect(quarantined.items[0]).toMatchObject({
    source: expect.stringMatching(/bad|trucks/),
    reason: "malformed",
  });
  expect(quarantined.items.every(({ problem }) => problem.length > 0)).toBe(true);
  expect(gateway.ended()).toBeNull();
  console.log(
    `${(1 + ROUNDS) * BAD.length} bad requests; ${sent} of others answered meanwhile, the slowest in ${worstMs.toFixed(0)} ms`,
  );
});

test("100,000 points are taken where the limit allows them, and others are still served", async () => {
  sandbox.clear();
  const wide = await start("wide", { bodyLimitBytes: 20_000_000 }, { maxReadingsPerMessage: POINTS });
  try {
    const others = startOthers(wide);
    const body = points(POINTS);
    let answer = await send(wide, { body });
    // A busy machine may not manage in time; the sender is told so, comes again, and nothing is kept twice.
    for (let again = 0; answer.status === 503 && again < 10; again++) {
      await pause(2000);
      answer = await send(wide, { body });
    }
    expect(answer.status).toBe(200);
    expect(answer.text).toMatch(/"(stored|duplicates)":100000,/);
    const { sent, worstMs, statuses } = await others.stop();
    expect(statuses).toEqual(new Set([200]));
    expect(worstMs).toBeLessThan(ANSWERED_WITHIN_MS);
    const { totals } = await wide.drained();
    const { stored, delivered, superseded } = totals.accounting;
    expect(stored).toBe(POINTS + sent);
    expect(delivered + superseded).toBe(stored);
    expect(totals.identity).toEqual({ messages: 0, readings: 0, stored: 0 });
    console.log(
      `100,000 points in one message; ${sent} of others meanwhile, the slowest in ${worstMs.toFixed(0)} ms`,
    );
  } finally {
    await wide.stop();
  }
});

/** Somebody else, who sends a position every 20 ms and wants an answer. */
function startOthers(to: GatewayProcess) {
  let stopping = false;
  let sent = 0;
  let worstMs = 0;
  const statuses = new Set<number>();
  const startedAt = Date.now();
  async function run(): Promise<void> {
    while (!stopping) {
      const began = performance.now();
      const time = new Date(startedAt + sent).toISOString();
      const answer = await fetch(to.webhook("good"), {
        method: "POST",
        headers: { ...BEARER, "content-type": "application/json" },
        body: JSON.stringify({ deviceId: "good-1", latitude: 32.78, longitude: -96.8, time }),
      }).catch(() => null);
      await answer?.arrayBuffer();
      statuses.add(answer?.status ?? 0);
      worstMs = Math.max(worstMs, performance.now() - began);
      sent++;
      await pause(20);
    }
  }
  const running = run();
  return {
    async stop() {
      stopping = true;
      await running;
      return { sent, worstMs, statuses };
    },
  };
}
