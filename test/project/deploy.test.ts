/** What is deployed fits together: files that are mounted exist, the configuration is valid, the broker takes its own. */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import mqtt from "mqtt";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { adapters } from "../../src/adapters/index.ts";
import { loadConfig } from "../../src/config/load.ts";
import { because } from "../support/because.ts";
import { startMosquitto, whyNotMosquitto } from "../support/mosquitto.ts";
import { until } from "../support/wait.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const deploy = join(root, "deploy");
const dir = mkdtempSync(join(tmpdir(), "waypost-deploy-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const service = z.object({
  image: z.string(),
  build: z.string().optional(),
  user: z.string().optional(),
  command: z.array(z.string()).default([]),
  volumes: z.array(z.string()).default([]),
  environment: z.record(z.string(), z.string()).default({}),
  env_file: z.unknown().optional(),
  ports: z.array(z.string()).default([]),
  networks: z.preprocess(
    (given) => (Array.isArray(given) ? Object.fromEntries(given.map((name) => [name, {}])) : given),
    z.record(z.string(), z.object({ ipv4_address: z.string().optional() })),
  ),
  healthcheck: z.object({ test: z.array(z.string()) }).optional(),
  stop_grace_period: z
    .string()
    .regex(/^\d+s$/)
    .default("10s"),
  read_only: z.boolean().default(false),
  cap_drop: z.array(z.string()).default([]),
  cap_add: z.array(z.string()).default([]),
  security_opt: z.array(z.string()).default([]),
  tmpfs: z.array(z.string()).default([]),
  mem_limit: z.string().optional(),
  pids_limit: z.number().optional(),
  privileged: z.boolean().default(false),
  network_mode: z.string().optional(),
});
const composeText = readFileSync(join(deploy, "compose.yaml"), "utf8");
const compose = z
  .object({
    services: z
      .object({ proxy: service, gateway: service, redis: service, mosquitto: service })
      .catchall(service),
    networks: z.object({
      edge: z.object({
        ipam: z.object({ config: z.array(z.object({ subnet: z.string(), ip_range: z.string() })) }),
      }),
      inside: z.object({ internal: z.literal(true) }),
    }),
    volumes: z.record(z.string(), z.null()),
  })
  .parse(parse(composeText, { merge: true }));
const { services } = compose;

/** Capabilities given back, each with its reason; all others are gone. */
const CAPABILITIES: Record<string, readonly string[]> = {
  // Ports 80 and 443.
  proxy: ["NET_BIND_SERVICE"],
};
const EXACT_TAG = /^[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?$/;
const SECRET_NAME = /PASSWORD|SECRET|TOKEN|KEY|CLIENT_ID/;

describe.each(Object.entries(services))("the service %s", (name, settings) => {
  test("runs an image of an exact version, or what is built here", () => {
    if (settings.build === undefined) expect(settings.image).toMatch(EXACT_TAG);
    else expect(settings.build).toBe("..");
  });

  test("has no right it does not need, and cannot get one", () => {
    expect(settings.cap_drop).toEqual(["ALL"]);
    expect(settings.cap_add).toEqual(CAPABILITIES[name] ?? []);
    expect(settings.security_opt).toContain("no-new-privileges:true");
    expect(settings.privileged).toBe(false);
    expect(settings.network_mode).toBeUndefined();
    expect(settings.volumes.join()).not.toContain("docker.sock");
    expect(settings.read_only).toBe(true);
    // What is mounted from here is read, never written.
    expect(settings.volumes.filter((volume) => /^[./~]/.test(volume) && !volume.endsWith(":ro"))).toEqual([]);
  });

  test("has its share of the machine and no more", () => {
    expect(settings.mem_limit).toMatch(/^\d+[mg]$/);
    expect(settings.pids_limit).toBeGreaterThan(0);
    expect(settings.tmpfs.every((mount) => mount.includes("size="))).toBe(true);
  });

  test("has no secret of its own, no default for one, and none on a command line", () => {
    expect(settings.env_file).toBeUndefined();
    for (const [variable, value] of Object.entries(settings.environment)) {
      if (SECRET_NAME.test(variable)) expect(value).toMatch(/^\$\{\w+:\?[^}]+\}$/);
    }
    const commands = [...settings.command, ...(settings.healthcheck?.test ?? [])];
    // Compose puts the value of a reference with one dollar sign into the command line itself.
    for (const text of commands) expect(text.replaceAll("$$", "")).not.toContain("$");
    const lines = commands.flatMap((text) => text.split("\n"));
    // Built into the shell, or an environment: no process is started with it.
    for (const line of lines.filter((each) => SECRET_NAME.test(each)))
      expect(line).toMatch(/^(case|printf) |^[A-Z_]+="\$\$[A-Z_]+" redis-cli ping/);
    expect(lines.join("\n")).not.toMatch(
      /requirepass "?\$|--requirepass|redis-cli .*-a |mosquitto_passwd .*-b/,
    );
  });

  test("is open to this machine only, the proxy apart", () => {
    if (name === "proxy") return;
    for (const port of settings.ports) expect(port).toMatch(/^127\.0\.0\.1:/);
  });
});

