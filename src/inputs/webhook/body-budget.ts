/** Shares out the memory for bodies that are not whole yet, so that unauthenticated senders cannot hold all of it. */

/** Enough for 100 senders that stop in the middle of 2.5 MB; without it, some hundred slow ones could end the process. */
const TOTAL_BYTES = 256_000_000;
/** The part for one address of unauthenticated senders: 16 bodies of 2 MB. */
const ADDRESS_PART = 1 / 8;
/** The part for all of those together; the rest is there for authenticated senders. */
const UNAUTHENTICATED_PART = 1 / 2;

/** The address of a sender that is not authenticated yet, or null for one that is. */
export type BudgetOwner = string | null;

export interface BodyBudget {
  /** False when the budget is used up; then nothing is reserved. */
  reserve(bytes: number, owner: BudgetOwner): boolean;
  release(bytes: number, owner: BudgetOwner): void;
}

export function createBodyBudget({
  limitBytes,
  totalBytes = TOTAL_BYTES,
}: {
  /** Of one body: every share is large enough for one. */
  limitBytes: number;
  totalBytes?: number | undefined;
}): BodyBudget {
  const addressBytes = Math.max(totalBytes * ADDRESS_PART, limitBytes);
  const unauthenticatedBytes = Math.max(totalBytes * UNAUTHENTICATED_PART, addressBytes);
  const byAddress = new Map<string, number>();
  let unauthenticated = 0;
  let all = 0;

  return {
    reserve(bytes, owner) {
      if (all + bytes > totalBytes) return false;
      if (owner !== null) {
        const own = (byAddress.get(owner) ?? 0) + bytes;
        if (own > addressBytes || unauthenticated + bytes > unauthenticatedBytes) return false;
        byAddress.set(owner, own);
        unauthenticated += bytes;
      }
      all += bytes;
      return true;
    },
    release(bytes, owner) {
      all -= bytes;
      if (owner === null) return;
      unauthenticated -= bytes;
      const own = (byAddress.get(owner) ?? 0) - bytes;
      if (own > 0) byAddress.set(owner, own);
      else byAddress.delete(owner);
    },
  };
}
