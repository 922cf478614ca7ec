/** What a fault is: data with a way to bring it about and a way to undo it. */

import type { Random } from "../sandbox/random.ts";
import type { Gateway, Stage } from "./stage.ts";

/** One occurrence of a fault. */
export interface Turn {
  /** The gateway it strikes, where it strikes one. */
  victim: Gateway;
  random: Random;
}

export interface Fault {
  name: string;
  /**
   * It leaves pings accepted and answered but not settled, which are sent once more: so many at most. Pings of an answer
   * that was lost are not among them: those are known one by one.
   */
  unsettledAtMost: number;
  /** It kills a gateway: what is accepted afterwards has nothing to do with it. */
  kills?: true;
  /** A gateway cannot store, and sets messages aside on its disk. */
  storageAway?: true;
  /** With two gateways, what befalls one must be made up for by the other without waiting for it to be healed. */
  recoverFrom: "injection" | "healing";
  /** Time to recover that the fault itself takes: a Retry-After, or a request that goes on hanging until its timeout. */
  allowanceMs?: number;
  /** Requests that it may hold back and let go all at once: nobody can undo that a request has been made. */
  heldBack?: number;
  /** Lasts long, so that locks and leases run out. */
  long?: true;
  inject(stage: Stage, turn: Turn): Promise<void> | void;
  heal(stage: Stage, turn: Turn): Promise<void> | void;
}

/** What heals by itself, or was over when it was injected. */
export const healed = (): void => {};
