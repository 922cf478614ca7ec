/** What others have written cannot steer the terminal that shows it: as text, as JSON, in the log, by every command. */

import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { stringify } from "yaml";
import { createLogger } from "../src/events/log.ts";
import { visible, visibleJson } from "../src/untrusted.ts";
import { runCli } from "./support/cli-process.ts";

// Each command is a process that loads TypeScript first, and the machine may be busy.
vi.setConfig({ testTimeout: 240_000 });

/** Clears the screen, sets the title, turns the order, goes back, rings, starts a line of its own, by one byte or two. */
const EVIL =
  "v\u001b[2J\u001b]0;owned\u0007\u009b31m\u202e\u2066\u200b\ufeff\u2028\u0085\b\r\nforged\u0000\u007f\u00ad\u{e0041}\u061c";
/** Line ends apart, which are the commands' own layout. */
const STEERING = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

describe("a text made visible", () => {
  it.each([
    ["\u001b[31m", "\\x1b[31m"],
    ["a\nb\r\tc", "a\\nb\\r\\tc"],
    ["\u0000\b\u0007\u007f", "\\x00\\x08\\x07\\x7f"],
    ["\u009b1A\u0085", "\\x9b1A\\x85"],
    ["abc\u202edef\u2069", "abc\\u{202e}def\\u{2069}"],
    ["\ufeff\u200b\u00ad\u061c", "\\u{feff}\\u{200b}\\xad\\u{61c}"],
    ["\u2028\u2029", "\\u{2028}\\u{2029}"],
    ["\u{e0041}\ud800", "\\u{e0041}\\u{d800}"],
    ["Zoë 車 🚚 naïve — “x” \\x1b", "Zoë 車 🚚 naïve — “x” \\x1b"],
  ])("%j reads %j", (text, shown) => expect(visible(text)).toBe(shown));

  it("has nothing left of any such character, whichever it is", () => {
    for (let code = 0; code <= 0x10ffff; code++) {
      const shown = visible(String.fromCodePoint(code));
      if (STEERING.test(shown) || shown.includes("\n")) expect.fail(`U+${code.toString(16)} is left`);
    }
  });
});

describe("JSON made visible", () => {
  it("says the same, in characters that steer nothing", () => {
    const value = { [EVIL]: [EVIL, { deep: EVIL }], plain: "Zoë 🚚" };
    const json = visibleJson(JSON.stringify(value));
    expect(json).not.toMatch(STEERING);
    expect(json).not.toContain("\n");
    expect(JSON.parse(json)).toEqual(value);
    expect(json).toContain("Zoë 🚚");
  });
});

it("a line of the log steers nothing, and is JSON still", () => {
  const lines: string[] = [];
  const logger = createLogger({ level: "info", destination: { write: (line) => void lines.push(line) } });
  logger.warn({ event: "deviceRefused", client: EVIL, err: new Error(EVIL) }, EVIL);
  expect(lines).toHaveLength(1);
  const [line = ""] = lines;
  expect(line.trimEnd()).not.toMatch(STEERING);
  expect(line.trimEnd()).not.toContain("\n");
  expect(JSON.parse(line)).toMatchObject({ client: EVIL, msg: EVIL });
});

