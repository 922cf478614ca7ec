/** Which vehicles of a snapshot say something new. */

import { expect, it } from "vitest";
import { changedRows } from "../../../src/adapters/kit/unchanged.ts";

const SINCE = 1000;

interface Row {
  device: string | null;
  at: number | null;
}

const stateOf = ({ device, at }: Row) =>
  device === null ? null : { device, state: String(at), fixTime: at };

/** What is sent of each of these rounds. */
function sentOf(...rounds: Row[][]): Row[][] {
  let sent: ReadonlyMap<string, string> = new Map();
  return rounds.map((rows) => {
    const changed = changedRows(rows, stateOf, sent, SINCE);
    sent = changed.sent;
    return changed.rows;
  });
}

it("sends a vehicle when it has moved on, and not again", () => {
  const [first, later] = [
    { device: "a", at: 2000 },
    { device: "a", at: 2001 },
  ];
  expect(sentOf([first], [first], [later], [later], [first])).toEqual([[first], [], [later], [], [first]]);
});

it("only remembers a vehicle that stands parked when it is seen first, and sends it once it moves", () => {
  const [parked, moving] = [
    { device: "a", at: 999 },
    { device: "a", at: 2000 },
  ];
  expect(sentOf([parked], [parked], [moving], [parked])).toEqual([[], [], [moving], [parked]]);
});

it("sends what names no device, and what says no time that can be read", () => {
  const odd = [
    { device: null, at: 1 },
    { device: "a", at: null },
    { device: "b", at: Number.NaN },
  ];
  expect(sentOf(odd, odd)).toEqual([odd, [odd[0]]]);
});

it("leaves what it was given as it is, so that a page which is lost is sent again", () => {
  const rows = [{ device: "a", at: 2000 }];
  const sent = new Map<string, string>();
  expect(changedRows(rows, stateOf, sent, SINCE).rows).toEqual(rows);
  expect(sent.size).toBe(0);
});
