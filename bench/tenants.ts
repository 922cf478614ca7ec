/** `npm run tenants`: what many tenants cost: a question of the status, pages that stay open, and doing nothing. */

import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { Command, InvalidArgumentError } from "commander";
import { Redis } from "ioredis";
import { SANDBOX_CLIENT, startSandboxApi } from "../sandbox/api.ts";
import { startPrivateRedis } from "../sandbox/redis.ts";
import { BEARER, type GatewayProcess, startGatewayProcess, TOKEN } from "../test/support/gateway-process.ts";
import { until } from "../test/support/wait.ts";

interface Options {
  tenants: number;
  devices: number;
  pages: number;
  path: string;
  json?: true;
}

/** What one size of installation costs. */
interface Figures {
  tenants: number;
  sources: number;
  devices: number;
  /** Of ten questions, one after another, each of which is worked out anew. */
  statusMs: { median: number; max: number };
  statusBytes: number;
  redisMsPerQuestion: number;
  gatewayMsPerQuestion: number;
  /** Share of a core, percent. */
  idle: { gateway: number; redis: number };
  /** The same with so many pages open that ask every two seconds. */
  pagesOpen: { gateway: number; redis: number };
  rssMb: number;
  redisMb: number;
}

const QUESTIONS = 10;
const MEASURED_MS = 15_000;
const PAGE_EVERY_MS = 2000;
/** Longer than an answer is shared, so that each question is worked out anew. */
const TURN_MS = 1500;
const FIRST_TENANT = 2_000_000;

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("must be a whole number above 0");
  return value;
}

const options = new Command("tenants")
  .description(
    "Measures what many tenants cost: status questions, open pages, and idling. Each tenant has two sources.",
  )
  .option("--tenants <n>", "tenants", positive, 1000)
  .option("--devices <n>", "devices of each source", positive, 10)
  .option("--pages <n>", "open pages", positive, 10)
  .option("--path <path>", "what is asked", "/api/v1/status")
  .option("--json", "the figures as one JSON object")
  .parse()
  .opts<Options>();

const figures = await measure(options);
process.stdout.write(`${options.json ? JSON.stringify(figures) : inWords(figures)}\n`);

