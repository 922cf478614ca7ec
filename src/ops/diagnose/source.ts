/** Finds problems of a source before store: refused messages, rejected readings, silence; by its last minutes, against its usual. */

import type { BadRun, SourceStatus } from "../../status/queue.ts";
import { WITHOUT_FIX, WITHOUT_FIX_MS } from "./devices.ts";
import { durationText } from "./duration.ts";
import { error, type Finding, warning } from "./problem.ts";

/** Three in a row are no accident of one sender. */
const RUN = 3;
/** Fewer may have no fix at the same moment by accident. */
const FEW_DEVICES = 3;
/** Of the last few, where good ones are among them. */
const SHARE = 0.2;
const REJECTED_SHARE = 0.5;
/** A share of fewer says nothing. */
const MIN_REFUSED = 5;
const MIN_REJECTED = 10;
/** More than usual by this much. */
const ABOVE_USUAL = 0.25;
/** In this time after the cure a problem that comes and goes has gone. */
const GONE_AFTER_MS = 45_000;

type Counts = SourceStatus["pulse"]["last60Min"];

export function diagnoseSource(source: SourceStatus, nowMs: number): Finding[] {
  return [
    ...diagnoseAccounting(source),
    ...diagnoseRefusals(source, nowMs),
    ...diagnoseRejections(source, nowMs),
    ...diagnoseSilence(source, nowMs),
  ];
}

/** The equations of the accounting identity. */
const EQUATIONS = {
  messages: "messages = refused + ignored + handshakes + malformed + decoded",
  readings: "readings = rejected + duplicates + stored",
  stored: "stored = delivered + dead-lettered + expired + superseded + dropped + held + waiting + in flight",
} as const;

function diagnoseAccounting({ name, identity }: SourceStatus): Finding[] {
  return (["messages", "readings", "stored"] as const).flatMap((term) => {
    const difference = identity[term];
    if (difference === 0) return [];
    const side = difference > 0 ? `${difference} unaccounted for` : `${-difference} counted twice`;
    return error("accounting_mismatch", `source ${name}`, {
      what: `The accounting does not add up, ${side}: ${EQUATIONS[term]}.`,
      doNext:
        "This is a fault of the gateway or of somebody writing to its Redis. Keep the log around accountingMismatch and report it.",
    });
  });
}

/** By the reason of a refusal: what to do, and who has to. */
const REFUSALS: Record<string, { doNext: string; whose: Finding["whose"] }> = {
  unauthenticated: {
    whose: "configuration",
    doNext:
      "The secret configured here and the one at the vendor differ: compare auth.secret of the source with the vendor's webhook settings. While a secret is changed, auth.secrets takes the old one and the new one.",
  },
  guessing: {
    whose: "configuration",
    doNext:
      "Its sender was wrong so often that it has to wait: put the secret right at the sender, and it is let in within a minute.",
  },
};
const OTHER_REFUSAL = {
  whose: "vendor",
  doNext: "Compare the vendor's webhook settings (address, method, size of a message) with docs/vendors.md.",
} as const;

function diagnoseRefusals({ name, pulse, accounting, refusedBy }: SourceStatus, nowMs: number): Finding[] {
  const { refusals, challengedAt, lastGoodAt, last5Min, last15Min } = pulse;
  if (refusals === null) return [];
  const where = `source ${name}`;
  const [reason] = mostFrequent(byReason(last15Min, "refused:") ?? refusedBy);
  const { whose, doNext } = REFUSALS[reason] ?? OTHER_REFUSAL;
  const { run, share } = refusals;
  if (run >= RUN || (run > 0 && lastGoodAt === null)) {
    const isAll = lastGoodAt === null && run >= accounting.messages;
    const which = isAll ? `Every one of ${run} messages was` : `The last ${run} messages were all`;
    const hint = failedSinceChallenge(challengedAt, lastGoodAt)
      ? ` It took part in the vendor's handshake at ${challengedAt} and has only failed since: the address is right, the secret is not.`
      : "";
    const what = `${which} refused (${reason}); their positions are lost unless the vendor sends them again.${hint}`;
    return [
      error("authentication_failing", where, { what, doNext, whose, sinceMs: Date.parse(refusals.since) }),
    ];
  }
  const refused = last5Min.refused ?? 0;
  if (share < SHARE || refused < MIN_REFUSED || isOver(refusals, nowMs)) return [];
  const what = `${refused} of ${last5Min.messages ?? refused} messages of the last 5 minutes were refused (${reason}), while others are accepted.`;
  const partly =
    "One of its senders has another secret, or somebody tries secrets out: the log's messageRefused has their addresses. If it is yours, put its secret right.";
  return [warning("authentication_partly_failing", where, { what, doNext: partly })];
}

/** A handshake counts as a good message. */
function failedSinceChallenge(challengedAt: string | null, lastGoodAt: string | null): boolean {
  return challengedAt !== null && challengedAt === lastGoodAt;
}

