/** The list of adapters: two lines for each vendor. */

import type { Adapter } from "./adapter.ts";
import { bouncie } from "./bouncie.ts";
import { hslHfp } from "./hsl-hfp.ts";
import { json } from "./json.ts";
import { motive } from "./motive.ts";
import { owntracks } from "./owntracks.ts";
import { traccar } from "./traccar.ts";

export const adapters: readonly Adapter[] = [bouncie, hslHfp, json, motive, owntracks, traccar];

export function findAdapter(vendor: string): Adapter | undefined {
  return adapters.find((adapter) => adapter.vendor === vendor);
}