async function measure({ tenants, devices, pages, path }: Options): Promise<Figures> {
  const redis = await startPrivateRedis();
  const numbers = Array.from({ length: tenants }, (_, i) => String(FIRST_TENANT + i));
  const sandbox = await startSandboxApi({
    record: "counts",
    clients: [{ ...SANDBOX_CLIENT, tenants: numbers }],
  });
  let gateway: GatewayProcess | null = null;
  const db = new Redis(redis.url);
  try {
    gateway = await startGatewayProcess({
      redisUrl: redis.url,
      sandbox,
      sections: sectionsOf(numbers, sandbox),
    });
    await fill(gateway, numbers, devices);
    const question = async () => {
      const startedAt = performance.now();
      const answer = await fetch(`http://127.0.0.1:${gateway?.opsPort}${path}`, { headers: BEARER });
      const body = await answer.text();
      if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${body.slice(0, 300)}`);
      return { tookMs: performance.now() - startedAt, bytes: body.length };
    };
    const cpu = async () => ({ gateway: cpuMsOf(gateway?.pid ?? 0), redis: await redisCpuMs(db) });
    await question();
    const idle = await shareDuring(cpu, () => pause(MEASURED_MS));
    const { answers, cost } = await askApart(question, cpu);
    const pagesOpen = await shareDuring(cpu, () => openPages(question, pages));
    const took = answers.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
    return {
      tenants,
      sources: 2 * tenants,
      devices: 2 * tenants * devices,
      statusMs: { median: round(took[Math.floor(took.length / 2)] ?? 0), max: round(took.at(-1) ?? 0) },
      statusBytes: answers[0]?.bytes ?? 0,
      redisMsPerQuestion: round(cost.redis),
      gatewayMsPerQuestion: round(cost.gateway),
      idle,
      pagesOpen,
      rssMb: rssMbOf(gateway.pid),
      redisMb: round(Number(/used_memory:(\d+)/.exec(await db.info("memory"))?.[1] ?? 0) / 1e6),
    };
  } finally {
    db.disconnect();
    await gateway?.stop();
    await sandbox.stop();
    await redis.stop();
  }
}

function sectionsOf(tenants: readonly string[], { url, authUrl }: { url: string; authUrl: string }) {
  const { appKey, clientId, clientSecret, providers } = SANDBOX_CLIENT;
  const destinations = tenants.map((tenant) => [
    `t${tenant}`,
    {
      environment: "custom",
      apiUrl: url,
      authUrl,
      tenant,
      provider: providers[0],
      appKey,
      clientId,
      clientSecret,
    },
  ]);
  const sources = tenants.flatMap((tenant) =>
    ["a", "b"].map((each) => [
      `t${tenant}-${each}`,
      { vendor: "json", destination: `t${tenant}`, auth: { method: "bearer", secret: TOKEN } },
    ]),
  );
  return { destinations: Object.fromEntries(destinations), sources: Object.fromEntries(sources) };
}

/** One message of each source, with a position of each of its devices; resolves when all are delivered. */
async function fill(gateway: GatewayProcess, tenants: readonly string[], devices: number): Promise<void> {
  for (const tenant of tenants) {
    await Promise.all(["a", "b"].map((each) => send(gateway, `t${tenant}-${each}`, devices)));
  }
  await until(
    async () => {
      await pause(TURN_MS);
      const { waiting, inFlight } = await gateway.accounting();
      return waiting + inFlight === 0;
    },
    { withinMs: 240_000, what: "everything to be delivered" },
  );
}

async function send(gateway: GatewayProcess, source: string, devices: number): Promise<void> {
  const at = new Date().toISOString();
  const positions = Array.from({ length: devices }, (_, i) => ({
    deviceId: `${source}-${i}`,
    time: at,
    latitude: 32.7 + i / 1000,
    longitude: -96.8,
  }));
  const answer = await fetch(gateway.webhook(source), {
    method: "POST",
    headers: { "content-type": "application/json", ...BEARER },
    body: JSON.stringify(positions),
  });
  if (!answer.ok) throw new Error(`${source}: ${answer.status} ${await answer.text()}`);
  await answer.arrayBuffer();
}

type Cpu = () => Promise<{ gateway: number; redis: number }>;

/** Turns with and without a question alternate, so that what goes on by itself can be taken off. */
async function askApart(question: () => Promise<{ tookMs: number; bytes: number }>, cpu: Cpu) {
  const answers: { tookMs: number; bytes: number }[] = [];
  const extra = { gateway: 0, redis: 0 };
  for (let i = 0; i < QUESTIONS; i++) {
    for (const isAsked of [true, false]) {
      const before = await cpu();
      const startedAt = performance.now();
      if (isAsked) answers.push(await question());
      await pause(TURN_MS - (performance.now() - startedAt));
      const after = await cpu();
      const sign = isAsked ? 1 : -1;
      extra.gateway += sign * (after.gateway - before.gateway);
      extra.redis += sign * (after.redis - before.redis);
    }
  }
  return { answers, cost: { gateway: extra.gateway / QUESTIONS, redis: extra.redis / QUESTIONS } };
}

async function openPages(question: () => Promise<unknown>, pages: number): Promise<void> {
  const until = performance.now() + MEASURED_MS;
  const page = async (n: number) => {
    await pause((n * PAGE_EVERY_MS) / pages);
    while (performance.now() < until) {
      await question();
      await pause(PAGE_EVERY_MS);
    }
  };
  await Promise.all(Array.from({ length: pages }, (_, n) => page(n)));
}

async function shareDuring(
  cpu: Cpu,
  run: () => Promise<unknown>,
): Promise<{ gateway: number; redis: number }> {
  const before = await cpu();
  const startedAt = performance.now();
  await run();
  const after = await cpu();
  const percent = (ms: number) => round((100 * ms) / (performance.now() - startedAt));
  return { gateway: percent(after.gateway - before.gateway), redis: percent(after.redis - before.redis) };
}

/** User and system time of a process, milliseconds. Linux counts it in hundredths of a second. */
function cpuMsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

async function redisCpuMs(db: Redis): Promise<number> {
  const text = await db.info("cpu");
  const seconds = (name: string) => Number(new RegExp(`^${name}:([\\d.]+)`, "m").exec(text)?.[1] ?? 0);
  return 1000 * (seconds("used_cpu_user") + seconds("used_cpu_sys"));
}

function rssMbOf(pid: number): number {
  return Math.round(
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1000,
  );
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function inWords(figures: Figures): string {
  const { statusMs, idle, pagesOpen } = figures;
  return [
    `${figures.tenants} tenants, ${figures.sources} sources, ${figures.devices} devices`,
    `a question: ${statusMs.median} ms (median), ${statusMs.max} ms (slowest of ${QUESTIONS}), ${figures.statusBytes} bytes`,
    `CPU of a question: gateway ${figures.gatewayMsPerQuestion} ms, Redis ${figures.redisMsPerQuestion} ms`,
    `idle: gateway ${idle.gateway} % of a core, Redis ${idle.redis} %`,
    `with open pages: gateway ${pagesOpen.gateway} %, Redis ${pagesOpen.redis} %`,
    `memory: gateway ${figures.rssMb} MB, Redis ${figures.redisMb} MB`,
  ].join("\n");
}
