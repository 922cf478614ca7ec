/** Three gateways on one Redis, as Prometheus sees them: by its conventions, each thing once, whoever dies. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { ACCOUNTING_TERMS, type Accounting, sumAccounting } from "../../src/status/accounting.ts";
import { because } from "../support/because.ts";
import {
  BEARER,
  type GatewayProcess,
  quietPort,
  startGatewayProcess,
  TOKEN,
} from "../support/gateway-process.ts";
import { checkMetrics, whyNotPromtool } from "../support/promtool.ts";
import { scaled } from "../support/speed.ts";
import { until } from "../support/wait.ts";

vi.setConfig({ testTimeout: scaled(120_000), hookTimeout: scaled(120_000) });

let redis: PrivateRedis;
let sandbox: SandboxApi;
let gateways: GatewayProcess[] = [];
const dir = mkdtempSync(join(tmpdir(), "waypost-metrics-"));

beforeAll(async () => {
  redis = await startPrivateRedis();
  sandbox = await startSandboxApi({ record: "all" });
  gateways = await Promise.all([1, 2, 3].map((n) => startOne(n)));
});

afterAll(async () => {
  for (const gateway of gateways) await gateway.stop();
  await sandbox.stop();
  await redis.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** With everything that has metrics of its own: a spool, the embedded broker, another broker, a vendor to poll. */
async function startOne(n: number): Promise<GatewayProcess> {
  const device = { username: "van-1", password: "van-1-password-0123", source: "devices" };
  return startGatewayProcess({
    redisUrl: redis.url,
    sandbox,
    sources: {
      vans: { vendor: "json", destination: "acme", auth: { method: "bearer", secret: TOKEN } },
      devices: { vendor: "owntracks", destination: "acme", mqtt: { broker: "listen" } },
      yard: { vendor: "owntracks", destination: "acme", mqtt: { broker: "away", topics: ["yard/#"] } },
      polled: {
        vendor: "samsara-feed",
        destination: "acme",
        auth: { secret: "a-token-of-samsara-0123456789" },
        // Nobody answers there.
        pull: { baseUrl: "http://127.0.0.1:9" },
      },
    },
    sections: {
      spool: { dir: join(dir, `spool-${n}`) },
      mqtt: {
        listen: { host: "127.0.0.1", port: await quietPort(), devices: [device] },
        brokers: { away: { url: "mqtt://127.0.0.1:9", clientId: "waypost-metrics-test" } },
      },
    },
  });
}

const scrape = async ({ opsPort }: GatewayProcess) =>
  (await fetch(`http://127.0.0.1:${opsPort}/metrics`, { headers: BEARER })).text();

