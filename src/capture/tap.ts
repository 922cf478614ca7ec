/** Takes part in captures: looks at each authenticated message of a source for which one is open, and adds it, scrubbed. */

import { randomUUID } from "node:crypto";
import type { Message } from "../adapters/kit/adapter.ts";
import type { IngestResult } from "../ingest/result.ts";
import type { Source } from "../ingest/source.ts";
import type { ScrubbedMessage } from "./message.ts";
import type { CaptureKey } from "./pseudonyms.ts";
import { scrubMessage } from "./scrub.ts";

/** One line of a capture. */
export interface CapturedMessage extends ScrubbedMessage {
  vendor: string;
  /** What became of it. */
  outcome: string;
  /** Why raw readings of it were rejected, one for each of the first that were. */
  rejections: string[];
}

/** A capture that is open. */
interface OpenCapture {
  id: string;
  source: string;
  count: number;
  untilMs: number;
  /** A CaptureKey as JSON. */
  key: string;
}

/** What the tap needs of storage. */
export interface TapStore {
  requests(): Promise<OpenCapture[]>;
  add(capture: OpenCapture, message: string): Promise<boolean>;
}

export interface Tap {
  /** Costs nothing while no capture of the source is open; never throws, and nobody waits for it. */
  note(source: Source, message: Message, result: IngestResult): void;
  stop(): void;
}

/** Soon enough for a person who waits, and one short question to Redis a second. */
const LOOK_EVERY_MS = 1000;
/** So many messages of a flood are scrubbed at most between two looks: each takes some milliseconds of the event loop. */
const MAX_BETWEEN_LOOKS = 20;

export function createTap({ store, failed }: { store: TapStore; failed(error: unknown): void }): Tap {
  let open = new Map<string, OpenCapture>();
  let left = MAX_BETWEEN_LOOKS;
  let isLooking = false;

  async function look(): Promise<void> {
    // Redis is away: the next look comes.
    if (isLooking) return;
    isLooking = true;
    try {
      open = new Map((await store.requests()).map((capture) => [capture.source, capture]));
      left = MAX_BETWEEN_LOOKS;
    } catch {
      // Ingest reports a Redis that does not answer.
      open = new Map();
    } finally {
      isLooking = false;
    }
  }

  const timer = setInterval(() => void look(), LOOK_EVERY_MS);
  timer.unref();

  function note(source: Source, message: Message, result: IngestResult): void {
    if (open.size === 0) return;
    const capture = open.get(source.name);
    if (capture === undefined || left <= 0 || capture.untilMs < Date.now()) return;
    left -= 1;
    void (async () => {
      const key: CaptureKey = JSON.parse(capture.key);
      const captured: CapturedMessage = {
        vendor: source.adapter.vendor,
        ...outcomeOf(result),
        ...scrubMessage(source, message, key),
      };
      if (!(await store.add(capture, JSON.stringify(captured)))) open.delete(source.name);
    })().catch(failed);
  }

  return { note, stop: () => clearInterval(timer) };
}

function outcomeOf(result: IngestResult): Pick<CapturedMessage, "outcome" | "rejections"> {
  if (result.kind !== "stored") return { outcome: result.kind, rejections: [] };
  // A path may hold an id, so the reasons alone.
  return { outcome: "decoded", rejections: result.rejections.map(({ reason }) => reason) };
}

/** A shift of two decimals, far enough that no place is near the original, near enough that the world stays upright. */
const LEAST_SHIFT = 1;
const MOST_LATITUDE = 15;
const MOST_LONGITUDE = 60;

export function newCaptureKey(random: () => number): CaptureKey {
  const shift = (most: number) => {
    const size = Math.round((LEAST_SHIFT + random() * (most - LEAST_SHIFT)) * 100) / 100;
    return random() < 0.5 ? -size : size;
  };
  return {
    key: `${randomUUID()}${randomUUID()}`,
    latitudeShift: shift(MOST_LATITUDE),
    longitudeShift: shift(MOST_LONGITUDE),
  };
}
