/** A list whose items are decoded one by one, so that a long one can be decoded in slices that let others through. */

import type { RawReading } from "../../reading.ts";

/** Why a message cannot be decoded, one line each. */
export interface Problems {
  problems: string[];
}

/** What a `decode` may give back in place of its candidates. */
export interface Each {
  count: number;
  /** Of one item; what stands in it is parsed only here. */
  decodeItem(index: number): RawReading | readonly RawReading[];
  /** What is wrong with all of them together. */
  check?: (rawReadings: readonly RawReading[]) => Problems | null;
}

export function each<Item>(
  items: readonly Item[],
  decodeItem: (item: Item, index: number) => RawReading | readonly RawReading[],
  check?: Each["check"],
): Each {
  return {
    count: items.length,
    // The list holds what its type says, undefined included.
    decodeItem: (index) => decodeItem(items[index] as Item, index),
    ...(check && { check }),
  };
}
