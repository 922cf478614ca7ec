import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { replay } from "../../src/commands/capture/replay.ts";
import type { ReplayOptions } from "../../src/commands/capture/sender.ts";
import { because, howToGet } from "../support/because.ts";
import { scaled } from "../support/speed.ts";

interface Sent {
  deviceId: string;
  time: string;
  latitude: unknown;
  [field: string]: unknown;
}

const START = Date.UTC(2017, 2, 21, 5, 0, 0);
let dir: string;
let gateway: Gateway;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "waypost-replay-"));
  gateway = await startGateway();
});
afterEach(async () => {
  await gateway.stop();
  rmSync(dir, { recursive: true });
});

interface Gateway {
  url: string;
  requests: { body: Sent[]; headers: IncomingMessage["headers"]; path: string | undefined }[];
  /** Positions of requests answered with 200, in the order of the answers. */
  taken: Sent[];
  respond: (response: ServerResponse, nth: number) => void | Promise<void>;
  stop(): Promise<void>;
  start(): Promise<void>;
}

async function startGateway(): Promise<Gateway> {
  let server: Server;
  let port = 0;
  const self: Gateway = {
    url: "",
    requests: [],
    taken: [],
    respond: (response) => void response.end("{}"),
    async start() {
      server = createServer(async (request, response) => {
        const chunks: Buffer[] = [];
        for await (const chunk of request) chunks.push(chunk as Buffer);
        const body = JSON.parse(Buffer.concat(chunks).toString("utf8")) as Sent[];
        const nth = self.requests.push({ body, headers: request.headers, path: request.url });
        await self.respond(response, nth);
        if (response.statusCode === 200 && !response.destroyed) self.taken.push(...body);
      });
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
      port = (server.address() as AddressInfo).port;
      self.url = `http://127.0.0.1:${port}/webhooks/vans?token=t`;
    },
    async stop() {
      server.closeAllConnections();
      if (!server.listening) return;
      server.close();
      await once(server, "close");
    },
  };
  await self.start();
  return self;
}

function write(name: string, lines: readonly (string | object)[]): string {
  const file = join(dir, name);
  const text = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n");
  writeFileSync(file, name.endsWith(".gz") ? gzipSync(text) : text);
  return file;
}

const position = (vehicle: string, second: number, changes = {}) => ({
  vehicle,
  t: new Date(START + second * 1000).toISOString(),
  lat: 30.4,
  lon: -97.6,
  speedMps: 10.729,
  headingDeg: null,
  ...changes,
});

function options(
  file: string,
  changes: Partial<ReplayOptions> & { linesPerMessage?: number } = {},
): ReplayOptions {
  const { linesPerMessage = 10, ...rest } = changes;
  return {
    file,
    pace: { kind: "fastest" },
    webhook: { url: gateway.url, headers: { authorization: "Bearer test" }, linesPerMessage },
    times: "recorded",
    concurrency: 4,
    patienceMs: 60_000,
    ...rest,
  };
}

/** 20 vehicles, a position of each every second. */
function fleet(seconds: number) {
  return Array.from({ length: seconds * 20 }, (_, i) => position(`van-${i % 20}`, Math.floor(i / 20)));
}

function expectOrderPerVehicle(taken: readonly Sent[]): void {
  const last = new Map<string, string>();
  for (const { deviceId, time } of taken) {
    expect(time > (last.get(deviceId) ?? "")).toBe(true);
    last.set(deviceId, time);
  }
}

