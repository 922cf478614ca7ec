import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync } from "node:fs";
import { Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import { findProgram } from "../../sandbox/owned-process.ts";
import { createFloodGate, createLogger, type LogOptions, logLevelOf } from "../../src/events/log.ts";
import { because } from "../support/because.ts";

function capture(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  return { lines, logger: createLogger({ level: "debug", destination, ...options }) };
}

describe("the log", () => {
  it("never carries a secret, however deep and however spelled", () => {
    const { lines, logger } = capture();
    const error = Object.assign(new Error("token endpoint said no", { cause: new Error("inner") }), {
      request: { options: { headers: { Authorization: "Bearer s3cr3t", "ST-App-Key": "s3cr3t" } } },
    });
    logger.info({
      authorization: "s3cr3t",
      token: "s3cr3t",
      nested: [{ clientSecret: "s3cr3t", client_secret: "s3cr3t", appKey: "s3cr3t", password: "s3cr3t" }],
      access_token: "s3cr3t",
      err: error,
    });
    const text = lines.join("");
    expect(text).not.toContain("s3cr3t");
    expect(text).toContain("token endpoint said no");
    expect(text).toContain("inner");
  });

  it("keeps the place of an address and none of its secrets", () => {
    const { lines, logger } = capture();
    logger.info({
      url: "/webhooks/vans?token=s3cr3t&id=1",
      at: new URL("mqtts://user:s3cr3t@broker.example:8883/"),
    });
    const line = JSON.parse(lines[0] ?? "");
    expect(line.url).toBe("/webhooks/vans?token=[redacted]&id=[redacted]");
    expect(line.at).toBe("mqtts://[redacted]@broker.example:8883/");
  });

  it("changes its level while it runs", () => {
    const { lines, logger } = capture({ level: "warn" });
    const { level, setLevel } = logLevelOf(logger);
    logger.info({ event: "unheard" });
    setLevel("info");
    logger.info({ event: "heard" });
    expect(level()).toBe("info");
    expect(lines.map((line) => JSON.parse(line).event)).toEqual(["heard"]);
  });

  it("names the command that Redis refused and leaves out what it was given", () => {
    const { lines, logger } = capture();
    const error = Object.assign(new Error("OOM command not allowed"), {
      command: { name: "evalsha", args: ["a script", Buffer.from("a position")] },
    });
    logger.error({ err: new Error("could not keep", { cause: error }) });
    logger.error({ err: error });
    expect(lines.join()).not.toContain("args");
    expect(JSON.parse(lines[1] ?? "")).toMatchObject({ err: { command: "evalsha" } });
  });

  it("tells of bytes only how many there are", () => {
    const { lines, logger } = capture();
    logger.error({ body: Buffer.from("32.78"), of: new Uint8Array(3) });
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ body: "[5 bytes]", of: "[3 bytes]" });
  });

  it("writes plain values as they are, and ends on a circle", () => {
    const { lines, logger } = capture();
    const circle: Record<string, unknown> = { pings: 100, reason: null };
    circle.self = circle;
    logger.info({ circle, since: new Date(0), event: "attemptMade" });
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      level: "info",
      event: "attemptMade",
      since: "1970-01-01T00:00:00.000Z",
      circle: { pings: 100, reason: null },
    });
  });
});

describe("the flood gate", () => {
  it("lets one line per cause through and says how many it held back", () => {
    let nowMs = 5_000;
    const mayWrite = createFloodGate(() => nowMs);
    expect(mayWrite("a")).toBe(0);
    expect(mayWrite("a")).toBe(null);
    expect(mayWrite("b")).toBe(0);
    expect(mayWrite("a")).toBe(null);
    nowMs += 1_000;
    expect(mayWrite("a")).toBe(2);
    expect(mayWrite("a")).toBe(null);
  });

  it("forgets the oldest cause rather than remember without bound", () => {
    const mayWrite = createFloodGate(() => 0);
    mayWrite("first");
    for (let cause = 0; cause < 1000; cause += 1) mayWrite(`cause ${cause}`);
    expect(mayWrite("cause 999")).toBe(null);
    expect(mayWrite("first")).toBe(0);
  });
});

const noFullDevice = existsSync("/dev/full") ? null : "there is no /dev/full: run the tests on Linux";