describe("a command", () => {
  let dir: string;
  let ops: ReturnType<typeof createServer>;
  let config: string;
  const OPS_TOKEN = "kX9-tR2wq-77LmZ-ops-pQ4";
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "waypost-visible-"));
    // The gateway hands on what vendors and ServiceTitan have written.
    ops = createServer((request, response) => {
      request.resume();
      const { url = "" } = request;
      const example = { id: "1-1", source: "vans", before: EVIL, after: EVIL };
      const letter = { fixTime: "t", unit: EVIL, destination: "acme", reason: "r", message: EVIL };
      const counts = {
        matched: 1,
        waiting: 1,
        expired: 0,
        superseded: 0,
        readable: 1,
        readings: 1,
        staying: 0,
      };
      const { readable, readings, staying, ...dead } = counts;
      if (url.startsWith("/api/v1/quarantine"))
        response.end(JSON.stringify({ matched: 1, readable, readings, staying, examples: [example] }));
      else if (url.startsWith("/api/v1/dead")) response.end(JSON.stringify({ ...dead, examples: [letter] }));
      else response.writeHead(500).end(EVIL);
    }).listen(0, "127.0.0.1");
    await once(ops, "listening");
    config = write("waypost.yaml", stringify(settings({})));
  });
  afterAll(() => {
    ops.close();
    rmSync(dir, { recursive: true, force: true });
  });

  function settings(more: object) {
    return {
      redis: { url: "redis://127.0.0.1:1" },
      ops: { port: (ops.address() as AddressInfo).port, token: OPS_TOKEN },
      sources: {
        vans: {
          vendor: "json",
          destination: "acme",
          auth: { method: "bearer", secret: "mN7-bV4xc-22KpQ-vans" },
        },
      },
      destinations: {
        acme: {
          tenant: "1000001",
          provider: "waypost",
          appKey: "ak1.zZ8yX7wV6uT5",
          clientId: "cid.sR4qP3oN2mL1",
          clientSecret: "cs2.kJ0iH9gF8eD7cB6",
        },
      },
      ...more,
    };
  }

  function write(name: string, text: string): string {
    const path = join(dir, name);
    writeFileSync(path, text);
    return path;
  }

  /** Shows something, and nothing of it steers. */
  async function shown(args: string[], input?: string): Promise<{ stdout: string; stderr: string }> {
    const { stdout, stderr } = await runCli(args, input === undefined ? {} : { input });
    for (const text of [stdout, stderr]) {
      expect(text).not.toMatch(STEERING);
      expect(text).not.toMatch(/^forged/m);
    }
    expect(stdout + stderr).toMatch(/\\x1b|\\u001b|\\u\{202e\}|\\u202e/);
    return { stdout, stderr };
  }

  const point = { latitude: 32.7, longitude: -96.8, time: "2026-10-26T12:00:00Z" };

  it("prints JSON that is JSON, whatever was sent", async () => {
    const readings = [
      { ...point, deviceId: EVIL },
      { ...point, deviceId: "v\u200d\u202ex" },
      { [EVIL]: EVIL },
    ];
    const { stdout, stderr } = await runCli(["decode", "json"], { input: JSON.stringify(readings) });
    expect(stdout + stderr).not.toMatch(STEERING);
    expect(JSON.parse(stdout)).toHaveProperty("kind");
  });

  it.each([
    { of: "a body that is no JSON", args: ["decode", "json"], input: `{"a": ${EVIL}` },
    { of: "a vendor that is not there", args: ["decode", "\u001b[2J\u202e"], input: "{}" },
    {
      of: "a message that is none of the quarantine",
      args: ["decode", "json", "--quarantined"],
      input: EVIL,
    },
    {
      of: "options that are not right",
      args: ["decode", "json", "--options", '{"\\u001b[2J\\u202e": 1}'],
      input: "{}",
    },
    {
      of: "an option that is no JSON",
      args: ["decode", "json", "--options", "\u001b[2J\u202e"],
      input: "{}",
    },
    { of: "a file that is not there", args: ["check", "--config", "/nowhere/\u001b[2J\u202e.yaml"] },
    { of: "a command that is not there", args: ["\u001b[2J\u202e"] },
    { of: "an option of a command that is not there", args: ["redrive", "--\u001b[2J\u202e"] },
  ])("quotes $of", async ({ args, input }) => void (await shown(args, input)));

  it("quotes what the gateway hands on", async () => {
    const redriven = await shown(["redrive", "quarantine", "--config", config]);
    expect(redriven.stdout.trimEnd().split("\n")).toHaveLength(4);
    const json = await shown(["redrive", "quarantine", "--config", config, "--json"]);
    expect(JSON.parse(json.stdout)).toMatchObject({ examples: [{ before: EVIL }] });
    await shown(["redrive", "dead-letters", "--config", config]);
  });

  it("quotes a configuration and a mapping file", async () => {
    const odd = write("odd.yaml", stringify(settings({ "\u001b[2J\u202e": { "\u009b1A": "\u202e" } })));
    await shown(["check", "--config", odd]);
    const broken = write("broken.yaml", "a: [\u202e\n b: }\n- \u202e: x\n");
    await runCli(["check", "--config", broken]).then(({ stderr }) => expect(stderr).not.toMatch(STEERING));
    const mapping = write("mapping.csv", `source,device,unit\nvans\u202e\u009b1A,v1,u1\n`);
    const mapped = write("mapped.yaml", stringify(settings({ mapping: { file: mapping } })));
    await shown(["start", "--config", mapped]);
  });
});
