/** Runs one piece of work while this process holds its lease: of all gateway processes one does it, the others stand by. */

/** Of a process that does not hold the lease: whether it waits for its turn or could not begin, and why, in words. */
interface Standing {
  kind: "standby" | "failed";
  reason: string;
}

interface LeaseEvents {
  /** The lease is ours, for the first time or again. Where this throws, the lease is given back and taken again later. */
  acquired(): void;
  /** Redis has been away for longer than the lease: another process that reaches Redis may hold it from now on. */
  expired(): void;
  /** Another process holds the lease. */
  lost(): void;
  /** One of the above threw. */
  failed(error: unknown): void;
}

/** Holds the lease of that name among all processes; `queue/` implements it. */
export type AcquireLease = (
  name: string,
  events: LeaseEvents,
) => {
  standing(): Standing;
  /** Gives the lease back, so that another process need not wait for it to run out. */
  close(): Promise<void>;
};

export interface LeasedWork<Work> {
  /** Begins; where this throws, another process gets its turn. */
  start(): Work;
  /** Ends at once, because the work is another process's by now, or may be. */
  leave(work: Work): void;
  /** True for work that goes on although the lease has run out, until another process takes it over. Default: none does. */
  outlivesLease?(work: Work): boolean;
  onError(error: unknown): void;
}

export type LeasedState<Work> =
  | { kind: "working"; work: Work }
  | (Standing & {
      /** Since when this process does not work, UTC milliseconds since 1970. */ sinceMs: number;
    });

export interface WhileLeased<Work> {
  state(): LeasedState<Work>;
  /** Leaves the work unless the lease is ours: for work that has outlived its lease and has now come to an end. */
  leaveUnlessOwner(): void;
  /** Finishes the work with `finish`, then gives the lease back. */
  close(finish: (work: Work | null) => Promise<unknown>): Promise<void>;
}

export function whileLeased<Work>(
  acquireLease: AcquireLease,
  name: string,
  { start, leave: leaveWork, outlivesLease = () => false, onError }: LeasedWork<Work>,
): WhileLeased<Work> {
  let running: { work: Work } | null = null;
  let isOwner = false;
  let standingBySinceMs = Date.now();

  function leave(): void {
    if (running === null) return;
    const { work } = running;
    running = null;
    standingBySinceMs = Date.now();
    leaveWork(work);
  }

  const lease = acquireLease(name, {
    acquired() {
      // It still runs where it has outlived the lease and no other process has taken it over.
      running ??= { work: start() };
      isOwner = true;
    },
    expired() {
      isOwner = false;
      if (running !== null && !outlivesLease(running.work)) leave();
    },
    lost() {
      isOwner = false;
      leave();
    },
    failed: onError,
  });

  return {
    state: () =>
      running === null
        ? { ...lease.standing(), sinceMs: standingBySinceMs }
        : { kind: "working", work: running.work },
    leaveUnlessOwner() {
      if (!isOwner) leave();
    },
    async close(finish) {
      await finish(running?.work ?? null);
      await lease.close();
    },
  };
}
