/** Work that only the owner of a lease does: begun, left and finished as the lease comes and goes. */

import { expect, test } from "vitest";
import { type AcquireLease, type LeasedWork, whileLeased } from "../../src/inputs/while-leased.ts";

/** A lease that the test gives and takes away, and work that has only a number. */
function leased(changes: Partial<LeasedWork<number>> = {}) {
  const did: string[] = [];
  let lease: Parameters<AcquireLease>[1] | null = null;
  let works = 0;
  const work = whileLeased<number>(
    (name, events) => {
      did.push(`asks for ${name}`);
      lease = events;
      return {
        standing: () => ({ kind: "standby", reason: "another process holds the lease" }),
        close: async () => void did.push("gives back"),
      };
    },
    "vans",
    {
      start: () => {
        works += 1;
        did.push(`starts ${works}`);
        return works;
      },
      leave: (left) => void did.push(`leaves ${left}`),
      onError: () => did.push("fails"),
      ...changes,
    },
  );
  const now = (event: "acquired" | "expired" | "lost") => lease?.[event]();
  return { work, did, now };
}

test("works while the lease is ours, and stands by before and after", () => {
  const { work, did, now } = leased();
  const before = Date.now();
  expect(work.state()).toMatchObject({ kind: "standby", reason: "another process holds the lease" });
  now("acquired");
  expect(work.state()).toEqual({ kind: "working", work: 1 });
  now("lost");
  const after = work.state();
  expect(after.kind === "standby" && after.sinceMs >= before).toBe(true);
  now("acquired");
  now("expired");
  expect(did).toEqual(["asks for vans", "starts 1", "leaves 1", "starts 2", "leaves 2"]);
});

test("work that outlives its lease goes on until it is another process's, and is not begun twice", () => {
  const { work, did, now } = leased({ outlivesLease: () => true });
  now("acquired");
  work.leaveUnlessOwner();
  now("expired");
  expect(work.state()).toEqual({ kind: "working", work: 1 });
  now("acquired");
  now("expired");
  now("lost");
  expect(did).toEqual(["asks for vans", "starts 1", "leaves 1"]);
});

test("work that outlived its lease is left when it ends by itself", () => {
  const { work, did, now } = leased({ outlivesLease: () => true });
  now("acquired");
  now("expired");
  work.leaveUnlessOwner();
  work.leaveUnlessOwner();
  expect(did).toEqual(["asks for vans", "starts 1", "leaves 1"]);
});

test("closing finishes the work and then gives the lease back", async () => {
  const { work, did, now } = leased();
  now("acquired");
  await work.close(async (one) => void did.push(`finishes ${one}`));
  expect(did).toEqual(["asks for vans", "starts 1", "finishes 1", "gives back"]);
});

test("where the work cannot begin, the lease learns of it", () => {
  const { work, now } = leased({
    start: () => {
      throw new Error("no certificate");
    },
  });
  expect(() => now("acquired")).toThrow("no certificate");
  expect(work.state().kind).toBe("standby");
});
