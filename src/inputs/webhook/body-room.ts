/** Shares out the memory for bodies that are not whole yet, so that no stranger can hold all of it. */

/** Enough for 100 senders that stop in the middle of 2.5 MB; without it, some hundred slow ones could end the process. */
const TOTAL_BYTES = 256_000_000;
/** Of what there is, for one address of senders that have shown nothing yet: 16 bodies of 2 MB. */
const ADDRESS_PART = 1 / 8;
/** For all of those together; the rest is there for senders that have proven themselves. */
const STRANGERS_PART = 1 / 2;

/** The address of a sender that has shown nothing yet, or null for one that is proven. */
export type Holder = string | null;

export interface BodyRoom {
  /** False when there is no room; then nothing is taken. */
  take(bytes: number, holder: Holder): boolean;
  giveBack(bytes: number, holder: Holder): void;
}

export function createBodyRoom({
  limitBytes,
  totalBytes = TOTAL_BYTES,
}: {
  /** Of one body: a share holds one, however large it may be. */
  limitBytes: number;
  totalBytes?: number | undefined;
}): BodyRoom {
  const addressBytes = Math.max(totalBytes * ADDRESS_PART, limitBytes);
  const strangersBytes = Math.max(totalBytes * STRANGERS_PART, addressBytes);
  const byAddress = new Map<string, number>();
  let strangers = 0;
  let all = 0;

  return {
    take(bytes, holder) {
      if (all + bytes > totalBytes) return false;
      if (holder !== null) {
        const own = (byAddress.get(holder) ?? 0) + bytes;
        if (own > addressBytes || strangers + bytes > strangersBytes) return false;
        byAddress.set(holder, own);
        strangers += bytes;
      }
      all += bytes;
      return true;
    },
    giveBack(bytes, holder) {
      all -= bytes;
      if (holder === null) return;
      strangers -= bytes;
      const own = (byAddress.get(holder) ?? 0) - bytes;
      if (own > 0) byAddress.set(holder, own);
      else byAddress.delete(holder);
    },
  };
}
