/** Recorded conversations with vendors that are asked, and the readings they must give: how they are read and compared. */

import { readdirSync, readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { expect } from "vitest";
import type { Reading } from "../../src/reading.ts";
import type { VendorAnswer, VendorRequest } from "./polled-vendor.ts";

export interface Exchange {
  request: {
    method: string;
    url: string;
    headers: Record<string, string>;
    /** An object is sent as JSON, a text as it is. */
    body?: unknown;
  };
  response: { status: number; headers: Record<string, string>; body: string | object };
  kind: string;
}

export interface ExpectedReading {
  unitId: string;
  latitude: number;
  longitude: number;
  speedKph: number | null;
  headingDeg: number | null;
  timeUtc: string;
}

export interface Conversation {
  vendor: string;
  /** `vendor/case`. */
  name: string;
  exchanges: Exchange[];
  expected: ExpectedReading[];
}

export function conversationsIn(samples: URL, vendor: string): Conversation[] {
  const folder = new URL(`${vendor}/`, samples);
  return readdirSync(folder)
    .filter((file) => /^[^.]+\.json$/.test(file))
    .map((file) => {
      const json = (name: string) => JSON.parse(readFileSync(new URL(name, folder), "utf8"));
      return {
        vendor,
        name: `${vendor}/${file.replace(".json", "")}`,
        exchanges: json(file).exchanges,
        expected: json(file.replace(".json", ".expected.json")),
      };
    });
}

/** Headers that say how, and not what or by whom. */
const FREE_HEADERS = new Set(["accept", "content-type"]);

/** What of a request is not as recorded; null where all is. `free`: parameters of query or form that need not be the same. */
function differenceBetween(
  asked: VendorRequest,
  { request }: Exchange,
  free: readonly string[] = [],
): string | null {
  const wanted = new URL(request.url);
  const given = new URL(asked.path, wanted);
  if (asked.method !== request.method || given.pathname !== wanted.pathname)
    return `${asked.method} ${asked.path}`;
  if (!isDeepStrictEqual(pairsOf(given.searchParams, free), pairsOf(wanted.searchParams, free)))
    return `another query: ${asked.path}`;
  for (const [name, value] of Object.entries(request.headers)) {
    const isFree = FREE_HEADERS.has(name.toLowerCase());
    if (!isFree && asked.headers[name.toLowerCase()] !== value) return `another ${name}`;
  }
  if (request.body === undefined) return asked.body === "" ? null : `a body: ${asked.body}`;
  return isSameBody(asked.body, request.body, free) ? null : `another body: ${asked.body}`;
}

function isSameBody(asked: string, recorded: unknown, free: readonly string[]): boolean {
  if (typeof recorded !== "string") return isDeepStrictEqual(JSON.parse(asked), recorded);
  return isDeepStrictEqual(
    pairsOf(new URLSearchParams(asked), free),
    pairsOf(new URLSearchParams(recorded), free),
  );
}

function pairsOf(parameters: URLSearchParams, free: readonly string[]): string[] {
  return [...parameters].flatMap(([name, value]) => (free.includes(name) ? [] : `${name}=${value}`)).sort();
}

/** Answers as recorded, in order; afterwards as things stand: by the last exchange of the same method and path. */
export function recordedAnswers(exchanges: readonly Exchange[], free: readonly string[] = []) {
  const surprises: string[] = [];
  let next = 0;
  function answer(asked: VendorRequest): VendorAnswer {
    const at = next++;
    const exchange = exchanges[at] ?? lastLike(asked);
    const surprise =
      exchange === undefined ? `${asked.method} ${asked.path}` : differenceBetween(asked, exchange, free);
    if (surprise !== null && (at < exchanges.length || exchange === undefined))
      surprises.push(`${at + 1}: ${surprise}`);
    if (exchange === undefined) return { status: 503, body: "" };
    // Waits of minutes are tested elsewhere.
    const { "Retry-After": wait, ...headers } = exchange.response.headers;
    const soon = wait === undefined ? {} : { "Retry-After": Number(wait) > 1 ? "0.1" : wait };
    return { ...exchange.response, headers: { ...headers, ...soon } };
  }
  function lastLike({ method, path }: VendorRequest): Exchange | undefined {
    return exchanges.findLast(({ request, response }) => {
      const { pathname } = new URL(request.url);
      return request.method === method && path.split("?")[0] === pathname && response.status === 200;
    });
  }
  return { answer, surprises, asked: () => next };
}

export function expectReadings(readings: readonly Reading[], expected: readonly ExpectedReading[]): void {
  expect(readings.map(({ deviceId, fixTime, headingDeg }) => [deviceId, fixTime, headingDeg])).toEqual(
    expected.map(({ unitId, timeUtc, headingDeg }) => [unitId, Date.parse(timeUtc), headingDeg]),
  );
  for (const [index, { latitude, longitude, speedMps }] of readings.entries()) {
    const should = expected[index];
    expect(Math.abs(latitude - (should?.latitude ?? Number.NaN))).toBeLessThanOrEqual(1e-7);
    expect(Math.abs(longitude - (should?.longitude ?? Number.NaN))).toBeLessThanOrEqual(1e-7);
    const speedKph = should?.speedKph ?? null;
    if (speedMps === null || speedKph === null) expect(speedMps).toBe(speedKph);
    else expect(Math.abs(speedMps * 3.6 - speedKph)).toBeLessThanOrEqual(0.01);
  }
}
