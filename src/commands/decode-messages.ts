/** Decodes one message, or a sequence of them, with an adapter and reports the result, for the `decode` command. */

import { readFile } from "node:fs/promises";
import { z } from "zod";
import { adapters, findAdapter } from "../adapters/index.ts";
import { type Adapter, asAuthenticated, type Message } from "../adapters/kit/adapter.ts";
import { isoTime } from "../adapters/kit/fields.ts";
import { createAssembler } from "../ingest/assembler.ts";
import { type Decoded, type Examined, examine } from "../ingest/examine.ts";
import { SPEED_UNITS, type SpeedUnit } from "../reading.ts";
import { readCaptured } from "./decode-captured.ts";
import { type Given, isRead, suggestion, whichRead } from "./decode-which.ts";
import { printError } from "./print.ts";

/** The arguments of the command; texts as typed. */
export interface DecodeRequest extends Given {
  /** Null: none was named, so the adapters that read the message are. */
  vendor: string | null;
  /** A file of `waypost capture`; then there is no body. */
  capturedFile?: string | undefined;
  /** As a checked configuration has them, in place of `options` and `speedUnit`. */
  configured?: { options: unknown; speedUnit: SpeedUnit | undefined };
  /** Prints what is no part of the answer: problems, ignored events, field defects, details. Default: standard error. */
  note?: (line: string) => void;
}

const headersFileSchema = z.union([
  // A file that describes a whole request is accepted as it is.
  z.object({ headers: z.record(z.string(), z.string()) }).transform(({ headers }) => headers),
  z.record(z.string(), z.string()),
]);

const sequenceSchema = z
  .array(
    z.object({
      topic: z.string(),
      payload: z.unknown(),
      receivedAt: z.string(),
      retain: z.boolean().default(false),
    }),
  )
  .min(1);

const quarantinedSchema = z.object({
  receivedAt: z.iso.datetime(),
  method: z.string().nullable(),
  topic: z.string().nullable(),
  retained: z.boolean(),
  login: z.string().nullable().optional(),
  headers: z.record(z.string(), z.string()),
  query: z.record(z.string(), z.string()),
  body: z.string().nullable(),
  bodyBase64: z.string().nullable(),
});

export async function decodeMessages(request: DecodeRequest, stdin: Uint8Array): Promise<Decoded> {
  const note = request.note ?? printError;
  const speedUnit = speedUnitOf(request);
  const { messages, vendor } = await messagesOf(request, stdin, note);
  const adapter = vendor === null ? undefined : findAdapter(vendor);
  const others = () => whichRead(messages, { speedUnit, options: request.options });
  if (!adapter) {
    const candidates = others();
    for (const line of suggestion(candidates, request)) note(line);
    throw new Error(unnamed(vendor, candidates.length > 0));
  }
  const settings = settingsOf(adapter, request, speedUnit);
  const assembler = createAssembler();
  const examined = messages.map((message) => examine(adapter, asAuthenticated(message), settings, assembler));
  const isUnitMissing = adapter.speedUnit === "required" && settings.speedUnit === undefined;
  if (isUnitMissing && examined.some(({ defects }) => defects.includes("speed_unreadable"))) {
    note(
      `${adapter.vendor} does not document its unit of speed: what is not 0 is left out. Give it with --speed-unit (${SPEED_UNITS.join(", ")}).`,
    );
  }
  for (const { login } of messages) {
    if (login !== undefined) note(`sent by the login ${login}, which may speak for its own devices only`);
  }
  for (const [index, { what, problems, defects, readings }] of examined.entries()) {
    const where = messages.length === 1 ? "" : `message ${index + 1}: `;
    if (what !== null) note(`${where}ignored: ${what}`);
    for (const line of [...problems, ...defects]) note(`${where}${line}`);
    for (const { deviceId, fixTime, details } of readings) {
      if (details) note(`${where}details of ${deviceId} at ${fixTime}: ${JSON.stringify(details)}`);
    }
  }
  const asked = examined.every(({ kind }) => kind === "malformed") ? askedSibling(adapter, messages) : null;
  if (asked) {
    note(`This is no message that ${adapter.vendor} sends, but an answer of ${asked.vendor}.`);
    const { configured: _, options: __, ...rest } = request;
    return await decodeMessages({ ...rest, vendor: asked.vendor }, stdin);
  }
  if (!examined.some(isRead)) {
    const better = others().filter(({ vendor }) => vendor !== adapter.vendor);
    const answer = joined(examined);
    // A message that is rightly ignored needs no other vendor, unless one reads a position out of it.
    const isWanted =
      answer.kind === "malformed" ||
      answer.kind === "decoded" ||
      better.some(({ readings, isOwn }) => readings > 0 && isOwn);
    if (answer.kind !== "handshake" && isWanted) for (const line of suggestion(better, request)) note(line);
  }
  return joined(examined);
}

/** Vendors that send and can also be asked have two adapters, the second named after the first. */
function askedSibling({ vendor }: Adapter, messages: readonly Message[]): Adapter | null {
  const siblings = adapters.filter((other) => other.pull && other.vendor.startsWith(`${vendor}-`));
  const reads = (sibling: Adapter) => {
    const settings = { speedUnit: undefined, options: sibling.options?.safeParse(undefined).data };
    const seen = messages.map((message) =>
      examine(sibling, asAuthenticated(message), settings, createAssembler()),
    );
    return seen.every(({ kind }) => kind === "decoded");
  };
  return siblings.find(reads) ?? null;
}

