/** The accounting of a source: every term of its identity, and the arithmetic over them. */

/** Every term of the accounting identity of one source, as counted; nothing here is found by subtraction. */
export interface Accounting {
  messages: number;
  refused: number;
  ignored: number;
  handshakes: number;
  malformed: number;
  decoded: number;
  readings: number;
  rejected: number;
  duplicates: number;
  stored: number;
  delivered: number;
  deadLettered: number;
  expired: number;
  superseded: number;
  dropped: number;
  held: number;
  waiting: number;
  inFlight: number;
}

/** Left side minus right side of each line of the identity; 0 when it holds. */
export interface Identity {
  messages: number;
  readings: number;
  stored: number;
}

const NOTHING: Accounting = {
  messages: 0,
  refused: 0,
  ignored: 0,
  handshakes: 0,
  malformed: 0,
  decoded: 0,
  readings: 0,
  rejected: 0,
  duplicates: 0,
  stored: 0,
  delivered: 0,
  deadLettered: 0,
  expired: 0,
  superseded: 0,
  dropped: 0,
  held: 0,
  waiting: 0,
  inFlight: 0,
};

/** The terms in the order of the identity. */
export const ACCOUNTING_TERMS = Object.keys(NOTHING) as (keyof Accounting)[];

/** Each line of the identity, left side minus right side. */
export function identityOf(accounting: Accounting): Identity {
  const a = accounting;
  return {
    messages: a.messages - (a.refused + a.ignored + a.handshakes + a.malformed + a.decoded),
    readings: a.readings - (a.rejected + a.duplicates + a.stored),
    stored:
      a.stored -
      (a.delivered + a.deadLettered + a.expired + a.superseded + a.dropped + a.held + a.waiting + a.inFlight),
  };
}

/** The accounting of all sources together. */
export function sumAccounting(sources: readonly { accounting: Accounting }[]): Accounting {
  const sum = { ...NOTHING };
  for (const { accounting } of sources) {
    for (const term of ACCOUNTING_TERMS) sum[term] += accounting[term];
  }
  return sum;
}
