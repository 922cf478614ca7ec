/** What a run leaves behind for the judge: what was sent, what was owed, what ServiceTitan's stand-in got, and what was broken when. */

/** One reading a sender made up. Times are UTC milliseconds since 1970. */
export interface Issued {
  /** The externalId the gateway must derive. */
  id: string;
  unit: string;
  fixTime: number;
  latitude: number;
  longitude: number;
  speedMps: number;
  /** When the gateway (2xx) or the broker (PUBACK) took responsibility; null: nobody ever did. */
  owedAt: number | null;
  /** Some attempt got no answer, so it may have been kept earlier or later than its sender knows. */
  unclear: boolean;
  /** How often its sender handed it over: attempts with 2xx, and those without an answer. */
  handedOver: number;
  /** The gateway that set it aside on its disk; null: none did. What one disk holds comes in order, two have none. */
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

/** When a request came to the door. A busy door notices late: earlier than `earliest` it was not. */
export interface Arrival {
  earliest: number;
  latest: number;
}

/** Why an owed ping need not arrive. */
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

/** A reading the sandbox was told to refuse until it had been given up, and then no more. */
export interface Condemned {
  id: string;
  /** When it was found among the dead letters, and sent on its way again. */
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
  /** Moment from which every unit must be heard of again. */
  recoverFrom: number;
  /** Time to recover that the fault itself takes: a Retry-After, or a request that goes on hanging until its timeout. */
  allowanceMs: number;
  /** Requests that the network may have held back and let go all at once. */
  heldBack: number;
  /** It leaves pings accepted and answered but not settled, which are sent once more: so many at most. */
  unsettledAtMost: number;
  /** Until then what is accepted may stay unsettled because of it. */
  unsettledUntil: number;
  /** A gateway was killed. */
  killed: boolean;
  /** It kept a gateway from storing, so that messages went to the disk. */
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
  condemned: readonly Condemned[];
  /** Every ping seen among the dead letters, looked at before each fault and at the end. */
  dead: readonly FoundDead[];
  /** Readings that were answered from the local disk while Redis was away. */
  spooled: number;
  /** Requests the sandbox answered with 400 and above, or not at all. */
  refusals: number;
  /** Every line of the accounting identity that is off at the end, in words. */
  parted: readonly string[];
}