test("no reference in compose has a default for a secret", () => {
  for (const [, name = "", mark] of composeText.matchAll(/(?<!\$)\$\{(\w+)(:?[-?])?/g)) {
    if (SECRET_NAME.test(name)) expect(mark, name).toBe(":?");
  }
});

test("Redis is not where the proxy is, and wants its password", () => {
  const [of, ofProxy] = [Object.keys(services.redis.networks), Object.keys(services.proxy.networks)];
  expect(of).toEqual(["inside"]);
  expect(of.filter((network) => ofProxy.includes(network))).toEqual([]);
  const others = Object.entries(services).filter(([, each]) => "inside" in each.networks);
  expect(others.map(([name]) => name).sort()).toEqual(["gateway", "redis"]);
  expect(readFileSync(join(deploy, "redis", "redis.conf"), "utf8")).toMatch(
    /^include \/tmp\/password.conf$/m,
  );
});

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
  // What compose gives the gateway, and nothing else. Each value is its own, as strong secrets are.
  const env = Object.fromEntries(
    Object.entries(services.gateway.environment).map(([name, reference]) => {
      const [, byDefault] = /:-(.*)\}$/.exec(reference) ?? [];
      if (name === "WAYPOST_TENANT") return [name, "1000001"];
      return [name, byDefault ?? `${createHash("sha256").update(name).digest("hex")}`];
    }),
  );
  const example = readFileSync(join(root, ".env.example"), "utf8");
  for (const [, name = ""] of composeText.matchAll(/(?<!\$)\$\{(\w+)/g))
    expect(example, name).toMatch(new RegExp(`^#?${name}=`, "m"));
  const loaded = loadConfig({ file: join(deploy, "waypost.yaml"), env, adapters });
  if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems));
  const { config } = loaded;
  expect(config.http.trustedProxies).toEqual([services.proxy.networks.edge?.ipv4_address]);
  const [range] = compose.networks.edge.ipam.config;
  // Docker gives the others addresses from the upper half, or one could get the proxy's.
  expect(range).toEqual({ subnet: "172.31.240.0/24", ip_range: "172.31.240.128/25" });
  expect(services.proxy.networks.edge?.ipv4_address).toMatch(/^172\.31\.240\.([2-9]|\d\d|1[01]\d|12[0-7])$/);
  expect(new URL(config.redis.url).hostname).toBe("redis");
  // After it Docker kills. The gateway takes up to a second more for its last steps.
  const graceMs = Number.parseInt(services.gateway.stop_grace_period, 10) * 1000;
  expect(graceMs).toBeGreaterThan(config.shutdownMs + 1000);
  expect(readFileSync(join(deploy, "caddy", "Caddyfile"), "utf8")).toContain(`gateway:${config.http.port}`);
});

test("Redis writes down what it acknowledged and evicts nothing", () => {
  const conf = readFileSync(join(deploy, "redis", "redis.conf"), "utf8");
  expect(conf).toMatch(/^appendonly yes$/m);
  expect(conf).toMatch(/^maxmemory-policy noeviction$/m);
  expect(services.redis.volumes).toContain("redis-data:/data");
  // A rewrite of the append-only file needs room beside the data.
  expect(conf).toMatch(/^maxmemory 2gb$/m);
  expect(services.redis.mem_limit).toBe("3g");
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
  const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, base]) => base);
  expect(bases).toHaveLength(2);
  for (const base of bases) expect(base).toMatch(EXACT_TAG);
  expect(dockerfile).toMatch(/^HEALTHCHECK /m);
  for (const [line] of dockerfile.matchAll(/npm (ci|prune|install)[^&\n]*/g))
    expect(line).toContain("--ignore-scripts");
  expect(dockerfile).toContain("npm ci ");
  expect(dockerfile).not.toContain("npm install");
  expect(dockerfile).toContain("npm prune --omit=dev");
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
    expect(readFileSync(join(root, "CHANGELOG.md"), "utf8")).toContain(`\n## ${version} (`);
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
    writeFileSync(passwords, "waypost:one\nvan-1:two\n", { mode: 0o600 });
    execFileSync("mosquitto_passwd", ["-U", passwords]);
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
