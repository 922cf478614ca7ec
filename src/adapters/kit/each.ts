/** A list whose items are decoded one by one, so that a long list can be decoded in slices, between other messages. */

import type { RawReading } from "../../reading.ts";

/** Why a message cannot be decoded, one line each. */
export interface Problems {
  problems: string[];
}

/** What a `decode` may return in place of its raw readings. */
export interface Each {
  count: number;
  /** Decodes one item; the item is parsed only here. */
  decodeItem(index: number): RawReading | readonly RawReading[];
  /** Problems of the whole list. */
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