async function messagesOf(request: DecodeRequest, stdin: Uint8Array, note: (line: string) => void) {
  const { vendor, sequenceFile, capturedFile, quarantined } = request;
  if (capturedFile !== undefined) {
    const captured = await readCaptured(capturedFile, note);
    return { messages: captured.messages.map(quarantinedMessage), vendor: vendor ?? captured.vendor };
  }
  if (sequenceFile) return { messages: await sequenceOf(sequenceFile), vendor };
  const given = Buffer.from(stdin).toString();
  return { messages: [quarantined ? quarantinedMessage(given) : await messageOf(request, stdin)], vendor };
}

function unnamed(vendor: string | null, isAnswered: boolean): string {
  const known = ` There are: ${adapters.map((each) => each.vendor).join(", ")}.`;
  if (vendor !== null) return `No adapter for ${vendor}.${known}`;
  return `No vendor was named.${isAnswered ? "" : known}`;
}

/** One answer for a sequence: decoded outweighs malformed, and malformed outweighs ignored. */
function joined(examined: readonly Examined[]): Decoded {
  const kinds = ["decoded", "malformed", "handshake", "ignored"] as const;
  const kind = kinds.find((candidate) => examined.some((one) => one.kind === candidate)) ?? "ignored";
  const alone = examined.length === 1;
  return {
    kind,
    readings: examined.flatMap(({ readings }) => readings.map(({ details: _, ...reading }) => reading)),
    rejections: examined.flatMap(({ rejections }, index) =>
      rejections.map(({ reason, path }) => ({
        reason,
        path: alone ? path : `[${index}]${/^[^[]/.test(path) ? "." : ""}${path}`,
      })),
    ),
  };
}

function speedUnitOf(request: DecodeRequest): SpeedUnit | undefined {
  const speedUnit = SPEED_UNITS.find((unit) => unit === request.speedUnit);
  if (request.speedUnit !== undefined && speedUnit === undefined) {
    throw new Error(`Unknown speed unit ${request.speedUnit}. There are: ${SPEED_UNITS.join(", ")}.`);
  }
  return speedUnit;
}

function settingsOf(adapter: Adapter, request: DecodeRequest, speedUnit: SpeedUnit | undefined) {
  const { configured } = request;
  if (configured) return { options: configured.options, speedUnit: speedUnit ?? configured.speedUnit };
  if (request.options !== undefined && !adapter.options)
    throw new Error(`${adapter.vendor} takes no options.`);
  const parsed = (adapter.options ?? z.undefined()).safeParse(request.options);
  if (!parsed.success)
    throw new Error(`The options are not right: ${oneLine(z.prettifyError(parsed.error))}`);
  const settings = { speedUnit, options: parsed.data };
  const problems = adapter.settingProblems?.(settings) ?? [];
  if (problems.length > 0) throw new Error(problems.join("; "));
  return settings;
}

function oneLine(text: string): string {
  return text
    .split("\n")
    .map((line) => line.trim())
    .join(" ");
}

async function messageOf(request: DecodeRequest, body: Uint8Array): Promise<Message> {
  const receivedAt = request.receivedAt === undefined ? Date.now() : instant(request.receivedAt);
  const retained = request.retained ?? false;
  if (request.topic !== undefined) {
    return { body, receivedAt, retained, topic: request.topic, headers: {}, query: {} };
  }
  const given = request.headersFile ? headersFileSchema.parse(await jsonFile(request.headersFile)) : {};
  const headers = Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name.toLowerCase(), value]),
  );
  if (request.contentType !== undefined) headers["content-type"] = request.contentType;
  const query = Object.fromEntries(new URLSearchParams(request.query ?? ""));
  // Vendors that put the position into the URL send no body.
  const method = body.length === 0 && request.query !== undefined ? "GET" : "POST";
  return { body, receivedAt, retained, method, headers, query };
}

function quarantinedMessage(given: string): Message {
  let message: z.output<typeof quarantinedSchema>;
  try {
    message = quarantinedSchema.parse(JSON.parse(given));
  } catch (cause) {
    throw new Error(`Not a message of the quarantine, but ${JSON.stringify(given.slice(0, 60))}.`, { cause });
  }
  const { receivedAt, method, topic, body, bodyBase64, login, ...envelope } = message;
  return {
    ...envelope,
    ...(typeof login === "string" && { login }),
    receivedAt: Date.parse(receivedAt),
    body: body === null ? Buffer.from(bodyBase64 ?? "", "base64") : Buffer.from(body),
    ...(method !== null && { method }),
    ...(topic !== null && { topic }),
  };
}

async function sequenceOf(file: string): Promise<Message[]> {
  const sequence = sequenceSchema.parse(await jsonFile(file));
  return sequence.map(({ topic, payload, receivedAt, retain }) => ({
    body: Buffer.from(typeof payload === "string" ? payload : JSON.stringify(payload)),
    receivedAt: instant(receivedAt),
    retained: retain,
    topic,
    headers: {},
    query: {},
  }));
}

async function jsonFile(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    throw new Error(`Cannot read ${file} as JSON.`, { cause: error });
  }
}

function instant(text: string): number {
  const time = isoTime.parse(text);
  if (time === null || Number.isNaN(time)) throw new Error(`Not a time with a zone: ${text}`);
  return time;
}