describe("positions", () => {
  test("go by webhook in the gateway's own format, dirt included", async () => {
    const file = write("a.jsonl", [
      position("van-1", 0),
      position("van-1", 1, { lat: 0, lon: 0, speedMps: 113.99, headingDeg: 274.5 }),
      "not json",
      "",
      '{"vehicle":"","t":"2017-03-21T05:00:00Z"}',
      '{"vehicle":"van-2","t":"yesterday","lat":1,"lon":1}',
      '{"vehicle":"van-1","t":"2017-03-21T05:00:02Z"}',
    ]);
    const result = await replay(options(file));
    expect(result).toEqual({
      lines: 6,
      unreadable: 3,
      firstUnreadable: { line: 3, problem: expect.stringMatching(/^is no JSON: .*"not json"/) },
      sent: 3,
      refused: 0,
      rejected: 0,
      abandoned: 0,
      messages: 1,
      answers: { 200: 1 },
      resends: 0,
    });
    const own = { deviceId: "van-1", speedUnit: "mps" };
    expect(gateway.taken).toEqual([
      {
        ...own,
        time: "2017-03-21T05:00:00.000Z",
        latitude: 30.4,
        longitude: -97.6,
        speed: 10.729,
        heading: null,
      },
      { ...own, time: "2017-03-21T05:00:01.000Z", latitude: 0, longitude: 0, speed: 113.99, heading: 274.5 },
      { ...own, time: "2017-03-21T05:00:02Z", latitude: null, longitude: null, speed: null, heading: null },
    ]);
    expect(gateway.requests[0]).toMatchObject({
      path: "/webhooks/vans?token=t",
      headers: { authorization: "Bearer test", "content-type": "application/json" },
    });
  });

  test("go several messages at once, every vehicle's in order, none lost and none twice", async () => {
    const lines = fleet(50);
    let busy = 0;
    let busiest = 0;
    gateway.respond = async (response, nth) => {
      busiest = Math.max(busiest, ++busy);
      await new Promise((resolve) => setTimeout(resolve, (nth * 7) % 11));
      busy--;
      response.end("{}");
    };
    const result = await replay(options(write("a.jsonl.gz", lines)));
    expect(result).toMatchObject({ lines: 1000, unreadable: 0, sent: 1000, abandoned: 0, resends: 0 });
    expect(gateway.taken).toHaveLength(1000);
    expectOrderPerVehicle(gateway.taken);
    expect(busiest).toBeGreaterThan(1);
    expect(busiest).toBeLessThanOrEqual(4);
    expect(Math.max(...gateway.requests.map(({ body }) => body.length))).toBe(10);
    // Full messages, but for the last of each lane.
    expect(gateway.requests.filter(({ body }) => body.length < 10).length).toBeLessThanOrEqual(4);
  });

  test("that the gateway cannot store now are sent again, in order, after the time it asks for", async () => {
    const file = write("a.jsonl", fleet(10));
    const refusedAt: number[] = [];
    const answeredAt: number[] = [];
    gateway.respond = (response, nth) => {
      if (nth === 3) refusedAt.push(performance.now());
      else if (refusedAt.length > 0) answeredAt.push(performance.now());
      if (nth === 3) response.writeHead(503, { "retry-after": "1" }).end();
      else if (nth % 5 === 0)
        response.writeHead([500, 502, 429][nth % 3] ?? 500, { "retry-after": "0" }).end();
      else response.end("{}");
    };
    const progress: number[] = [];
    const result = await replay({
      ...options(file, { concurrency: 1 }),
      onProgress: ({ sent }) => progress.push(sent),
    });
    expect(result).toMatchObject({ lines: 200, sent: 200, abandoned: 0, messages: 20 });
    expect(result.resends).toBe(gateway.requests.length - 20);
    expect(result.resends).toBeGreaterThan(3);
    expect(Object.values(result.answers).reduce((a, b) => a + b)).toBe(gateway.requests.length);
    expect(result.answers[503]).toBe(1);
    expect(gateway.taken).toHaveLength(200);
    expectOrderPerVehicle(gateway.taken);
    // A timer may fire a little early by the other clock.
    expect((answeredAt[0] ?? 0) - (refusedAt[0] ?? 0)).toBeGreaterThan(950);
    expect(progress.at(-1)).toBe(200);
  });

  test("outlive a gateway that dies and comes back", async () => {
    let died: Promise<void> | null = null;
    gateway.respond = (response, nth) => {
      if (nth === 20) died = gateway.stop().then(() => gateway.start());
      else response.end("{}");
    };
    const result = await replay(options(write("a.jsonl", fleet(50))));
    await died;
    expect(result).toMatchObject({ lines: 1000, sent: 1000, abandoned: 0 });
    expect(result.answers.none).toBeGreaterThan(0);
    const unique = new Set(gateway.taken.map(({ deviceId, time }) => `${deviceId} ${time}`));
    expect(unique.size).toBe(1000);
  });

  test("refused for good are counted by status and not sent again", async () => {
    gateway.respond = (response) => void response.writeHead(401).end();
    const result = await replay(options(write("a.jsonl", fleet(2))));
    expect(result).toMatchObject({
      sent: 40,
      refused: 40,
      abandoned: 0,
      resends: 0,
      answers: { 401: gateway.requests.length },
    });
  });

  test("that are never accepted are given up in the end, and counted", async () => {
    await gateway.stop();
    const result = await replay(options(write("a.jsonl", fleet(1)), { patienceMs: 300 }));
    expect(result).toMatchObject({ lines: 20, sent: 0, abandoned: 20, messages: 0 });
    expect(result.answers.none).toBeGreaterThan(1);
  });

  test("stop on request, every line accounted for", async () => {
    const stop = new AbortController();
    gateway.respond = (response, nth) => {
      if (nth === 5) stop.abort();
      response.end("{}");
    };
    const { lines, unreadable, sent, abandoned } = await replay(
      options(write("a.jsonl", fleet(200)), { signal: stop.signal, linesPerMessage: 1 }),
    );
    expect(lines).toBe(unreadable + sent + abandoned);
    expect(lines).toBeLessThan(4000);
    expect(sent).toBeGreaterThanOrEqual(5);
  });
});

