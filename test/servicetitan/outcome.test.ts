import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { redactor } from "../../src/servicetitan/answer.ts";
import { classify } from "../../src/servicetitan/outcome.ts";

const NOW = Date.UTC(2026, 10, 20, 12, 0, 0);
const SECRETS = ["the-access-token", "cs1.the-secret", "cid.the-client", "ak1.the-app-key"];
const IDS = ["v:1:10", "v:2:10", "v:3:10"];

function outcomeFor(
  status: number,
  body: string | null,
  headers: Record<string, string | string[]> = {},
  ids = IDS,
) {
  return classify({ status, headers, body }, ids, { now: NOW, redact: redactor(SECRETS) });
}
const success = (externalId: string) => ({ externalId, status: "Success", message: "" });
const fail = (externalId: string, message = "Unknown unit") => ({ externalId, status: "Fail", message });

describe("an accepted request", () => {
  test("is delivered when every ping succeeded, in whatever order", () => {
    expect(outcomeFor(200, JSON.stringify(IDS.map(success)))).toEqual({
      outcome: { kind: "delivered" },
      traceId: null,
      detail: "",
    });
    expect(outcomeFor(200, JSON.stringify(IDS.map(success).reverse())).outcome).toEqual({
      kind: "delivered",
    });
  });

  test("is split ping by ping, by externalId", () => {
    const body = JSON.stringify([
      success("v:3:10"),
      fail("v:1:10", "<b>Unknown</b> unit"),
      success("v:9:99"),
    ]);
    expect(outcomeFor(200, body)).toEqual({
      outcome: {
        kind: "partial",
        failed: [{ externalId: "v:1:10", accepted: false, message: "Unknown unit" }],
        missing: ["v:2:10"],
      },
      traceId: null,
      detail: "HTTP 200: of 3 pings 1 refused, 1 missing",
    });
  });

  test("results for pings that were not sent change nothing", () => {
    expect(outcomeFor(200, JSON.stringify([...IDS, "v:4:10"].map(success))).outcome).toEqual({
      kind: "delivered",
    });
  });

  test("a ping with two results is accepted if it was accepted once", () => {
    const body = JSON.stringify([...IDS.map(success), fail("v:2:10", "Duplicate")]);
    expect(outcomeFor(200, body).outcome).toEqual({ kind: "delivered" });
  });

  test("a status it does not document leaves the ping missing", () => {
    const body = JSON.stringify([
      success("v:1:10"),
      success("v:2:10"),
      { externalId: "v:3:10", status: "Queued" },
    ]);
    expect(outcomeFor(200, body).outcome).toEqual({ kind: "partial", failed: [], missing: ["v:3:10"] });
  });

  test.each([
    ["nothing", ""],
    ["half of it", '[{"externalId":"v:1:10","sta'],
    ["HTML", "<html>Welcome</html>"],
    ["an object", '{"results":[]}'],
    ["null", "null"],
    ["too much", null],
  ])("with %s for results, all are missing", (_, body) => {
    expect(outcomeFor(200, body).outcome).toEqual({ kind: "partial", failed: [], missing: IDS });
  });

  test("whatever is in the list, each ping is accepted, failed or missing, and one only", () => {
    const ids = fc.constantFrom(...IDS, "other");
    const item = fc.oneof(
      fc.record({
        externalId: ids,
        status: fc.constantFrom("Success", "Fail", "success", "", 7, null),
        message: fc.json(),
      }),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(fc.array(item), (items) => {
        const { outcome } = outcomeFor(201, JSON.stringify(items));
        const told = (id: string, word: string) =>
          items.some((each) => {
            const { externalId, status } = (each ?? {}) as Record<string, unknown>;
            return externalId === id && String(status).toLowerCase() === word;
          });
        const accepted = IDS.filter((id) => told(id, "success"));
        const failed = IDS.filter((id) => !told(id, "success") && told(id, "fail"));
        const missing = IDS.filter((id) => !accepted.includes(id) && !failed.includes(id));
        if (failed.length + missing.length === 0) expect(outcome).toEqual({ kind: "delivered" });
        else {
          expect(outcome).toMatchObject({ kind: "partial", missing });
          expect(outcome.kind === "partial" && outcome.failed.map(({ externalId }) => externalId)).toEqual(
            failed,
          );
        }
      }),
    );
  });
});

describe("every other status", () => {
  test.each([
    [400, { kind: "refused", reason: "told" }],
    [422, { kind: "refused", reason: "told" }],
    [413, { kind: "oversize" }],
    [429, { kind: "throttled", afterMs: null }],
    [408, { kind: "unavailable", reason: "http_408", afterMs: null }],
    [500, { kind: "unavailable", reason: "http_500", afterMs: null }],
    [502, { kind: "unavailable", reason: "http_502", afterMs: null }],
    [503, { kind: "unavailable", reason: "http_503", afterMs: null }],
    [504, { kind: "unavailable", reason: "http_504", afterMs: null }],
    [599, { kind: "unavailable", reason: "http_599", afterMs: null }],
    [401, { kind: "blocked", reason: "unauthorized" }],
    [403, { kind: "blocked", reason: "forbidden" }],
    [404, { kind: "blocked", reason: "not_found" }],
    [301, { kind: "blocked", reason: "redirect" }],
    [302, { kind: "blocked", reason: "redirect" }],
    [307, { kind: "blocked", reason: "redirect" }],
    [304, { kind: "blocked", reason: "redirect" }],
    [402, { kind: "blocked", reason: "http_402" }],
    [405, { kind: "blocked", reason: "http_405" }],
    [409, { kind: "blocked", reason: "http_409" }],
    [415, { kind: "blocked", reason: "http_415" }],
    [451, { kind: "blocked", reason: "http_451" }],
    [600, { kind: "blocked", reason: "http_600" }],
    [999, { kind: "blocked", reason: "http_999" }],
  ])("%i", (status, outcome) => {
    expect(outcomeFor(status, "told").outcome).toEqual(outcome);
    expect(outcomeFor(status, "told").detail).toBe(`HTTP ${status}: told`);
  });

  test("a 400 without a word still has a reason", () => {
    expect(outcomeFor(400, "")).toEqual({
      outcome: { kind: "refused", reason: "HTTP 400" },
      traceId: null,
      detail: "HTTP 400",
    });
  });
});

