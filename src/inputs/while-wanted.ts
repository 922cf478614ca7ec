/** Keeps pieces of work in step with what is wanted: begun, changed in place, begun anew, ended. */

/** One piece of work, such as a broker's connection. */
export interface Piece<Wanted> {
  /** Takes a change up without interruption; false where the work has to begin anew. */
  change(wanted: Wanted): boolean;
  /** Finishes what has arrived, for at most this long. */
  close(withinMs: number): Promise<void>;
}

export interface WhileWanted<Wanted, Work> {
  /** By name. What is no longer among them ends; what differs is changed. */
  update(wanted: ReadonlyMap<string, Wanted>): void;
  works(): Work[];
  close(withinMs: number): Promise<void>;
}

/** A message under way is stored within this time, or comes again. */
const ENDING_MS = 5000;

export function whileWanted<Wanted, Work extends Piece<Wanted>>({
  begin,
  onError,
}: {
  begin(name: string, wanted: Wanted): Work;
  onError(name: string, error: unknown): void;
}): WhileWanted<Wanted, Work> {
  const running = new Map<string, Work>();
  /** By name, the end of the work before: two of one name would push each other out. */
  const endings = new Map<string, Promise<void>>();
  let wantedNow: ReadonlyMap<string, Wanted> = new Map();
  let isClosed = false;

  function end(name: string, work: Work): void {
    running.delete(name);
    const ending = work
      .close(ENDING_MS)
      .catch((error: unknown) => onError(name, error))
      .then(() => {
        endings.delete(name);
        beginIfWanted(name);
      });
    endings.set(name, ending);
  }

  function beginIfWanted(name: string): void {
    const wanted = wantedNow.get(name);
    if (wanted === undefined || isClosed || running.has(name) || endings.has(name)) return;
    running.set(name, begin(name, wanted));
  }

  return {
    update(wanted) {
      wantedNow = wanted;
      for (const [name, work] of [...running]) {
        const next = wanted.get(name);
        if (next === undefined || !work.change(next)) end(name, work);
      }
      for (const name of wanted.keys()) beginIfWanted(name);
    },
    works: () => [...running.values()],
    async close(withinMs) {
      isClosed = true;
      await Promise.all([...[...running.values()].map((work) => work.close(withinMs)), ...endings.values()]);
    },
  };
}