describe("the first line that cannot be read is told with its number and its reason", () => {
  test.each([
    ["{", /^is no JSON: /],
    ["[1, 2]", /^is no position: .*expected object/],
    ['{"vehicle":"","t":"2017-03-21T05:00:00Z"}', /^is no position: vehicle: /],
    ['{"vehicle":"van-2","t":"yesterday"}', /^is no position: t: is no time$/],
    ['{"receivedAt":"2023-10-29T13:24:10Z","topic":"t","payload":7}', /^is no MQTT message: payload: /],
  ])("%s", async (line, problem) => {
    const file = write("a.jsonl", [position("van-1", 0), "", line, "not json either"]);
    const seen: number[] = [];
    const result = await replay({
      ...options(file),
      onProgress: ({ unreadable }) => seen.push(unreadable),
    });
    expect(result.firstUnreadable).toEqual({ line: 3, problem: expect.stringMatching(problem) });
    expect(seen).toContain(1);
  });
});

test("positions that the gateway takes and rejects are counted from its answers", async () => {
  gateway.respond = (response) => void response.end(JSON.stringify({ stored: 9, rejected: [{ index: 0 }] }));
  const result = await replay(options(write("a.jsonl", fleet(2)), { concurrency: 1 }));
  expect(result).toMatchObject({ sent: 40, refused: 0, rejected: 4 });
});

describe("time", () => {
  test("at a multiple of the recorded speed, no line is sent before it is due", async () => {
    const arrivals: number[] = [];
    const startedAt = performance.now();
    gateway.respond = (response) => {
      arrivals.push(performance.now() - startedAt);
      response.end("{}");
    };
    const file = write(
      "a.jsonl",
      [0, 0, 5, 10, 20].map((second, i) => position(`van-${i}`, second)),
    );
    const result = await replay(options(file, { pace: { kind: "recorded", times: 20 } }));
    expect(result.sent).toBe(5);
    const dueMs = gateway.requests.flatMap(({ body }, i) =>
      body.map(({ time }) => ({ due: (Date.parse(time) - START) / 20, came: arrivals[i] ?? 0 })),
    );
    expect(dueMs).toHaveLength(5);
    for (const { due, came } of dueMs) expect(came).toBeGreaterThanOrEqual(due - 5);
  });

  test("shifted, the newest line is of now and the others keep their distance", async () => {
    const file = write("a.jsonl", [position("van-1", 0), position("van-1", 3600), position("van-2", 1800)]);
    const before = Date.now();
    await replay(options(file, { times: "shifted", concurrency: 1 }));
    const times = gateway.taken.map(({ time }) => Date.parse(time));
    expect(times[1]).toBeGreaterThanOrEqual(before);
    expect(times[1]).toBeLessThanOrEqual(Date.now());
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBe(3_600_000);
    expect((times[1] ?? 0) - (times[2] ?? 0)).toBe(1_800_000);
  });

  test("shifted at recorded speed, each line is of the moment it is sent", async () => {
    const file = write("a.jsonl", [position("van-1", 0), position("van-1", 1)]);
    const before = Date.now();
    await replay(options(file, { times: "shifted", pace: { kind: "recorded", times: 1 } }));
    const [first = 0] = gateway.taken.map(({ time }) => Date.parse(time));
    expect(first).toBeGreaterThanOrEqual(before);
    expect(first).toBeLessThanOrEqual(Date.now());
  });
});

