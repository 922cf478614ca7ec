/** What a fault is: data with a way to bring it about and a way to undo it. */

import type { Random } from "../sandbox/random.ts";
import type { Gateway, Stage } from "./stage.ts";

/** One occurrence of a fault. */
export interface Turn {
  /** The gateway it strikes, where the fault strikes a gateway. */
  victim: Gateway;
  random: Random;
}

export interface Fault {
  name: string;
  /**
   * The fault leaves at most this many pings accepted and answered but not settled, and these are sent once more. Pings of
   * a lost answer are not among them: those are known one by one.
   */
  unsettledAtMost: number;
  /** The fault kills a gateway, so pings accepted afterwards have nothing to do with it. */
  kills?: true;
  /** A gateway cannot store, and sets messages aside on its disk. */
  storageAway?: true;
  /** Of two gateways, the other one has to make up for the fault before it is healed. */
  recoverFrom: "injection" | "healing";
  /** The part of the recovery that the fault itself needs: a Retry-After, or a request that hangs until its time-out. */
  allowanceMs?: number;
  /** Requests that the fault may hold back and release all at once: a request that was made cannot be undone. */
  heldBack?: number;
  /** Lasts long, so that locks and leases run out. */
  long?: true;
  inject(stage: Stage, turn: Turn): Promise<void> | void;
  heal(stage: Stage, turn: Turn): Promise<void> | void;
}

/** For a fault that heals by itself, or that is over once it is injected. */
export const healed = (): void => {};
