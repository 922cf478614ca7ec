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

/**
 * The rows that say something new. `stateOf` gives a row's device and what tells its states apart (time and place);
 * null where the row names no device, and then it is always new.
 */
export function changedRows<Row>(
  rows: readonly Row[],
  stateOf: (row: Row) => { device: string; state: string } | null,
  sent: Sent,
): Changed<Row> {
  const next = new Map(sent);
  const changed = rows.filter((row) => {
    const found = stateOf(row);
    if (found === null) return true;
    if (next.get(found.device) === found.state) return false;
    next.delete(found.device);
    next.set(found.device, found.state);
    return true;
  });
  for (const device of next.keys()) {
    if (next.size <= MAX_DEVICES) break;
    next.delete(device);
  }
  return { rows: changed, sent: next };
}
