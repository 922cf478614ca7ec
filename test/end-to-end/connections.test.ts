/** A gateway that may open few files, flooded with connections that say nothing: authenticated senders and operators get in. */

import { readdirSync, readlinkSync } from "node:fs";
import { connect, type Socket } from "node:net";
import mqtt from "mqtt";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { because } from "../support/because.ts";
import { BEARER, type GatewayProcess, TOKEN } from "../support/gateway-process.ts";
import { until } from "../support/wait.ts";
import { startWholeGateway, type WholeGateway } from "../support/whole-gateway.ts";

vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const MAX_OPEN_FILES = 256;
/** Of each port, from forty addresses. */
const FLOOD = 150;

let whole: WholeGateway | undefined;
let gateway: GatewayProcess;
let mqttPort: number;
const flood = new Set<Socket>();
let flooding = true;

beforeAll(async () => {
  const vans = { vendor: "json", destination: "acme", auth: { method: "bearer", secret: TOKEN } };
  const trackers = { vendor: "json", destination: "acme", mqtt: { broker: "listen" } };
  whole = await startWholeGateway({
    maxOpenFiles: MAX_OPEN_FILES,
    sources: { vans, trackers },
    devices: [{ username: "van", password: "a password of the van", source: "trackers" }],
  });
  ({ gateway, mqttPort } = whole);
});
afterAll(async () => {
  flooding = false;
  for (const socket of flood) socket.destroy();
  await whole?.stop();
});

/** Says nothing, and comes again a moment after it is shown out. */
function halfOpen(port: number, localAddress: string): void {
  const socket = connect({ port, host: "127.0.0.1", localAddress });
  flood.add(socket);
  socket.on("error", () => {});
  socket.on("close", () => {
    flood.delete(socket);
    if (flooding) setTimeout(() => halfOpen(port, localAddress), 1000);
  });
}

let position = 0;
function body(): string {
  position += 1;
  return JSON.stringify({
    deviceId: "van",
    time: new Date(Date.now() - 60_000 + position).toISOString(),
    latitude: 32.7767,
    longitude: -96.797,
  });
}

/** Over a connection of its own each time. */
const send = () =>
  fetch(gateway.webhook("vans"), {
    method: "POST",
    headers: { ...BEARER, "content-type": "application/json", connection: "close" },
    body: body(),
  });

function descriptors(): { all: number; sockets: number } {
  const dir = `/proc/${gateway.pid}/fd`;
  const links = readdirSync(dir).flatMap((name) => {
    try {
      return readlinkSync(`${dir}/${name}`);
    } catch {
      return [];
    }
  });
  return { all: links.length, sockets: links.filter((link) => link.startsWith("socket:")).length };
}

async function publishOnce(): Promise<void> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${mqttPort}`, {
    ...{ username: "van", password: "a password of the van", protocolVersion: 4 },
    ...{ reconnectPeriod: 0, connectTimeout: 10_000 },
  });
  client.on("error", () => {});
  await client.publishAsync("van/pos", body(), { qos: 1 });
  await client.endAsync();
}

const notLinux =
  process.platform === "linux" ? null : "127.0.0.2 and on are no addresses here: run the tests on Linux";

test.skipIf(notLinux !== null)(
  `half-open connections from everywhere shut out no authenticated sender, no operator, and none of our own${because(notLinux)}`,
  async () => {
    await until(async () => (await send()).ok, { what: "a position before the flood" });
    await publishOnce();
    await gateway.status();
    const idle = descriptors();
    for (let i = 0; i < FLOOD; i += 1) {
      for (const port of [gateway.webhookPort, mqttPort, gateway.opsPort]) {
        halfOpen(port, `127.0.${1 + (i % 4)}.${1 + (i % 10)}`);
      }
    }
    await until(async () => (await gateway.metric("waypost_connections_refused_total")) > 300, {
      what: "the flood to be turned away",
      withinMs: 120_000,
    });
    let answered = 0;
    const most = { ...idle };
    for (let i = 0; i < 20; i += 1) {
      const now = descriptors();
      if (now.all > most.all) Object.assign(most, now);
      await until(async () => (await send()).ok, { what: `webhook ${i}`, withinMs: 60_000 });
      await until(() => publishOnce().then(() => true), { what: `MQTT ${i}`, withinMs: 60_000 });
      answered += 1;
    }
    console.info(
      `descriptors of ${MAX_OPEN_FILES}: ${idle.all} when idle, ${most.all} under the flood, ${MAX_OPEN_FILES - most.all} left`,
    );
    expect(answered).toBe(20);
    expect(most.all).toBeLessThan(MAX_OPEN_FILES - 30);
    const { problems } = await gateway.status();
    const places = problems.filter(({ what }) => what.includes("connections were refused"));
    expect(places.map(({ where }) => where).sort()).toEqual(["mqtt port", "ops port", "webhook port"]);
    // Redis and ServiceTitan are reached as ever.
    await gateway.drained();
    expect(gateway.ended()).toBeNull();
    expect(gateway.log()).not.toMatch(/EMFILE|uncaught/i);
    const { delivered, deadLettered } = await gateway.accounting();
    expect(deadLettered).toBe(0);
    expect(delivered).toBeGreaterThanOrEqual(1);
  },
);