describe("the text of an error", () => {
  test("ServiceTitan's own: title, properties, trace", () => {
    const body = JSON.stringify({
      type: "https://tools.ietf.org/html/rfc7231#section-6.5.1",
      title: "One or more validation errors occurred.",
      status: 400,
      traceId: "00-84c1fd4063c38d9f3900d06e56542d48-85d1d4-00",
      errors: { "[3].EventTime": ["The value is not valid."], "[4].UnitId": ["Required.", "Too short."] },
      data: {},
    });
    expect(outcomeFor(400, body)).toEqual({
      outcome: {
        kind: "refused",
        reason:
          "One or more validation errors occurred.; [3].EventTime: The value is not valid.; [4].UnitId: Required. Too short.",
      },
      traceId: "00-84c1fd4063c38d9f3900d06e56542d48-85d1d4-00",
      detail:
        "HTTP 400: One or more validation errors occurred.; [3].EventTime: The value is not valid.; [4].UnitId: Required. Too short.",
    });
  });

  test.each([
    [
      "the gateway's",
      '{"statusCode":404,"message":"Unable to match incoming request to an operation."}',
      "Unable to match incoming request to an operation.",
    ],
    ["a bare JSON string", '"No such provider"', "No such provider"],
    ["plain text", "No such\r\nprovider", "No such provider"],
    ["HTML", "<html><head><title>404</title></head><body>Not here</body></html>", "404 Not here"],
    ["an unknown object", '{"code":7}', '{"code":7}'],
    ["odd errors", '{"title":"Bad","errors":{"a":"x","b":[1,null],"c":null}}', "Bad; a: x; b: ; c:"],
    ["errors in a list", '{"title":"Bad","errors":["x"]}', "Bad"],
  ])("%s", (_, body, text) => {
    expect(outcomeFor(404, body)).toMatchObject({ traceId: null, detail: `HTTP 404: ${text}` });
  });

  test("is one bounded line", () => {
    const { detail } = outcomeFor(500, `first\n\u0000second\u001b[31m${"x".repeat(100_000)}`);
    expect(detail).toMatch(/^HTTP 500: first second \[31mx+…$/);
    expect(detail.length).toBeLessThanOrEqual(320);
  });

  test("never repeats a credential, wherever it stands", () => {
    const leaks = [...SECRETS, "Bearer abc.def", "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.c2ln"];
    for (const leak of leaks) {
      for (const body of [
        leak,
        `${"x".repeat(299)}${leak}`,
        `${"x".repeat(4090)}${leak}`,
        JSON.stringify({ title: `Client ${leak} is unknown`, traceId: leak, errors: { [leak]: [leak] } }),
      ]) {
        for (const status of [400, 401, 429, 500]) {
          expect(JSON.stringify(outcomeFor(status, body))).not.toContain(
            leak.slice(0, 8) === "Bearer a" ? "abc.def" : leak,
          );
        }
      }
      const results = JSON.stringify([
        fail("v:1:10", `unit of ${leak}`),
        success("v:2:10"),
        success("v:3:10"),
      ]);
      expect(JSON.stringify(outcomeFor(200, results))).not.toContain(leak.replace("Bearer ", ""));
    }
  });

  test("thousands of unclosed tags cost nothing", () => {
    expect(outcomeFor(500, "<".repeat(1_000_000)).detail.length).toBeLessThanOrEqual(320);
  });
});

describe("how long to wait", () => {
  test.each([
    ["seconds", { "retry-after": "7" }, "", 7000],
    ["zero", { "retry-after": "0" }, "", 0],
    ["a fraction", { "retry-after": "1.5" }, "", 1500],
    ["a date, by our clock", { "retry-after": "Fri, 20 Nov 2026 12:00:30 GMT" }, "", 30_000],
    [
      "a date, by the server's clock",
      { "retry-after": "Fri, 20 Nov 2026 13:00:30 GMT", date: "Fri, 20 Nov 2026 13:00:00 GMT" },
      "",
      30_000,
    ],
    ["a date gone by", { "retry-after": "Fri, 20 Nov 2026 11:00:00 GMT" }, "", 0],
    ["a header told twice", { "retry-after": ["3", "9"] }, "", 3000],
    [
      "the gateway's words",
      {},
      '{"statusCode":429,"message":"Rate limit is exceeded. Try again in 12 seconds."}',
      12_000,
    ],
    ["one second", {}, "Try again in 1 second.", 1000],
    ["the header before the words", { "retry-after": "2" }, "Try again in 12 seconds.", 2000],
    ["the words, after an unreadable header", { "retry-after": "soon" }, "Try again in 12 seconds.", 12_000],
    ["far too long", { "retry-after": "99999999999" }, "", 86_400_000],
    ["nothing", {}, "slow down", null],
  ])("%s", (_, headers, body, afterMs) => {
    expect(outcomeFor(429, body, headers).outcome).toEqual({ kind: "throttled", afterMs });
    expect(outcomeFor(503, body, headers).outcome).toEqual({
      kind: "unavailable",
      reason: "http_503",
      afterMs,
    });
  });
});