/** What to do about readings rejected for one reason, where everything a source sends is. */
const REJECTIONS: Record<string, { doNext: string; whose: Finding["whose"] }> = {
  too_old: {
    whose: "vendor",
    doNext:
      "The vendor delivers late, sends history, or states local time as UTC: compare a position's time with the vendor's own page. maxAgeMs of the destination is the limit.",
  },
  in_future: {
    whose: "vendor",
    doNext:
      "The times are ahead of this machine's clock: set the devices or the vendor's account to UTC, and see that this machine's clock is right.",
  },
  no_fix: {
    whose: "device",
    doNext: "The devices report without a GPS fix: antenna, sky, or a field that should say where they are.",
  },
  foreign_device: {
    whose: "configuration",
    doNext: "List the devices under the login's speaksFor in the configuration.",
  },
};
const OTHER_REJECTION = {
  whose: "vendor",
  doNext: "Take one message and run it through waypost decode; docs/reasons.md explains each reason.",
} as const;

function diagnoseRejections({ name, pulse, rejectedBy, troubled }: SourceStatus, nowMs: number): Finding[] {
  const { rejections, last5Min, last15Min, last60Min } = pulse;
  if (rejections === null) return [];
  const where = `source ${name}`;
  const counts = byReason(last15Min, "rejected:") ?? rejectedBy;
  const [reason, count] = mostFrequent(counts);
  const { whose, doNext } = REJECTIONS[reason] ?? OTHER_REJECTION;
  const { run, since, lastAt } = rejections;
  // One vehicle may be in a tunnel, a few at once are not.
  const isBrief =
    WITHOUT_FIX.has(reason) &&
    troubled.length < FEW_DEVICES &&
    Date.parse(lastAt) - Date.parse(since) < WITHOUT_FIX_MS;
  // A source that often has some rejected has rows of them now and then.
  if (!isBrief && run >= RUN + 40 * (usualShare(last60Min, { readings: run, rejected: run }) ?? 0)) {
    const others =
      Object.keys(counts).length > 1 ? `, ${count} of the last minutes' as ${reason}` : ` (${reason})`;
    const what = `Every one of the last ${run} positions was rejected${others}: nothing of it reaches ServiceTitan.`;
    return [error("readings_rejected", where, { what, doNext, whose, sinceMs: Date.parse(since) })];
  }
  const rejected = last5Min.rejected ?? 0;
  const usual = usualShare(last60Min, last5Min);
  // In garages at night most have no fix; another reason does not become right by lasting.
  const bound =
    usual !== null && WITHOUT_FIX.has(reason)
      ? Math.max(REJECTED_SHARE, usual + ABOVE_USUAL)
      : REJECTED_SHARE;
  if (rejections.share < bound || rejected < MIN_REJECTED) return [];
  if (isOver(rejections, nowMs)) return [];
  const what = `${rejected} of ${last5Min.readings ?? rejected} positions of the last 5 minutes were rejected, most as ${reason}${usual === null ? "" : `; in the hour before it was ${Math.round(usual * 100)} %`}.`;
  return [warning("readings_rejected", where, { what, doNext, whose })];
}

/** Of the last hour without what is looked at now; null where little was sent. */
function usualShare(hour: Counts, now: Counts): number | null {
  const before = (field: string) => (hour[field] ?? 0) - (now[field] ?? 0);
  const readings = before("readings") - before("rejected:thinned");
  const rejected = before("rejected") - before("rejected:thinned");
  return readings > MIN_REJECTED ? Math.max(0, rejected) / readings : null;
}

function diagnoseSilence({ name, pulse }: SourceStatus, nowMs: number): Finding[] {
  const { silentFrom, lastGoodAt, usualGapMs, refusals } = pulse;
  if (silentFrom === null || lastGoodAt === null || usualGapMs === null) return [];
  // It is not silent but refused, which is told above.
  if (nowMs < Date.parse(silentFrom) || (refusals?.run ?? 0) >= RUN) return [];
  const forMs = nowMs - Date.parse(lastGoodAt);
  return [
    warning("source_silent", `source ${name}`, {
      what: `It has sent nothing for ${durationText(forMs)}; at this hour a message usually comes at least every ${durationText(usualGapMs)}.`,
      doNext:
        "See whether the vendor has an outage or has switched the webhook off (many do after failures), and that its address still leads here.",
      sinceMs: Date.parse(lastGoodAt),
    }),
  ];
}

function isOver({ lastAt }: BadRun, nowMs: number): boolean {
  return nowMs - Date.parse(lastAt) > GONE_AFTER_MS;
}

function byReason(counts: Readonly<Record<string, number>>, prefix: string): Record<string, number> | null {
  const found = Object.entries(counts).filter(([field]) => field.startsWith(prefix));
  if (found.length === 0) return null;
  return Object.fromEntries(found.map(([field, n]) => [field.slice(prefix.length), n]));
}

function mostFrequent(counts: Record<string, number>): [string, number] {
  return Object.entries(counts).reduce((most, entry) => (entry[1] > most[1] ? entry : most), ["unknown", 0]);
}
