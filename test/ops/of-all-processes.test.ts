/** What several processes know of their doors becomes one answer: the worst state, all causes, each thing once. */

import { describe, expect, it } from "vitest";
import { type OwnFacts, ofAllProcesses } from "../../src/ops/of-all-processes.ts";
import type { BrokerStatus, IncidentState, PollerStatus } from "../../src/status/process.ts";

const at = (second: number) => `2026-11-29T12:00:${String(second).padStart(2, "0")}.000Z`;

function facts(changes: Partial<OwnFacts> = {}): OwnFacts {
  return { brokers: [], pollers: [], incidents: [], clocks: [], mapping: null, spool: null, ...changes };
}

function broker(state: BrokerStatus["state"], changes: Partial<BrokerStatus> = {}): BrokerStatus {
  const reason = state === "refused" ? "not_authorized" : null;
  return { name: "yard", kind: "client", state, since: at(0), reason, unacked: 1, clients: null, ...changes };
}

function poller(state: PollerStatus["state"]): PollerStatus {
  const unknown = {
    reason: null,
    detail: "",
    lastSuccessAt: null,
    cursorAt: null,
    gap: null,
    reads: { pages: 0, rows: 0, unchanged: 0, emptyRounds: 0 },
  };
  return { name: "geotab", state, since: at(0), ...unknown };
}

function incident(where: string, first: number, last: number, causes: [string, number, number][]) {
  const state: IncidentState = {
    kind: "device_login_refused",
    where,
    since: at(first),
    lastAt: at(last),
    count: causes.reduce((sum, [, , count]) => sum + count, 0),
    subjects: causes.map(([name, lastAt, count]) => ({
      ...{ name, since: at(first), lastAt: at(lastAt), until: at(lastAt), count },
      facts: { told: String(lastAt) },
    })),
  };
  return state;
}

describe("a broker", () => {
  it("is shown as by the process that holds its session, in either order", () => {
    const [holder, other] = [broker("connected", { unacked: 4 }), broker("standby", { unacked: 0 })];
    const expected = [{ ...holder, unacked: 4 }];
    expect(ofAllProcesses(facts({ brokers: [holder] }), [facts({ brokers: [other] })]).brokers).toEqual(
      expected,
    );
    expect(ofAllProcesses(facts({ brokers: [other] }), [facts({ brokers: [holder] })]).brokers).toEqual(
      expected,
    );
  });

  it("is as bad as where it is worst, with that one's reason, and what all have not stored", () => {
    const states = ["connected", "refused", "connecting"] as const;
    const [own, ...others] = states.map((state) => facts({ brokers: [broker(state)] }));
    const { brokers } = ofAllProcesses(own ?? facts(), others);
    expect(brokers).toEqual([broker("refused", { unacked: 3 })]);
  });

  it("that is embedded has the devices of every process", () => {
    const embedded = (clients: number) =>
      facts({ brokers: [broker("connected", { name: "listen", kind: "embedded", clients })] });
    const { brokers } = ofAllProcesses(embedded(3), [embedded(4), embedded(5)]);
    expect(brokers).toMatchObject([{ name: "listen", clients: 12, unacked: 3 }]);
  });

  it("stays apart from another one", () => {
    const other = broker("disconnected", { name: "depot" });
    const { brokers } = ofAllProcesses(facts({ brokers: [broker("connected")] }), [
      facts({ brokers: [other] }),
    ]);
    expect(brokers).toEqual([broker("connected"), other]);
  });
});

it("a poller is shown as by the process that polls", () => {
  const [polls, waits] = [facts({ pollers: [poller("failing")] }), facts({ pollers: [poller("standby")] })];
  expect(ofAllProcesses(polls, [waits]).pollers).toEqual([poller("failing")]);
  expect(ofAllProcesses(waits, [polls]).pollers).toEqual([poller("failing")]);
});

describe("incidents", () => {
  it("of one kind and place are one: from the first to the last, with every cause once and all counts", () => {
    const own = facts({
      incidents: [
        incident("source vans", 5, 20, [
          ["van-1", 20, 2],
          ["van-2", 6, 1],
        ]),
      ],
    });
    const other = facts({
      incidents: [
        incident("source vans", 2, 30, [
          ["van-3", 30, 4],
          ["van-1", 10, 8],
        ]),
      ],
    });
    for (const { incidents } of [ofAllProcesses(own, [other]), ofAllProcesses(other, [own])]) {
      expect(incidents).toHaveLength(1);
      expect(incidents[0]).toMatchObject({ since: at(2), lastAt: at(30), count: 15 });
      expect(incidents[0]?.subjects.map(({ name, count, facts }) => [name, count, facts.told])).toEqual([
        ["van-3", 4, "30"],
        ["van-1", 10, "20"],
        ["van-2", 1, "6"],
      ]);
      // A cause goes on since its first time, wherever that was seen.
      expect(incidents[0]?.subjects.find(({ name }) => name === "van-1")?.since).toBe(at(2));
    }
  });

  it("of different places stay apart, the oldest first", () => {
    const later = incident("source vans", 9, 10, [["van-1", 10, 1]]);
    const earlier = incident("source cars", 1, 2, [["car-1", 2, 1]]);
    const { incidents } = ofAllProcesses(facts({ incidents: [later] }), [facts({ incidents: [earlier] })]);
    expect(incidents).toEqual([earlier, later]);
  });
});

it("a wrong clock is named once, as this process knows it", () => {
  const clock = (source: string, deviceId: string, text: string) => ({
    ...{ source, deviceId, offsetMs: 0, text, looksLikeTimeZone: false },
  });
  const { clocks } = ofAllProcesses(facts({ clocks: [clock("vans", "1", "own")] }), [
    facts({ clocks: [clock("vans", "1", "another's"), clock("vans", "2", "another's")] }),
  ]);
  expect(clocks).toHaveLength(2);
  expect(clocks).toContainEqual(clock("vans", "1", "own"));
  expect(clocks).toContainEqual(clock("vans", "2", "another's"));
});

it("a mapping that another process cannot use is told; a spool is of this machine alone", () => {
  const mapping = { file: "fleet.csv", sinceMs: 1, problems: ["line 7: device is missing"], rowsReadAtMs: 0 };
  const spool = { messages: 9, bytes: 900, maxBytes: 1000, oldestAt: at(0), spooled: 9, replayed: 0 };
  expect(ofAllProcesses(facts(), [facts(), facts({ mapping, spool })])).toEqual(facts({ mapping }));
  expect(ofAllProcesses(facts({ spool }), [facts()]).spool).toEqual(spool);
});
