/** Change detection for vendors that answer with how things stand: a vehicle that has not moved on is not sent again. */

/** What was sent last of each device: its time and place as the vendor wrote them. */
export type Sent = ReadonlyMap<string, string>;

/** No fleet of one account is larger; beyond it the oldest are forgotten, and sent once more. */
const MAX_DEVICES = 50_000;

export interface Changed<Row> {
  rows: Row[];
  /** As it stands once `rows` are stored: belongs into the page's session, so that a lost page is sent again. */
  sent: Sent;
}

/** What a row says. */
export interface State {
  device: string;
  /** What tells its states apart: time and place. */
  state: string;
  /** UTC milliseconds since 1970; null where it is not known, NaN where it cannot be read. */
  fixTime: number | null;
}

/**
 * The rows that say something new. `stateOf` gives null where a row names no device, and then it is always new. A vehicle
 * that is seen for the first time and whose fix is older than `since` stands parked, perhaps for months: it is only
 * remembered, since at each start a yard full of them would be rejected as too old.
 */
export function changedRows<Row>(
  rows: readonly Row[],
  stateOf: (row: Row) => State | null,
  sent: Sent,
  since: number,
): Changed<Row> {
  const next = new Map(sent);
  const changed = rows.filter((row) => {
    const found = stateOf(row);
    if (found === null) return true;
    const { device, state, fixTime } = found;
    const before = next.get(device);
    next.delete(device);
    next.set(device, state);
    if (before === undefined) return fixTime === null || !(fixTime < since);
    return before !== state;
  });
  for (const device of next.keys()) {
    if (next.size <= MAX_DEVICES) break;
    next.delete(device);
  }
  return { rows: changed, sent: next };
}
