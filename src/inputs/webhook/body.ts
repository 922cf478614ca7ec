/** Reads the body of a request within bounds: of its size as sent and inflated, and of what all unfinished ones hold. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate, inflateRaw } from "node:zlib";
import type { BodyBudget, BudgetOwner } from "./body-budget.ts";
import { createBodyPace } from "./body-pace.ts";

export type BodyResult =
  | { kind: "whole"; bytes: Uint8Array }
  | { kind: "too_large" }
  /** An encoding that we do not read, or bytes that are not what the header says. */
  | { kind: "unsupported_encoding" }
  /** The memory for unfinished bodies is used up, or the share of its address. */
  | { kind: "no_room" }
  /** The sender went away and does not wait for an answer. */
  | { kind: "aborted" };

const NOTHING = new Uint8Array(0);
/** Twice libuv's four threads: a thread never waits for us, and a brotli window of 16 MB exists eight times at most. */
const MAX_INFLATING = 8;
/** Authenticated senders send small bodies, of which hundreds are inflated in a second. */
const MAX_AUTHENTICATED_WAITING = 1000;
/** 300 bodies of 14 bytes that became 2 MB took two cores 3.5 s. Senders that sign the body wait among these. */
const MAX_UNAUTHENTICATED_WAITING = 200;

/** `owner`: whose share of the budget the body is counted against. */
export type BodyReader = (
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  owner: BudgetOwner,
  /** By whose pace it is read. */
  source: string,
) => Promise<BodyResult>;

export function createBodyReader({
  limitBytes,
  budget,
}: {
  limitBytes: number;
  budget: BodyBudget;
}): BodyReader {
  const authenticated: (() => void)[] = [];
  const unauthenticated: (() => void)[] = [];
  let inflating = 0;

  const pace = createBodyPace();

  return async (incoming, outgoing, owner, source) => {
    const { "content-length": length, "content-encoding": encoding } = incoming.headers;
    if (length !== undefined && Number(length) > limitBytes) return { kind: "too_large" };
    const decode = decoderOf(encoding);
    if (decode === null) return { kind: "unsupported_encoding" };
    // Until now the sender was kept waiting with its body; see the `checkContinue` listener of the server.
    if (incoming.headers.expect !== undefined) outgoing.writeContinue();
    const body = await receive(incoming, owner, source);
    if (body.kind !== "whole" || body.bytes.length === 0 || decode === AS_SENT) return body;
    return await inflated(body.bytes, decode, owner);
  };

  function receive(incoming: IncomingMessage, owner: BudgetOwner, source: string): Promise<BodyResult> {
    return new Promise((resolve) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      let settled = false;
      const settle = (result: BodyResult): void => {
        if (settled) return;
        settled = true;
        budget.release(bytes, owner);
        resolve(result);
      };
      incoming.on("data", (chunk: Buffer) => {
        // What still comes after a refusal is read and thrown away, so that the sender gets to read the answer.
        if (settled) return;
        if (bytes + chunk.length > limitBytes) settle({ kind: "too_large" });
        else if (!budget.reserve(chunk.length, owner)) settle({ kind: "no_room" });
        else {
          bytes += chunk.length;
          chunks.push(chunk);
          pace.took(source, chunk.length, (goOn) => {
            incoming.pause();
            goOn(() => incoming.resume());
          });
        }
      });
      incoming.on("end", () => {
        const [first] = chunks;
        settle({ kind: "whole", bytes: chunks.length > 1 ? Buffer.concat(chunks) : (first ?? NOTHING) });
      });
      incoming.on("error", () => settle({ kind: "aborted" }));
      incoming.on("close", () => settle({ kind: "aborted" }));
    });
  }

  /** A few bytes of any sender can become `limitBytes`: only so many at a time, each with budget for all of it. */
  async function inflated(bytes: Uint8Array, decode: Decoder, owner: BudgetOwner): Promise<BodyResult> {
    const [waiting, most] =
      owner === null
        ? [authenticated, MAX_AUTHENTICATED_WAITING]
        : [unauthenticated, MAX_UNAUTHENTICATED_WAITING];
    if (waiting.length >= most || !budget.reserve(bytes.length, owner)) return { kind: "no_room" };
    if (inflating < MAX_INFLATING) inflating += 1;
    else await new Promise<void>((resume) => waiting.push(resume));
    try {
      // Out of no address's share: it ends by itself in milliseconds, whatever its sender does.
      if (!budget.reserve(limitBytes, null)) return { kind: "no_room" };
      try {
        return { kind: "whole", bytes: await decode(bytes, { maxOutputLength: limitBytes }) };
      } catch (error) {
        const overLimit = error instanceof Error && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE";
        return { kind: overLimit ? "too_large" : "unsupported_encoding" };
      } finally {
        budget.release(limitBytes, null);
      }
    } finally {
      budget.release(bytes.length, owner);
      const next = authenticated.shift() ?? unauthenticated.shift();
      if (next) next();
      else inflating -= 1;
    }
  }
}

/** Two seconds are 2 MB over a mobile link of 8 Mbit/s; a slower sender does not get to read the answer. */
const REST_WITHIN_MS = 2000;

/**
 * Reads on, into nothing, what a refused sender still sends, where the connection ends with the answer. Closed with
 * bytes unread it would be reset and the answer lost (RFC 9112 §9.6); the sender would send the same again and again.
 */
export async function readRest(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  // On a connection that stays, the server reads on by itself. A sender that expects a 100 sends nothing without it.
  if (outgoing.shouldKeepAlive || incoming.complete || incoming.headers.expect !== undefined) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, REST_WITHIN_MS);
    const end = () => {
      clearTimeout(timer);
      resolve();
    };
    incoming.once("end", end).once("close", end).resume();
  });
}

type Decoder = (bytes: Uint8Array, options: { maxOutputLength: number }) => Promise<Uint8Array>;

const AS_SENT: Decoder = async (bytes) => bytes;
const unzip: Decoder = promisify(gunzip);
const unbrotli: Decoder = promisify(brotliDecompress);
const inflateZlib: Decoder = promisify(inflate);
const inflateBare: Decoder = promisify(inflateRaw);
/** `deflate` means zlib (RFC 9110 §8.4.1.2), but some senders leave its head out; the low bits 8 tell which it is. */
const undeflate: Decoder = (bytes, options) =>
  ((bytes[0] ?? 0) & 0x0f) === 8 ? inflateZlib(bytes, options) : inflateBare(bytes, options);

/** Null for anything else, encodings stacked on each other included: no vendor sends them, only bombs do. */
function decoderOf(encoding: string | undefined): Decoder | null {
  switch (encoding?.trim().toLowerCase()) {
    case undefined:
    case "":
    case "identity":
      return AS_SENT;
    case "gzip":
    case "x-gzip":
      return unzip;
    case "deflate":
      return undeflate;
    case "br":
      return unbrotli;
    default:
      return null;
  }
}
