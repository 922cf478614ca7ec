/** Redrives what was set aside: dead letters wait again, quarantined messages go through ingest again. */

import type { Message } from "../adapters/kit/adapter.ts";
import type { Examined } from "../ingest/examine.ts";
import type { IngestResult } from "../ingest/result.ts";
import type { Source } from "../ingest/source.ts";
import type { DeadLetter } from "../queue/ledger/dead-letters.ts";
import type { Newest, NewestQuery, Placed, StreamPlace } from "../queue/ledger/newest.ts";
import type { QuarantinedMessage } from "../queue/ledger/quarantine.ts";
import type { Redrive, RedriveFilter } from "../queue/ledger/redrive.ts";
import { iso } from "../time.ts";
import { messageOf } from "../untrusted.ts";

/** `dry_run` changes nothing and reports what would happen. */
export type RedriveMode = "dry_run" | "do";

export interface DeadLettersRedriven {
  matched: number;
  /** Waiting again, to be sent like any other ping; in a dry run, those that would be. */
  waiting: number;
  /** Older than the destination allows: never sent. */
  expired: number;
  /** Older than a ping of the unit accepted since; never sent under `backfill: drop`. */
  superseded: number;
  examples: { unit: string; destination: string; fixTime: string; reason: string; message: string }[];
}

export interface QuarantineRedriven {
  matched: number;
  /** Can be decoded now. In a dry run nothing more happens; otherwise they are stored like any other message. */
  readable: number;
  readings: number;
  /** Still cannot be decoded, or could not be stored now: they stay. */
  staying: number;
  /** The difference between the old and the new decoding. */
  examples: {
    id: string;
    source: string;
    before: string;
    after: string;
    readings: { deviceId: string; fixTime: string; latitude: number; longitude: number }[];
  }[];
}

/** One page of a list, the newest first. */
export interface SetAsidePage<T> {
  items: T[];
  /** After which place there is more; null where there is not. */
  more: StreamPlace | null;
}

export interface Redriver {
  deadLetters(filter: RedriveFilter, mode: RedriveMode): Promise<DeadLettersRedriven>;
  quarantine(filter: RedriveFilter, mode: RedriveMode): Promise<QuarantineRedriven>;
  listDeadLetters(query: NewestQuery): Promise<SetAsidePage<DeadLetter>>;
  /** Not by unit and destination: what could not be decoded names neither. */
  listQuarantine(query: NewestQuery): Promise<SetAsidePage<QuarantinedMessage>>;
  /** Everything that matches, the oldest first, one plain object each. */
  exportDeadLetters(filter: RedriveFilter): AsyncIterable<object>;
  exportQuarantine(filter: RedriveFilter): AsyncIterable<object>;
}

/** As many as fit a page; the counts cover all. */
const MAX_EXAMPLES = 50;

export interface RedriverDeps {
  redrive: Redrive;
  newest: Newest;
  /** For messages that were authenticated before they went to the quarantine. */
  ingest(source: Source, message: Message): Promise<IngestResult>;
  examine(source: Source, message: Message): Examined;
  sources: ReadonlyMap<string, Source>;
}

