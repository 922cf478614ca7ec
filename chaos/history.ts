/** What a run leaves behind for the judge: what was sent, what was owed, what ServiceTitan's stand-in got, and what was broken when. */

/** One reading that a sender created. Times are UTC milliseconds since 1970. */
export interface Issued {
  /** The externalId the gateway must derive. */
  id: string;
  unit: string;
  fixTime: number;
  latitude: number;
  longitude: number;
  speedMps: number;
  /** When the gateway (2xx) or the broker (PUBACK) took responsibility; null: neither did. */
  owedAt: number | null;
  /** Some attempt got no answer, so the reading may have been stored earlier or later than its sender knows. */
  unclear: boolean;
  /** How often its sender delivered it: attempts with 2xx, and those without an answer. */
  handedOver: number;
  /** The gateway that set it aside on its disk; null: none did. What one disk holds arrives in order; two disks have no common order. */
  spooledAt: string | null;
}

/** One ping the sandbox accepted, in the order of acceptance. */
export interface Accepted {
  id: string;
  unit: string;
  at: number;
  eventTime: number;
  latitude: number | null;
  longitude: number | null;
  speed: number | null;
}

/** When a request arrived. A busy event loop notices it late, so it may have arrived as early as `earliest`. */
export interface Arrival {
  earliest: number;
  latest: number;
}

/** Why an owed ping may be missing. */
export type Exemption =
  /** Redis held it when it was emptied. */
  | "flushed"
  /** Only the broker held it when it was killed. */
  | "broker_lost";

/** A request as it was seen on the wire, until its answer had come through or no answer could come any more. */
export interface Exchange {
  ids: readonly string[];
  from: number;
  to: number;
  /** Its answer did not come through whole and readable: what ServiceTitan accepted of it is sent again. */
  lost: boolean;
}

/** A reading that the sandbox refuses until the gateway has given it up, and accepts afterwards. */
export interface Doomed {
  id: string;
  /** When it was found among the dead letters, and redriven. */
  listedAt: number | null;
}

/** A ping found among the dead letters at some time. */
export interface FoundDead {
  id: string;
  reason: string;
}

/** One fault from its injection to the beginning of the next one. */
export interface Episode {
  name: string;
  injectedAt: number;
  healedAt: number;
  /** Where the next fault was injected, or the run ended. */
  endedAt: number;
  /** From this moment on, a new reading of every unit has to arrive. */
  recoverFrom: number;
  /** The part of the recovery that the fault itself needs: a Retry-After, or a request that hangs until its time-out. */
  allowanceMs: number;
  /** Requests that the network may have held back and released all at once. */
  heldBack: number;
  /** The fault leaves at most this many pings accepted and answered but not settled, and these are sent once more. */
  unsettledAtMost: number;
  /** Pings accepted until then may stay unsettled because of the fault. */
  unsettledUntil: number;
  /** A gateway was killed. */
  killed: boolean;
  /** The fault prevented a gateway from storing, so that messages went to its disk. */
  storageAway: boolean;
}

export interface History {
  ratePerSecond: number;
  recoverWithinMs: number;
  /** The longest a request is under way. */
  requestTimeoutMs: number;
  issued: ReadonlyMap<string, Issued>;
  accepted: readonly Accepted[];
  arrivals: readonly Arrival[];
  episodes: readonly Episode[];
  exempt: ReadonlyMap<string, Exemption>;
  /** In the order in which they ended. */
  exchanges: readonly Exchange[];
  doomed: readonly Doomed[];
  /** Every ping seen among the dead letters, read before each fault and at the end. */
  dead: readonly FoundDead[];
  /** Units of tenants that come and go: these may be silent. */
  visitors: ReadonlySet<string>;
  /** Readings that were answered from the local disk while Redis was away. */
  spooled: number;
  /** Requests the sandbox answered with 400 and above, or not at all. */
  refusals: number;
  /** Every mismatch of the accounting at the end, in words. */
  mismatches: readonly string[];
}
