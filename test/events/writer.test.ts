import { Writable } from "node:stream";
import { Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import type { AttemptEvent } from "../../src/events/events.ts";
import { createLogger } from "../../src/events/log.ts";
import { createEvents } from "../../src/events/writer.ts";
import { createIngest } from "../../src/ingest/ingest.ts";
import { StoreError } from "../../src/ingest/store.ts";

function setUp(more: { perDestination?: boolean } = {}) {
  const lines: Record<string, unknown>[] = [];
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)));
      done();
    },
  });
  const registry = new Registry();
  const events = createEvents({ logger: createLogger({ level: "debug", destination }), registry, ...more });
  /** The line of the scrape that begins so, without its beginning. */
  const scraped = async (series: string) => {
    const text = await registry.metrics();
    return text
      .split("\n")
      .find((line) => line.startsWith(`${series} `))
      ?.slice(series.length + 1);
  };
  return { events, lines, registry, scraped };
}

const ATTEMPT: AttemptEvent = {
  destination: "acme",
  scope: "7f3a.1015",
  batchId: "b-1",
  lane: 2,
  pings: 100,
  bytes: 31_000,
  outcome: "delivered",
  reason: null,
  status: 200,
  tookMs: 120,
  traceId: null,
  detail: "",
  oldestPingAgeMs: 2_000,
  newestPingAgeMs: 900,
  decision: "done",
};

