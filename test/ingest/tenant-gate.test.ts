/** When a tenant's messages are taken in: limits and pauses by a clock of the test's own. */

import { expect, test } from "vitest";
import { createTenantGate, type TenantGateOptions } from "../../src/ingest/tenant-gate.ts";

function gateOf(options: Partial<TenantGateOptions>) {
  let nowMs = 0;
  const gate = createTenantGate({
    isPaused: () => false,
    isBacklogFull: () => false,
    readingsPerSecond: Number.POSITIVE_INFINITY,
    ...options,
    now: () => nowMs,
  });
  return {
    ...gate,
    later: (seconds: number) => {
      nowMs += seconds * 1000;
    },
  };
}

test("without a limit everything is taken", () => {
  const gate = gateOf({});
  gate.took(1_000_000);
  expect(gate.refusal()).toBeNull();
});

test("two seconds' worth may come at once, then as much as is allowed", () => {
  const gate = gateOf({ readingsPerSecond: 10 });
  let taken = 0;
  const takeAll = () => {
    while (gate.refusal() === null) {
      gate.took(1);
      taken += 1;
    }
  };
  takeAll();
  expect(taken).toBe(20);
  for (let tenths = 0; tenths < 600; tenths++) {
    gate.later(0.1);
    takeAll();
  }
  expect(taken).toBeGreaterThanOrEqual(20 + 599);
  expect(taken).toBeLessThanOrEqual(20 + 601);
});

test("a message larger than the limit is taken, and has to be made up for", () => {
  const gate = gateOf({ readingsPerSecond: 10 });
  gate.took(120);
  expect(gate.refusal()).toEqual({ reason: "tenant_rate", retryAfterS: 11 });
  gate.later(10);
  expect(gate.refusal()).toEqual({ reason: "tenant_rate", retryAfterS: 1 });
  gate.later(0.2);
  expect(gate.refusal()).toBeNull();
});

test("less than one reading a second is a limit, too", () => {
  const gate = gateOf({ readingsPerSecond: 0.1 });
  expect(gate.refusal()).toBeNull();
  gate.took(1);
  expect(gate.refusal()).toEqual({ reason: "tenant_rate", retryAfterS: 10 });
  gate.later(10);
  expect(gate.refusal()).toBeNull();
});

test("a pause and a full backlog turn away until they end", () => {
  const state = { isPaused: true, isFull: true };
  const gate = gateOf({ isPaused: () => state.isPaused, isBacklogFull: () => state.isFull });
  expect(gate.refusal()?.reason).toBe("tenant_paused");
  state.isPaused = false;
  expect(gate.refusal()?.reason).toBe("tenant_backlog");
  state.isFull = false;
  expect(gate.refusal()).toBeNull();
});
