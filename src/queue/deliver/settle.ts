/** Carries out a settlement in one atomic step, unless another process has taken the batch over meanwhile. */

import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import type { QueueDestination } from "../redis/destination.ts";
import { loadScript, namedArgs, runScript } from "../redis/script.ts";
import { type DeadLetterReason, type Settlement, UNCONFIRMED } from "./settlement.ts";

const SETTLE = loadScript("settle");

const HOUR_MS = 3_600_000;

export interface SettleRequest {
  batchId: string;
  lane: number;
  token: string;
  settlement: Settlement;
  /** For the ops page: the outcome in one word; null when nothing was sent. */
  label: string | null;
  /** Compressed ledger entry; null when nothing was posted and no ping came to an end. */
  ledger: Buffer | null;
  /** It tells of all pings of the batch, also of those that came to no end. */
  isTold: boolean;
  ledgerMaxAgeMs: number;
}

export type SettleResult =
  /** Another process owns the batch now: nothing was changed. */
  | { kind: "fenced" }
  | {
      kind: "settled";
      /** Dead-lettered on grounds that only Redis knows: what else the destination accepted and refused. */
      deadLettered: { pings: number; reason: DeadLetterReason; message: string };
      /** Why Redis has shut the destination's gate; null where it has not. */
      shutAs: "refused_everything" | "unreadable_answers" | null;
    };

/** Throws when Redis does not answer; the batch then stays as it is, and the process that finds it sends it again. */
export async function settle(
  redis: Redis,
  destination: QueueDestination,
  { batchId, lane, token, settlement, label, ledger, isTold, ledgerMaxAgeMs }: SettleRequest,
): Promise<SettleResult> {
  const args = {
    destination: destination.name,
    lane,
    batchId,
    token,
    dispositions: settlement.dispositions.join(""),
    deadLetters: settlement.deadLetters.map((letter) => ({ ...letter, at: letter.at + 1 })),
    accepted: settlement.accepted,
    said: settlement.said,
    scopeGate: settlement.scopeGate,
    gate: settlement.gate,
    random: Math.random(),
    ratePerSecond: destination.ratePerSecond,
    byteCap: settlement.byteCap,
    maxBatchBytes: destination.maxBatchBytes,
    label,
    isTold,
    pieces: { ids: [randomUUID(), randomUUID()], ...settlement.pieces },
    refusal: settlement.refusal,
    refusedAs: settlement.refusedAs,
    unconfirmedMessage: UNCONFIRMED,
    // An hour's index lives until its last entry may go.
    indexLifetimeMs: ledgerMaxAgeMs + HOUR_MS,
  };
  const reply = await runScript(redis, SETTLE, [destination.keyPrefix], [namedArgs(args), ledger ?? ""]);
  const [kind, pings, shutAs, reason, message] = reply;
  if (kind === "fenced") return { kind: "fenced" };
  return {
    kind: "settled",
    deadLettered: {
      pings: Number(pings),
      reason: reason === "oversize" || reason === "unconfirmed" ? reason : "refused",
      message: String(message),
    },
    shutAs: shutAs === "refused_everything" || shutAs === "unreadable_answers" ? shutAs : null,
  };
}
