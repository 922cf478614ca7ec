/** The adapter that the vendor's guide shows does what the guide says of it. */

import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Adapter } from "../../src/adapters/kit/adapter.ts";
import { decode, examine } from "../support/decode.ts";
import { scaled } from "../support/speed.ts";
import { until } from "../support/wait.ts";
import { blocksOf, pageAt, ROOT } from "./pages.ts";
import { openShell } from "./shell.ts";

const guide = pageAt("src/adapters/README.md");

describe("the whole adapter", () => {
  const dir = mkdtempSync(join(tmpdir(), "waypost-guide-"));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  let adapter: Adapter;

  beforeAll(async () => {
    const [code = ""] = blocksOf(guide).flatMap(({ language, text }) => (language === "ts" ? [text] : []));
    const file = join(dir, "acme-fleet.ts");
    const own = code
      .replaceAll('"./kit/', `"${pathToFileURL(join(ROOT, "src/adapters/kit/")).href}`)
      .replace('"zod"', `"${import.meta.resolve("zod")}"`);
    writeFileSync(file, own);
    ({ acmeFleet: adapter } = await import(pathToFileURL(file).href));
  });

  const settings = { speedUnit: undefined, options: undefined };
  const message = (body: object) => ({
    body: Buffer.from(JSON.stringify(body)),
    receivedAt: Date.UTC(2026, 9, 26, 14),
    method: "POST",
    headers: {},
    query: {},
    retained: false,
  });
  const position = {
    type: "position",
    vehicle: { id: "A-7" },
    at: 1793020800,
    geometry: { type: "Point", coordinates: [-104.9903, 39.7392] },
    speed: 36,
    course: 90,
    valid: true,
  };

  test("takes the longitude first, and km/h", () => {
    expect(examine(adapter, message(position), settings).readings).toEqual([
      {
        deviceId: "A-7",
        fixTime: "2026-10-26T13:20:00.000Z",
        latitude: 39.7392,
        longitude: -104.9903,
        speedMps: 10,
        headingDeg: 90,
      },
    ]);
  });

  test("knows the sentinel, and the flag of an old fix", () => {
    const [reading] = examine(adapter, message({ ...position, speed: 127 }), settings).readings;
    expect(reading).toMatchObject({ speedMps: null, headingDeg: 90 });
    expect(examine(adapter, message({ ...position, valid: false }), settings).rejections).toEqual([
      { reason: "no_fix", path: "" },
    ]);
    const { speed: _, ...without } = position;
    expect(examine(adapter, message(without), settings).readings).toMatchObject([{ speedMps: null }]);
  });

  test("answers the challenge, and ignores other events", () => {
    const credentials = { secrets: ["correct-horse-7"] };
    const result = decode(adapter, message({ type: "challenge", nonce: "n-1" }), {
      ...settings,
      credentials,
    });
    const body = createHmac("sha256", "correct-horse-7").update("n-1").digest("hex");
    expect(result).toMatchObject({ kind: "handshake", handshake: { reply: { status: 200, body } } });
    expect(decode(adapter, message({ type: "trip" }), { ...settings, credentials })).toEqual({
      kind: "ignored",
      what: "trip",
    });
  });
});

test("the three commands show the ping that a message became", { timeout: scaled(120_000) }, async () => {
  const [, section = ""] = /## In three commands\n([\s\S]*?)\n## /.exec(guide.text) ?? [];
  const [sandbox = "", send = ""] = [...section.matchAll(/^```\n([\s\S]*?)^```$/gm)].flatMap(
    ([, text = ""]) => text,
  );
  const [post = "", pings = ""] = send.split(/\n(?=curl http:\/\/127\.0\.0\.1:8090)/);
  const shell = await openShell();
  try {
    // The page leaves the ports to their defaults.
    const ports = `--port 8090 --webhook-port 8080 --ops-port 9090`;
    await shell.start(`${sandbox.trim()} ${ports}`, 8080);
    expect(JSON.parse(await shell.run(post))).toEqual({ stored: 1, duplicates: 0, rejected: [] });
    const found = await until(
      async () => {
        const { pings: all } = JSON.parse(await shell.run(pings));
        return all.length > 0 ? all : null;
      },
      { what: "the ping to arrive" },
    );
    expect(found).toMatchObject([{ ping: { latitude: 43.6150186, longitude: -116.2023137 } }]);
  } finally {
    await shell.close();
  }
});