export function createRedriver({ redrive, newest, ingest, examine, sources }: RedriverDeps): Redriver {
  async function deadLetters(filter: RedriveFilter, mode: RedriveMode): Promise<DeadLettersRedriven> {
    const result: DeadLettersRedriven = {
      matched: 0,
      waiting: 0,
      expired: 0,
      superseded: 0,
      examples: [],
    };
    for await (const { scope, letter } of redrive.deadLetters(filter)) {
      result.matched++;
      const fate = await redrive.revive(scope, letter, mode);
      if (fate !== "gone") result[fate]++;
      if (result.examples.length < MAX_EXAMPLES) {
        const { unit, destination, reason, message } = letter;
        const fixTime = iso(letter.fixTime);
        result.examples.push({ unit, destination, fixTime, reason, message });
      }
    }
    return result;
  }

  async function quarantine(filter: RedriveFilter, mode: RedriveMode): Promise<QuarantineRedriven> {
    const result: QuarantineRedriven = { matched: 0, readable: 0, readings: 0, staying: 0, examples: [] };
    for await (const { scope, entry, source, outcome } of quarantined(filter)) {
      result.matched++;
      const readable = "readable" in outcome;
      if (result.examples.length < MAX_EXAMPLES) {
        const { id, source: name, problems } = entry;
        const { after, readings } = outcome;
        result.examples.push({ id, source: name, before: problems[0] ?? entry.reason, after, readings });
      }
      if (readable && source && mode === "do") {
        const ingested = await ingest(source, entry.message);
        if (leavesQuarantine(ingested)) await redrive.release(scope, entry.id);
        if (!isThrough(ingested)) {
          result.staying++;
          continue;
        }
      }
      if (readable) {
        result.readable++;
        result.readings += outcome.readings.length;
      } else result.staying++;
    }
    return result;
  }

  /** Each with today's decoding; a filter by unit or destination asks where that decoding leads. */
  async function* quarantined({ unit, destination, ...filter }: RedriveFilter) {
    for await (const { scope, entry } of redrive.quarantined(filter)) {
      const source = sources.get(entry.source);
      const outcome = source ? redecode(() => examine(source, entry.message)) : NOT_CONFIGURED;
      const leadsThere = outcome.readings.some(({ deviceId }) =>
        redrive
          .routesOf(entry.source, deviceId)
          .some(
            (route) =>
              (unit === undefined || route.unit === unit) &&
              (destination === undefined || route.destination === destination),
          ),
      );
      if ((unit === undefined && destination === undefined) || leadsThere) {
        yield { scope, entry, source, outcome };
      }
    }
  }

  async function* exportDeadLetters(filter: RedriveFilter): AsyncGenerator<object> {
    for await (const { letter } of redrive.deadLetters(filter)) {
      const [at, fixTime] = [iso(letter.at), iso(letter.fixTime)];
      yield { ...letter, at, fixTime };
    }
  }

  async function* exportQuarantine(filter: RedriveFilter): AsyncGenerator<object> {
    for await (const { entry } of quarantined(filter)) {
      const { message, receivedAt, ...rest } = entry;
      const { body, receivedAt: _, ...envelope } = message;
      const bodyBase64 = Buffer.from(body).toString("base64");
      yield { ...rest, receivedAt: iso(receivedAt), message: { ...envelope, bodyBase64 } };
    }
  }

  return {
    deadLetters,
    quarantine,
    listDeadLetters: (query) => pageOf(newest.deadLetters, query),
    listQuarantine: (query) => pageOf(newest.quarantined, query),
    exportDeadLetters,
    exportQuarantine,
  };
}

/** One more than is shown tells whether there is another page. */
async function pageOf<T extends { id: string }>(
  find: (query: NewestQuery) => Promise<Placed<T>[]>,
  query: NewestQuery,
): Promise<SetAsidePage<T>> {
  const found = await find({ ...query, limit: query.limit + 1 });
  const items = found.slice(0, query.limit);
  const last = items.at(-1);
  const hasMore = last !== undefined && found.length > items.length;
  return { items, more: hasMore ? { id: last.id, scope: last.scope } : null };
}

const NOT_CONFIGURED = { after: "its source is not configured", readings: [] };

function isThrough({ kind }: IngestResult): boolean {
  return kind === "stored" || kind === "ignored" || kind === "handshake";
}

/** Only then does a message leave the quarantine; after a crash in between it is a duplicate the next time. */
function leavesQuarantine(result: IngestResult): boolean {
  // Set aside again, by a fault that decoding alone does not show: the new entry replaces the old one.
  const isBack = result.kind === "malformed" || (result.kind === "failed" && result.quarantined);
  return isThrough(result) || isBack;
}

/** Today's decoding of a message, validated by ranges only. */
function redecode(examine: () => Examined) {
  try {
    const { kind, what, problems, readings, rejections } = examine();
    if (kind === "malformed") return { after: problems[0] ?? "malformed", readings: [] };
    const found = readings.map(({ deviceId, fixTime, latitude, longitude }) => ({
      deviceId,
      fixTime,
      latitude,
      longitude,
    }));
    const after =
      kind === "decoded" ? `${readings.length} readings, ${rejections.length} rejections` : (what ?? kind);
    return { after, readings: found, readable: true as const };
  } catch (error) {
    return { after: `still fails: ${messageOf(error)}`, readings: [] };
  }
}
