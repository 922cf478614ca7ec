/** ServiceTitan has answered while Redis refuses writes: the settlement waits, and the pings are not sent once more. */

import { afterEach, expect, it } from "vitest";
import { readingOf, startTestQueue, type TestQueue } from "../../support/queue.ts";
import { until } from "../../support/wait.ts";

let rig: TestQueue;
afterEach(() => rig.close());

/** Half the answer is this late: time to break Redis between the request and its settlement. */
const ANSWER_S = 1;
/** No process listens on port 1, so Redis becomes the replica of a master that is not there, and refuses writes. */
const NOBODY = ["127.0.0.1", 1] as const;

it.each([
  {
    what: "read-only",
    breakIt: async () => void (await rig.db.replicaof(...NOBODY)),
    mend: async () => void (await rig.db.replicaof("NO", "ONE")),
  },
  {
    what: "killed",
    breakIt: async () => rig.redis.kill("SIGKILL"),
    mend: () => rig.redis.restart(),
  },
])("Redis $what", async ({ breakIt, mend }) => {
  rig = await startTestQueue();
  rig.sandbox.faults.set({ kind: "slow_body", seconds: ANSWER_S, times: 1 });
  await rig.store([readingOf("van-1", 1)]);
  await until(() => rig.sandbox.summary().accepted === 1, { what: "the ping to be accepted" });
  await breakIt();
  const answeredAt = Date.now() + ANSWER_S * 1000;
  // Some attempts to settle fail.
  await until(() => Date.now() > answeredAt + 1000, { what: "the answer, which cannot be written to Redis" });
  await mend();
  expect(await rig.empty()).toMatchObject({ stored: 1, delivered: 1 });
  expect(rig.sandbox.summary()).toMatchObject({ accepted: 1, requests: 1 });
  expect(await rig.mismatches()).toEqual([]);
});
