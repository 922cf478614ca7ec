/** One configured sender, as the pipeline sees it. */

import type { Adapter, AuthMethod, Credentials } from "../adapters/kit/adapter.ts";
import type { SpeedUnit } from "../reading.ts";
import type { Logins } from "./speaks-for.ts";
import type { TenantGate } from "./tenant-gate.ts";

export interface Source {
  name: string;
  adapter: Adapter;
  /** Null on MQTT and for a pull source: the broker connection, or our own request, says who the sender is. */
  authMethod: AuthMethod | null;
  credentials: Credentials;
  /** Which devices each login may speak for, where its senders have logins of their own. */
  logins?: Logins;
  speedUnit?: SpeedUnit | undefined;
  options?: unknown;
  /** The oldest fix any of the source's destinations still wants, milliseconds. */
  maxAgeMs: number;
  /** Fixes less accurate than this are rejected, metres; absent: no limit. */
  maxAccuracyM?: number | undefined;
  /** Absent: its tenant has no limits and cannot be paused. */
  gate?: TenantGate | undefined;
  /** A message with more is malformed. */
  maxReadings?: number | undefined;
}