/** The sum of one metric's series over several scrapes, as `sum()` gives it. */
function sumOf(name: string, scrapes: readonly string[]): number {
  return scrapes
    .flatMap((text) => text.split("\n"))
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

const post = (gateway: GatewayProcess, body: string, headers: Record<string, string> = BEARER) =>
  fetch(gateway.webhook("vans"), {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body,
  });

/** One message of each fate at each process. */
async function send(): Promise<void> {
  for (const [n, gateway] of gateways.entries()) {
    const position = (longitude: number) =>
      JSON.stringify({ deviceId: `van-${n}`, latitude: 30.2, longitude, time: new Date().toISOString() });
    const good = position(-97.7);
    for (const body of [good, good, position(-970), "no JSON"]) await post(gateway, body);
    await post(gateway, good, { authorization: "Bearer wrong" });
  }
}

const NAMES: Record<keyof Accounting, string> = {
  messages: "waypost_messages_total",
  refused: "waypost_messages_refused_total",
  ignored: "waypost_messages_ignored_total",
  handshakes: "waypost_messages_handshakes_total",
  malformed: "waypost_messages_malformed_total",
  decoded: "waypost_messages_decoded_total",
  readings: "waypost_readings_total",
  rejected: "waypost_readings_rejected_total",
  duplicates: "waypost_readings_duplicates_total",
  stored: "waypost_readings_stored_total",
  delivered: "waypost_pings_delivered_total",
  deadLettered: "waypost_pings_dead_lettered_total",
  expired: "waypost_pings_expired_total",
  superseded: "waypost_pings_superseded_total",
  dropped: "waypost_pings_dropped_total",
  held: "waypost_pings_held",
  waiting: "waypost_pings_waiting",
  inFlight: "waypost_pings_in_flight",
};

const noPromtool = whyNotPromtool();
test.skipIf(noPromtool !== null)(`promtool has nothing against them${because(noPromtool)}`, async () => {
  // It finds what is to be found.
  expect(checkMetrics("# TYPE waypost_bad gauge\nwaypost_bad 1\n")).toContain("no help text");
  const before = await Promise.all(gateways.map(scrape));
  await send();
  // The accounting is Redis', an attempt is counted by its process: a scrape between the two sees
  // one without the other. And a status is shared for a moment.
  const after = await until(
    async () => {
      const texts = await Promise.all(gateways.map(scrape));
      const seen = [NAMES.delivered, "waypost_attempts_total"].every((name) => sumOf(name, texts) > 0);
      return seen ? texts : null;
    },
    { withinMs: 30_000, what: "a ping delivered, and an attempt counted" },
  );
  for (const text of [...before, ...after]) expect(checkMetrics(text)).toBe("");
  expect(after.join("\n")).toContain('waypost_broker_connected{broker="away"} 0');
});

test("each has a text of its own that says what is counted", async () => {
  const [text = ""] = await Promise.all(gateways.map(scrape));
  const helps = [...text.matchAll(/^# HELP (\S+) (.*)$/gm)].map(([, , help]) => help);
  expect(helps.length).toBeGreaterThan(50);
  expect(new Set(helps).size).toBe(helps.length);
});

test("what Redis holds is exported once, and a sum over all processes is the accounting", async () => {
  await send();
  const { sources, quarantine } = await until(
    async () => {
      const found = await (gateways[0] as GatewayProcess).drained();
      return sumAccounting(found.sources).messages >= 15 ? found : null;
    },
    { withinMs: 30_000, what: "every message in the accounting" },
  );
  const accounting = sumAccounting(sources);
  expect(accounting).toMatchObject({ delivered: expect.any(Number), refused: expect.any(Number) });
  expect(accounting.delivered).toBeGreaterThan(0);
  // A status is shared for a moment, so a scrape may be a little behind.
  const scrapes = await until(
    async () => {
      const texts = await Promise.all(gateways.map(scrape));
      return sumOf(NAMES.delivered, texts) === accounting.delivered ? texts : null;
    },
    { withinMs: 10_000, what: "scrapes of now" },
  );
  expect(sumOf("waypost_status_exporter", scrapes)).toBe(1);
  expect(sumOf("waypost_build_info", scrapes)).toBe(3);
  for (const term of ACCOUNTING_TERMS) {
    expect({ [term]: sumOf(NAMES[term], scrapes) }).toEqual({ [term]: accounting[term] });
  }
  expect(sumOf("waypost_quarantine_messages", scrapes)).toBe(quarantine.count);
});

test("when the process that exports it dies, another one does within 5 s, and never two", async () => {
  const values = await Promise.all(
    gateways.map(async (gateway) => sumOf("waypost_status_exporter", [await scrape(gateway)])),
  );
  const exporter = gateways[values.indexOf(1)];
  const others = gateways.filter((gateway) => gateway !== exporter);
  exporter?.kill("SIGKILL");
  const killedAt = performance.now();
  let most = 0;
  const scrapes = await until(
    async () => {
      const texts = await Promise.all(others.map(scrape));
      most = Math.max(most, sumOf("waypost_status_exporter", texts));
      return sumOf("waypost_status_exporter", texts) === 1 ? texts : null;
    },
    { withinMs: 30_000, what: "another exporter" },
  );
  expect(performance.now() - killedAt).toBeLessThan(scaled(5000));
  expect(most).toBe(1);
  const { sources } = await (others[0] as GatewayProcess).status();
  expect(sumOf("waypost_messages_total", scrapes)).toBe(sumAccounting(sources).messages);
});