it.skipIf(noFullDevice !== null)(
  `a disk that is full under the log stops nobody${because(noFullDevice)}`,
  async () => {
    const program = `
    import { createLogger } from "./src/events/log.ts";
    const logger = createLogger({ level: "info" });
    for (let i = 0; i < 3; i++) logger.info({ i }, "no room");
    logger.fatal("no room for this either");
    process.stderr.write("alive");`;
    const full = openSync("/dev/full", "w");
    try {
      const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
        stdio: ["ignore", full, "pipe"],
        timeout: 30_000,
      });
      let said = "";
      child.stderr?.on("data", (chunk) => {
        said += chunk;
      });
      const [code] = await once(child, "close");
      expect({ code, said }).toEqual({ code: 0, said: "alive" });
    } finally {
      closeSync(full);
    }
  },
  60_000,
);

const ESCAPE = "\u001b";
const noScript =
  findProgram(["script"]) === null ? "script is not installed (apt-get install bsdutils)" : null;

describe("the log on a terminal", () => {
  it("has one line for an event, with its name first, and no colour where none is wanted", () => {
    const { lines, logger } = capture({ terminal: { hasColors: false } });
    logger.warn({ event: "attemptMade", destination: "acme", status: 503 });
    logger.info({ setting: "ops.token" }, "ops.token is weak");
    expect(lines[0]).toMatch(
      /^\[\d\d:\d\d:\d\d\.\d{3}\] WARN: attemptMade \{"destination":"acme","status":503\}\n$/,
    );
    expect(lines[1]).toMatch(/INFO: ops\.token is weak \{"setting":"ops\.token"\}\n$/);
    expect(lines.join("")).not.toContain(ESCAPE);
  });

  it("is coloured where the terminal has colours, and JSON where it is told to be", () => {
    const coloured = capture({ terminal: { hasColors: true } });
    coloured.logger.info({ event: "started" });
    expect(coloured.lines[0]).toContain(`${ESCAPE}[`);
    const json = capture({ terminal: { hasColors: true }, format: "json" });
    json.logger.info({ event: "started" });
    expect(JSON.parse(json.lines[0] ?? "")).toMatchObject({ event: "started" });
    const piped = capture({ format: "pretty" });
    piped.logger.info({ event: "started" });
    expect(piped.lines[0]).toMatch(/INFO: started\n$/);
    expect(piped.lines[0]).not.toContain(ESCAPE);
  });

  it("censors secrets there, too, and shows what could steer the terminal or pass for a line of its own", () => {
    const { lines, logger } = capture({ terminal: { hasColors: false } });
    const nasty = `a${ESCAPE}[2Jb\n[12:00:00.000] INFO: forged\u202e`;
    const error = Object.assign(new Error(nasty), { password: "s3cr3t" });
    logger.error({ event: "failed", token: "s3cr3t", [nasty]: nasty, deep: [{ device: nasty }], err: error });
    const text = lines.join("");
    expect(text).not.toContain("s3cr3t");
    expect(text).toContain("[redacted]");
    expect(text).not.toContain(ESCAPE);
    expect(text).not.toContain("\u202e");
    // Only the first line of an entry begins at the margin.
    expect(text.split("\n").filter((line) => /^\[/.test(line))).toHaveLength(1);
    expect(text).toContain("log.test.ts");
  });

  const terminals: [string, Record<string, string>, RegExp, boolean][] = [
    ["a terminal", {}, /INFO.*: .*started/, true],
    ["a terminal without colours", { NO_COLOR: "1" }, /INFO: started/, false],
  ];
  it.skipIf(noScript !== null).each(terminals)(
    `is chosen on %s${because(noScript)}`,
    (_, env, expected, coloured) => {
      const program = `
      import { terminalOfOutput } from "./src/commands/print.ts";
      import { createLogger } from "./src/events/log.ts";
      createLogger({ level: "info", terminal: terminalOfOutput() }).info({ event: "started" });`;
      // Node takes the terminal of a CI job to have no colours.
      const { FORCE_COLOR: _force, NO_COLOR: _none, CI: _job, ...inherited } = process.env;
      const { stdout } = spawnSync(
        "script",
        ["-qec", '"$NODE" --import tsx --input-type=module -e "$PROGRAM"', "/dev/null"],
        {
          encoding: "utf8",
          env: { ...inherited, TERM: "xterm-256color", NODE: process.execPath, PROGRAM: program, ...env },
        },
      );
      expect(stdout).toMatch(expected);
      expect(stdout.includes(ESCAPE)).toBe(coloured);
    },
  );
});
