/** What goes wrong at the doors and with the mapping is on the page within seconds, and gone with its cure. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mqtt from "mqtt";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import type { Problem } from "../../src/ops/diagnose/problem.ts";
import { type GatewayProcess, quietPort, startGatewayProcess } from "../support/gateway-process.ts";
import { until } from "../support/wait.ts";

const SHOWN_WITHIN_MS = 5000;
const PASSWORD = "a password for the van";

let dir: string;
let mappingFile: string;
let mqttUrl: string;
let redis: PrivateRedis;
let sandbox: SandboxApi;
let gateway: GatewayProcess;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "waypost-doors-"));
  mappingFile = join(dir, "fleet.csv");
  writeFileSync(mappingFile, "unit,device,source\nVan 1,van-1/phone,phones\n");
  redis = await startPrivateRedis();
  sandbox = await startSandboxApi({ record: "all" });
  const port = await quietPort();
  mqttUrl = `mqtt://127.0.0.1:${port}`;
  const device = (username: string) => ({ username, password: PASSWORD, source: "phones" });
  gateway = await startGatewayProcess({
    redisUrl: redis.url,
    sandbox,
    sources: { phones: { vendor: "owntracks", destination: "acme", mqtt: { broker: "listen" } } },
    sections: {
      mqtt: { listen: { host: "127.0.0.1", port, devices: [device("van-1"), device("van-41")] } },
      mapping: { file: mappingFile },
    },
  });
}, 120_000);
afterAll(async () => {
  await gateway?.stop();
  await sandbox?.stop();
  await redis?.stop();
  rmSync(dir, { recursive: true, force: true });
});

const fix = () =>
  JSON.stringify({ _type: "location", tst: Math.floor(Date.now() / 1000), lat: 30.27, lon: -97.74 });

async function problem(kind: string): Promise<Problem | undefined> {
  return (await gateway.status()).problems.find((each) => each.kind === kind);
}

const shown = (kind: string) =>
  until(() => problem(kind), { withinMs: SHOWN_WITHIN_MS, what: `the problem ${kind}` });
const gone = (kind: string) =>
  until(async () => (await problem(kind)) === undefined, {
    withinMs: SHOWN_WITHIN_MS,
    what: `the end of ${kind}`,
  });

async function publish(username: string, topic: string): Promise<void> {
  const client = await mqtt.connectAsync(mqttUrl, { username, password: PASSWORD, reconnectPeriod: 0 });
  client.on("error", () => {});
  const ended = new Promise<void>((resolve) => void client.once("close", resolve));
  await Promise.race([client.publishAsync(topic, fix(), { qos: 1 }).catch(() => {}), ended]);
  await client.endAsync(true);
}

test("a wrong password, until the device logs in", async () => {
  const wrong = { username: "van-41", password: "the old one", reconnectPeriod: 0 };
  await expect(mqtt.connectAsync(mqttUrl, wrong, false)).rejects.toThrow(/Bad username/);
  expect(await shown("device_login_refused")).toMatchObject({
    ...{ severity: "warning", whose: "device", where: "source phones", subjects: ["van-41"] },
    what: expect.stringContaining("van-41: wrong password from"),
  });
  await publish("van-41", "van-41/phone");
  await gone("device_login_refused");
});

test("a device without a row, with the row to paste, which ends it", async () => {
  expect(await shown("device_unmapped")).toMatchObject({
    ...{ whose: "configuration", where: "mapping", subjects: ["van-41/phone"] },
    doNext: expect.stringContaining("UNIT,van-41/phone,phones"),
  });
  writeFileSync(mappingFile, "unit,device,source\nVan 1,van-1/phone,phones\nUNIT,van-41/phone,phones\n");
  await until(async () => (await problem("device_unmapped")) === undefined, { what: "the row to be used" });
});

test("a mapping file with a mistake, with its line, until it is corrected", async () => {
  writeFileSync(mappingFile, "unit,device,source\nVan 1,3.52094E+14,phones\n");
  expect(await shown("mapping_unusable")).toMatchObject({
    ...{ severity: "error", whose: "configuration", where: "mapping" },
    what: expect.stringMatching(/rows of \d\d:\d\d UTC stay in use: line 2: device is a rounded number/),
  });
  writeFileSync(mappingFile, "unit,device,source\nVan 1,van-1/phone,phones\nVan 41,van-41/phone,phones\n");
  await until(async () => (await problem("mapping_unusable")) === undefined, { what: "the file to be used" });
});

test("a foreign topic, with what is allowed and the line to copy, in the log too", async () => {
  await publish("van-41", "owntracks/van-41/phone");
  expect(await shown("topic_refused")).toMatchObject({
    ...{ severity: "warning", whose: "device", where: "source phones", subjects: ["van-41"] },
    what: expect.stringContaining("van-41 publishes to owntracks/van-41/phone, allowed is van-41/#"),
    doNext: expect.stringContaining('topics: ["owntracks/%u/#"]'),
  });
  const line = gateway
    .log()
    .split("\n")
    .find((each) => each.includes('"foreign_topic"'));
  expect(JSON.parse(line ?? "null")).toMatchObject({
    ...{ event: "deviceRefused", username: "van-41" },
    ...{ topic: "owntracks/van-41/phone", allowed: ["van-41/#"] },
  });
});

test("nothing of it where all is well", async () => {
  await publish("van-1", "van-1/phone");
  const kinds = (await gateway.status()).problems.map(({ kind }) => kind);
  expect(kinds.filter((kind) => /^(device_|mapping_|topic_unread|subscription|guessing)/.test(kind))).toEqual(
    [],
  );
});