describe("events", () => {
  it("are what ingest wants to tell", async () => {
    const { events, lines, scraped } = setUp();
    const store = { add: () => Promise.reject(new Error("unused")), refuse: () => undefined };
    const ingest = createIngest({ store, events: { ...events, fixSeen: () => undefined } });
    expect(ingest).toBeDefined();
    events.messageDeferred({
      source: "vans",
      reason: "buffer_full",
      error: new StoreError("buffer_full", 5),
    });
    expect(await scraped('waypost_deferred_messages_total{source="vans",reason="buffer_full"}')).toBe("1");
    expect(lines[0]).toMatchObject({ level: "error", event: "messageDeferred", source: "vans" });
  });

  it("count what goes wrong with the spool from zero, each kind by itself", async () => {
    const { events, lines, scraped } = setUp();
    const damaged = 'waypost_spool_problems_total{what="damaged"}';
    expect(await scraped(damaged)).toBe("0");
    events.spoolProblem({ what: "damaged", detail: "12 bytes" });
    events.spoolProblem({ what: "write", error: new Error("no space left") });
    expect(await scraped(damaged)).toBe("1");
    expect(lines).toMatchObject([
      { level: "warn", event: "spoolProblem", what: "damaged", detail: "12 bytes" },
      { level: "error", event: "spoolProblem", what: "write", err: { message: "no space left" } },
    ]);
  });

  it("count what vendors that are asked answer, and tell when fixes stop coming in", async () => {
    const { events, lines, scraped } = setUp();
    events.pollMade({ source: "vans", outcome: "page", status: 200, tookMs: 80 });
    events.pollStateChanged({ source: "vans", state: "refused", reason: "forbidden", detail: "HTTP 403" });
    events.pollGap({ source: "vans", from: "2026-10-01T00:00:00.000Z", to: "2026-11-01T00:00:00.000Z" });
    expect(await scraped('waypost_polls_total{source="vans",outcome="page"}')).toBe("1");
    expect(lines.map(({ level, event }) => [level, event])).toEqual([
      ["debug", "pollMade"],
      ["error", "pollStateChanged"],
      ["error", "pollGap"],
    ]);
  });

  it("tell an attempt in one wide line and count it by outcome", async () => {
    const { events, lines, scraped } = setUp();
    events.attemptMade(ATTEMPT);
    events.attemptMade({
      ...ATTEMPT,
      outcome: "unavailable",
      reason: "timeout",
      status: null,
      decision: "return",
    });
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatchObject({ level: "info", event: "attemptMade", ...ATTEMPT });
    expect(lines[1]).toMatchObject({ level: "warn", reason: "timeout", status: null });
    const attempts = "waypost_attempts_total";
    expect(await scraped(`${attempts}{destination="acme",outcome="delivered",status="200"}`)).toBe("1");
    expect(await scraped(`${attempts}{destination="acme",outcome="unavailable",status="none"}`)).toBe("1");
    expect(await scraped('waypost_attempt_seconds_sum{destination="acme"}')).toBe("0.24");
    expect(await scraped('waypost_attempt_bytes_total{destination="acme"}')).toBe("62000");
  });

  it("hold back the lines of a flood, but count every one", async () => {
    const { events, lines, scraped } = setUp();
    for (let count = 0; count < 500; count += 1) {
      events.messageRefused({ source: "vans", reason: "unauthenticated", why: "wrong_signature" });
    }
    // One line, or two when the machine needed longer than a second.
    expect(lines.length).toBeLessThan(50);
    expect(lines[0]).toMatchObject({ event: "messageRefused", source: "vans", why: "wrong_signature" });
    expect(await scraped('waypost_events_total{event="messageRefused"}')).toBe("500");
  });

  it("let no stranger make a new time series or a long line", async () => {
    const { events, lines, registry } = setUp();
    const series = async () => (await registry.metrics()).split("\n").length;
    events.sourceUnknown({ name: "first", remoteAddress: null });
    events.deviceRefused({ client: "first", reason: "bad_login" });
    const reason = { destination: "acme", batchId: "b", pings: 1, message: "no" };
    events.pingsDeadLettered({ ...reason, reason: "Unit 1 is not known" });
    const before = await series();
    for (let count = 0; count < 100; count += 1) {
      events.sourceUnknown({ name: `${count}`.repeat(1000), remoteAddress: null });
      events.deviceRefused({ client: `${count}`.repeat(1000), reason: "bad_login" });
      events.pingsDeadLettered({ ...reason, reason: `Unit ${count} is not known` });
    }
    expect(await series()).toBe(before);
    expect(Math.max(...lines.map((line) => JSON.stringify(line).length))).toBeLessThan(400);
  });

  it("count where the pings of a batch went", async () => {
    const { events, scraped } = setUp();
    const ends = { delivered: 97, deadLettered: 2, expired: 1, superseded: 0, returned: 0 };
    events.batchSettled({ destination: "acme", batchId: "b-1", lane: 0, ...ends });
    const settled = (end: string) => scraped(`waypost_settled_pings_total{destination="acme",end="${end}"}`);
    expect(await settled("delivered")).toBe("97");
    // Told one by one, each with its reason; those that Redis decides on are told then, too.
    const refused = {
      destination: "acme",
      batchId: "b-1",
      pings: 2,
      reason: "failed",
      message: "no such unit",
    };
    events.pingsDeadLettered(refused);
    expect(await settled('deadLettered",reason="failed')).toBe("2");
    expect(await settled("superseded")).toBeUndefined();
  });

  it("measure in seconds", async () => {
    const { events, scraped } = setUp();
    events.webhookAnswered(200, 12);
    events.storeTook(3);
    events.deliveryLatency("acme", 1_400);
    expect(await scraped('waypost_webhook_answer_seconds_sum{status="200"}')).toBe("0.012");
    expect(await scraped("waypost_store_seconds_sum")).toBe("0.003");
    expect(await scraped('waypost_delivery_latency_seconds_sum{destination="acme"}')).toBe("1.4");
  });

  it("measure all destinations together where there are too many of them", async () => {
    const { events, scraped } = setUp({ perDestination: false });
    events.deliveryLatency("acme", 1_400);
    events.deliveryLatency("blue", 600);
    events.attemptMade({ ...ATTEMPT, tookMs: 120 });
    expect(await scraped("waypost_delivery_latency_seconds_sum")).toBe("2");
    expect(await scraped("waypost_attempt_seconds_count")).toBe("1");
    expect(await scraped('waypost_attempts_total{destination="acme",outcome="delivered",status="200"}')).toBe(
      "1",
    );
  });

  it("raise their voice with what happened", () => {
    const { events, lines } = setUp();
    const gate = { scope: "7f3a.1015", destination: "acme", reason: "forbidden", untilMs: null };
    events.gateChanged({ ...gate, state: "blocked" });
    events.gateChanged({ ...gate, state: "paused", reason: "throttled" });
    events.gateChanged({ ...gate, state: "open", reason: null });
    events.loopDelay({ p99Ms: 20, maxMs: 999 });
    events.loopDelay({ p99Ms: 20, maxMs: 1_500 });
    expect(lines.map(({ level, event }) => `${level} ${event}`)).toEqual([
      "error gateChanged",
      "warn gateChanged",
      "info gateChanged",
      "warn loopDelay",
    ]);
  });
});
