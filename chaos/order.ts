/** The order in which the pings of each unit have to arrive. */

import type { Issued } from "./history.ts";

/**
 * Newest first, history after it: so a unit's pings form two rising sequences, those newer than all before and those of
 * the history, and every disk that held some has a sequence of its own. Returns the ping that should have come later; null
 * when all is in order.
 */
export function createOrder(): { see(sent: Issued): string | null } {
  const units = new Map<string, { newest: Issued; filledIn: Map<string | null, Issued> }>();
  return {
    see(sent) {
      const unit = units.get(sent.unit);
      if (!unit) {
        units.set(sent.unit, { newest: sent, filledIn: new Map() });
        return null;
      }
      if (sent.fixTime > unit.newest.fixTime) {
        unit.newest = sent;
        return null;
      }
      const before = unit.filledIn.get(sent.spooledAt);
      // A ping that may have been stored at any time proves nothing about the order of the others.
      if (before && sent.fixTime < before.fixTime) return before.id;
      if (!sent.unclear && sent.owedAt !== null) unit.filledIn.set(sent.spooledAt, sent);
      return null;
    },
  };
}
