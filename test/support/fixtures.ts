/** Loads the fixtures of a vendor: a message as the vendor would send it, and what must come out of it. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import type { Adapter, Credentials, Message } from "../../src/adapters/kit/adapter.ts";
import { type Assembler, createAssembler } from "../../src/ingest/assembler.ts";
import type { SpeedUnit } from "../../src/reading.ts";
import { examine } from "./decode.ts";

/** One authentication of the fixture's sender, with the values computed by another program. */
export interface FixtureAuth {
  method: string;
  credentials: Credentials;
  headers?: Record<string, string>;
  query?: Record<string, string>;
  remoteAddress?: string;
  /** With the proof in it, where that is a part of the body. */
  body?: string;
}

/** `<case>.request.json`: everything about the message beside its body; all of it may be left out. */
interface FixtureRequest {
  method?: string;
  headers?: Record<string, string>;
  query?: Record<string, string>;
  /** Makes it an MQTT message. */
  topic?: string;
  retained?: boolean;
  receivedAt?: string;
  /** The source's settings. */
  speedUnit?: SpeedUnit;
  options?: unknown;
  /** What the source is configured with, where a handshake's reply depends on it. */
  credentials?: Credentials;
  auth?: FixtureAuth[];
  /** MQTT messages of the same device that came before, where one position is spread over several. */
  before?: { topic: string; body: unknown; receivedAt: string; retained?: boolean }[];
  /** Keys that a vendor may leave out, with a meaning or in another message, so that leaving them out is no damage. */
  leavingOutMeansDefault?: string[];
  /** Keys for which null is documented as a way of leaving them out. */
  nullMeansDefault?: string[];
}

export interface Fixture {
  /** `vendor/case`. */
  name: string;
  body: string;
  message: Message;
  before: Message[];
  settings: { speedUnit: SpeedUnit | undefined; options: unknown; credentials: Credentials };
  auth: FixtureAuth[];
  leavingOutMeansDefault: string[];
  nullMeansDefault: string[];
  /** Content of `<case>.golden.json`. */
  golden: unknown;
}

/** From the repository's root, where npm runs every script: the benchmarks are compiled to somewhere else. */
const ROOT = pathToFileURL(`${process.cwd()}/test/fixtures/`);
const RECEIVED_AT = "2026-10-26T18:00:00.000Z";

export function fixtureFolders(): string[] {
  return readdirSync(ROOT, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}

export function fixturesOf(adapter: Adapter): Fixture[] {
  const folder = new URL(`${adapter.vendor}/`, ROOT);
  return readdirSync(folder)
    .filter((file) => /^[^.]+\.(json|txt)$/.test(file))
    .map((file) => load(adapter, folder, file));
}

function load(adapter: Adapter, folder: URL, file: string): Fixture {
  const [name = ""] = file.split(".");
  const body = readFileSync(new URL(file, folder), "utf8");
  const request: FixtureRequest = optionalJson(new URL(`${name}.request.json`, folder)) ?? {};
  const headers =
    request.topic === undefined ? { "content-type": "application/json", ...request.headers } : {};
  return {
    name: `${adapter.vendor}/${name}`,
    body,
    message: withBody(
      {
        body: Buffer.from(body),
        receivedAt: Date.parse(request.receivedAt ?? RECEIVED_AT),
        headers: lowerCased(headers),
        query: request.query ?? {},
        retained: request.retained ?? false,
        ...(request.topic === undefined ? { method: request.method ?? "POST" } : { topic: request.topic }),
      },
      body,
    ),
    before: (request.before ?? []).map(({ body, topic, receivedAt, retained = false }) => ({
      body: Buffer.from(typeof body === "string" ? body : JSON.stringify(body)),
      topic,
      receivedAt: Date.parse(receivedAt),
      retained,
      headers: {},
      query: {},
    })),
    settings: {
      speedUnit: request.speedUnit,
      options: adapter.options?.parse(request.options),
      credentials: request.credentials ?? { secrets: [] },
    },
    auth: request.auth ?? [],
    leavingOutMeansDefault: request.leavingOutMeansDefault ?? [],
    nullMeansDefault: request.nullMeansDefault ?? [],
    golden: optionalJson(new URL(`${name}.golden.json`, folder)),
  };
}

/** The message with another body; a GET has none, there the file holds its query unless the request does. */
export function withBody(message: Message, body: string): Message {
  if (message.method !== "GET" || body.trim() === "") return { ...message, body: Buffer.from(body) };
  return { ...message, body: new Uint8Array(0), query: Object.fromEntries(new URLSearchParams(body.trim())) };
}

/** `a=1&b=2`, as forms and queries are. */
export function isForm(body: string): boolean {
  return /^[\w.%-]+=/.test(body);
}

/** The assembler as the messages before left it. */
export function assemblerBefore(adapter: Adapter, { before, settings }: Fixture): Assembler {
  const assembler = createAssembler();
  for (const message of before) examine(adapter, message, settings, assembler);
  return assembler;
}

export function lowerCased(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

function optionalJson(file: URL) {
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
}
