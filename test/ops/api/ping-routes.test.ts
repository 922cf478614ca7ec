import { describe, expect, it } from "vitest";
import { BEARER, opsApp } from "../ops-app.ts";
import { unitAnswer, wholeMessage } from "../sample.ts";

describe("/api/v1/unit-pings", () => {
  const ask = (query: string) => {
    const { app, state } = opsApp();
    return { answer: app.request(`/api/v1/unit-pings?${query}`, BEARER), state };
  };

  it("lists where a unit's pings went in the given time", async () => {
    const { answer, state } = ask(
      "destination=acme-austin&unit=+Van+7+&fromUtc=2026-11-20T12%3A00%3A00-06%3A00&toUtc=2026-11-20T19%3A00%3A00Z",
    );
    const asked = {
      destination: "acme-austin",
      unit: "Van 7",
      fromUtc: "2026-11-20T18:00:00.000Z",
      toUtc: "2026-11-20T19:00:00.000Z",
    };
    expect(await (await answer).json()).toEqual({ ...asked, ...unitAnswer() });
    expect(state.unitQueries).toEqual([asked]);
  });

  it("looks a day back by default", async () => {
    const { answer, state } = ask("destination=acme-austin&unit=7");
    expect((await answer).status).toBe(200);
    const [{ fromUtc = "", toUtc = "" } = {}] = state.unitQueries;
    expect(Date.parse(toUtc) - Date.parse(fromUtc)).toBe(86_400_000);
    expect(Math.abs(Date.parse(toUtc) - Date.now())).toBeLessThan(60_000);
  });

  it.each([
    ["no unit", "destination=acme-austin", 400],
    ["a blank unit", "destination=acme-austin&unit=+", 400],
    ["a time without a zone", "destination=acme-austin&unit=7&fromUtc=2026-11-20T12:00:00", 400],
    ["an end before its start", "destination=acme-austin&unit=7&fromUtc=2126-11-20T12:00:00Z", 400],
    [
      "more than the ledger is looked through for",
      "destination=acme-austin&unit=7&fromUtc=2020-01-01T00:00:00Z",
      400,
    ],
    ["an unknown parameter", "destination=acme-austin&unit=7&device=7", 400],
    ["an unknown destination", "destination=nowhere&unit=7", 404],
  ])("refuses %s", async (_, query, status) => {
    expect((await ask(query).answer).status).toBe(status);
  });
});

describe("/api/v1/quarantine/:id", () => {
  it("is one message, whole, and never a document that a browser runs", async () => {
    const { app } = opsApp();
    const { id, source: from } = wholeMessage();
    for (const query of ["", `?source=${from}`]) {
      const answer = await app.request(`/api/v1/quarantine/${id}${query}`, BEARER);
      expect(await answer.json()).toEqual(wholeMessage());
      expect(answer.headers.get("content-type")).toContain("application/json");
      expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    }
    for (const [path, status] of [
      [`${id}?source=others`, 404],
      ["1-1", 404],
      ["-", 400],
      ["..%2f..%2fetc", 400],
      ["%00", 400],
    ] as const) {
      expect((await app.request(`/api/v1/quarantine/${path}`, BEARER)).status, path).toBe(status);
    }
  });
});

describe("/api/v1/gps-pings", () => {
  const ask = (query: string) => {
    const { app, state } = opsApp();
    return { answer: app.request(`/api/v1/gps-pings?${query}`, BEARER), state };
  };

  it("reads back what was sent, with times in UTC", async () => {
    const { answer, state } = ask(
      "technicianId=42&fromUtc=2026-11-20T12%3A00%3A00-06%3A00&toUtc=2026-11-20T19%3A00%3A00Z",
    );
    const { items, reachesBackTo } = JSON.parse(await (await answer).text());
    expect(state.pingQueries).toEqual([
      {
        destination: "acme-austin",
        technicianId: "42",
        fromUtc: "2026-11-20T18:00:00.000Z",
        toUtc: "2026-11-20T19:00:00.000Z",
      },
    ]);
    expect(Object.keys(items[0])).toEqual(["latitude", "longitude", "speed", "heading", "utcDateTime"]);
    expect(reachesBackTo).not.toBeNull();
  });

  it.each([
    ["nothing", "", 3],
    ["a time without a zone", "technicianId=42&fromUtc=2026-11-20T12:00:00&toUtc=2026-11-20T19:00:00Z", 1],
    ["an end before its start", "technicianId=42&fromUtc=2026-11-20T12:00:00Z&toUtc=2026-11-20T11:00:00Z", 1],
    ["more than 31 days", "technicianId=42&fromUtc=2026-10-20T11:59:59Z&toUtc=2026-11-20T12:00:00Z", 1],
    [
      "an unknown parameter",
      "technicianId=42&fromUtc=2026-11-20T12:00:00Z&toUtc=2026-11-20T13:00:00Z&unit=1",
      1,
    ],
  ])("names what is wrong with %s", async (_, query, problems) => {
    const { answer, state } = ask(query);
    expect((await answer).status).toBe(400);
    expect(JSON.parse(await (await answer).text()).errors).toHaveLength(problems);
    expect(state.pingQueries).toEqual([]);
  });

  it("reveals no details of a failure, but reports it", async () => {
    const { app, state } = opsApp({ queryPings: () => Promise.reject(new Error("WRONGTYPE secret key")) });
    const answer = await app.request(
      "/api/v1/gps-pings?technicianId=4&fromUtc=2026-11-20T12:00:00Z&toUtc=2026-11-20T13:00:00Z",
      BEARER,
    );
    expect(answer.status).toBe(500);
    expect(await answer.text()).not.toContain("WRONGTYPE");
    expect(state.failures).toEqual(["ops"]);
  });
});