describe("MQTT messages", () => {
  const message = (n: number, payload = `{"n":${n}, "ü": "\\u00e9"}`) => ({
    receivedAt: `2023-10-29T13:24:${String(10 + n).padStart(2, "0")}.275306Z`,
    topic: `/hfp/v2/${n % 3}`,
    payload,
  });

  test("keep their bytes and their order, with several under way at once", async () => {
    const lines = [...Array.from({ length: 30 }, (_, n) => message(n)), "garbage", message(30, "\u0000€😀")];
    const published: { topic: string; text: string }[] = [];
    let busy = 0;
    let busiest = 0;
    const result = await replay({
      ...options(write("a.jsonl", lines)),
      async publish(topic, payload) {
        published.push({ topic, text: Buffer.from(payload).toString("utf8") });
        busiest = Math.max(busiest, ++busy);
        await new Promise((resolve) => setTimeout(resolve, published.length % 5));
        busy--;
      },
    });
    expect(result).toMatchObject({ lines: 32, unreadable: 1, sent: 31, messages: 31, answers: { ack: 31 } });
    const expected = lines.flatMap((line) =>
      typeof line === "string" ? [] : [{ topic: line.topic, text: line.payload }],
    );
    expect(published).toEqual(expected);
    expect(busiest).toBe(4);
  });

  test("that the broker does not accept are counted", async () => {
    const result = await replay({
      ...options(write("a.jsonl", [message(1), message(2)])),
      publish: async (topic) => {
        if (topic.endsWith("/2")) throw new Error("no");
      },
    });
    expect(result).toMatchObject({ sent: 1, abandoned: 1, answers: { ack: 1, none: 1 } });
  });
});

describe("what cannot be replayed is reported", () => {
  test.each([
    ["positions without a webhook", [position("a", 0)], { webhook: undefined }, /need a webhook/],
    [
      "MQTT messages without a broker",
      [{ receivedAt: "2023-10-29T13:24:10Z", topic: "t", payload: "" }],
      {},
      /need a broker/,
    ],
    [
      "MQTT messages with other times",
      [{ receivedAt: "2023-10-29T13:24:10Z", topic: "t", payload: "" }],
      { times: "shifted" as const, publish: async () => {} },
      /cannot be shifted/,
    ],
  ])("%s", async (_, lines, changes, text) => {
    const { webhook, ...rest } = options(write("a.jsonl", lines));
    const given = "webhook" in changes ? rest : { ...rest, ...(webhook ? { webhook } : {}) };
    const { webhook: __, ...extra } = changes as Partial<ReplayOptions>;
    await expect(replay({ ...given, ...extra })).rejects.toThrow(text);
  });

  test("a file that is not there, and one that is no gzip", async () => {
    await expect(replay(options(join(dir, "none.jsonl")))).rejects.toThrow(/ENOENT/);
    const torn = join(dir, "torn.jsonl.gz");
    writeFileSync(
      torn,
      gzipSync(
        fleet(100)
          .map((line) => JSON.stringify(line))
          .join("\n"),
      ).subarray(0, 500),
    );
    await expect(replay(options(torn))).rejects.toThrow(/unexpected end of file/);
  });
});

const RECORDED = process.env.WAYPOST_DATA ?? join(import.meta.dirname, "../../../shared/data");
const AUSTIN = join(RECORDED, "austin-bus/positions-2017-03-21.jsonl.gz");

const noAustin = existsSync(AUSTIN) ? null : howToGet("data");
describe.skipIf(noAustin !== null)(`a real recording${because(noAustin)}`, () => {
  test("arrives whole", { timeout: scaled(60_000) }, async () => {
    const result = await replay(options(AUSTIN, { linesPerMessage: 100 }));
    expect(result).toMatchObject({ lines: 45_386, unreadable: 0, sent: 45_386, abandoned: 0 });
    expect(gateway.taken).toHaveLength(45_386);
  });
});
