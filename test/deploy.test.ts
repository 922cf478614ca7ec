/** What is deployed fits together: files that are mounted exist, the configuration is valid, the broker takes its own. */

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import mqtt from "mqtt";
import { afterAll, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { adapters } from "../src/adapters/index.ts";
import { loadConfig } from "../src/config.ts";
import { because } from "./parts/because.ts";
import { startMosquitto, whyNotMosquitto } from "./parts/mosquitto.ts";
import { until } from "./parts/wait.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const deploy = join(root, "deploy");
const dir = mkdtempSync(join(tmpdir(), "waypost-deploy-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const service = z.object({
  command: z.array(z.string()).default([]),
  volumes: z.array(z.string()).default([]),
  environment: z.record(z.string(), z.string()).default({}),
  stop_grace_period: z
    .string()
    .regex(/^\d+s$/)
    .default("10s"),
});
const compose = z
  .object({
    services: z.object({ proxy: service, gateway: service, redis: service, mosquitto: service }),
    networks: z.object({
      inside: z.object({ ipam: z.object({ config: z.array(z.object({ subnet: z.string() })) }) }),
    }),
    volumes: z.record(z.string(), z.null()),
  })
  .parse(parse(readFileSync(join(deploy, "compose.yaml"), "utf8")));
const { services } = compose;

test("what compose mounts is there", () => {
  for (const { volumes } of Object.values(services)) {
    for (const volume of volumes) {
      const [from = ""] = volume.split(":");
      if (from.startsWith(".")) expect(existsSync(join(deploy, from)), from).toBe(true);
      else expect(compose.volumes).toHaveProperty([from]);
    }
  }
});

test("the gateway's configuration is valid with the variables that the comments name", () => {
  const env: Record<string, string> = { MQTT_PASSWORD: "broker-7c1e90b4" };
  for (const [, name = ""] of readFileSync(join(root, ".env.example"), "utf8").matchAll(
    /^(WAYPOST_\w+)=/gm,
  )) {
    env[name] = name === "WAYPOST_TENANT" ? "1234567890123456" : `${name}-7c1e90b4`;
  }
  const loaded = loadConfig({ file: join(deploy, "waypost.yaml"), env, adapters });
  if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems));
  const { config } = loaded;
  expect(config.http.trustedProxies).toEqual(compose.networks.inside.ipam.config.map(({ subnet }) => subnet));
  expect(new URL(config.redis.url).hostname).toBe("redis");
  // After it Docker kills. The gateway takes up to a second more for its last steps.
  const graceMs = Number.parseInt(services.gateway.stop_grace_period, 10) * 1000;
  expect(graceMs).toBeGreaterThan(config.shutdownMs + 1000);
  expect(readFileSync(join(deploy, "caddy", "Caddyfile"), "utf8")).toContain(`gateway:${config.http.port}`);
});

test("Redis writes down what it acknowledged and evicts nothing", () => {
  const { command } = services.redis;
  expect(command[command.indexOf("--appendonly") + 1]).toBe("yes");
  expect(command[command.indexOf("--maxmemory-policy") + 1]).toBe("noeviction");
  expect(services.redis.volumes).toEqual(["redis-data:/data"]);
});

test("the image copies only what is not ignored, and starts what is built", () => {
  const dockerfile = readFileSync(join(root, "Dockerfile"), "utf8");
  const letIn = readFileSync(join(root, ".dockerignore"), "utf8")
    .split("\n")
    .filter((line) => line.startsWith("!"));
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, names = ""]) =>
    names.split(" "),
  );
  expect(copied.length).toBeGreaterThan(4);
  for (const name of copied) {
    expect(letIn).toContain(`!${name}`);
    expect(existsSync(join(root, name)), name).toBe(true);
  }
  expect(dockerfile).toMatch(/^USER node$/m);
});

test("what is built starts, in the version that the package has", () => {
  // Inside the repository, so that the packages are found.
  const out = mkdtempSync(join(root, "node_modules", ".waypost-build-"));
  try {
    execFileSync(join(root, "node_modules", ".bin", "tsc"), ["-p", "tsconfig.build.json", "--outDir", out], {
      cwd: root,
    });
    const version = execFileSync(process.execPath, [join(out, "cli.js"), "--version"], {
      encoding: "utf8",
    }).trim();
    expect(version).toBe(JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version);
    expect(readFileSync(join(root, "CHANGELOG.md"), "utf8")).toContain(`\n## ${version}\n`);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
});

test.skipIf(whyNotMosquitto() !== null)(
  `the broker lets devices publish their own and the gateway read it${because(whyNotMosquitto())}`,
  async () => {
    // As the container would run it, but for its paths and ports.
    const conf = readFileSync(join(deploy, "mosquitto", "mosquitto.conf"), "utf8")
      .split("\n")
      .filter(
        (line) => line !== "" && !/^(#|listener|protocol|log_|password_file|acl_file|persistence)/.test(line),
      );
    const passwords = join(dir, "passwords");
    execFileSync("mosquitto_passwd", ["-b", "-c", passwords, "waypost", "one"]);
    execFileSync("mosquitto_passwd", ["-b", passwords, "van-1", "two"]);
    const acl = join(deploy, "mosquitto", "acl");
    const broker = await startMosquitto([...conf, `password_file ${passwords}`, `acl_file ${acl}`]);
    const gateway = await mqtt.connectAsync(broker.url, { username: "waypost", password: "one" });
    const device = await mqtt.connectAsync(broker.url, { username: "van-1", password: "two" });
    const got: string[] = [];
    gateway.on("message", (topic) => got.push(topic));
    await gateway.subscribeAsync("owntracks/+/+", { qos: 1 });
    await device.publishAsync("owntracks/van-2/phone", "not its own", { qos: 1 });
    await device.publishAsync("owntracks/van-1/phone", "its own", { qos: 1 });
    await until(() => got.length > 0, { what: "a message" });
    expect(got).toEqual(["owntracks/van-1/phone"]);
    await Promise.all([gateway.endAsync(true), device.endAsync(true)]);
    await broker.stop();
  },
);
