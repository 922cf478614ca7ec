import { describe, expect, it } from "vitest";
import { opsApp, TOKEN } from "../ops-app.ts";

const authorized = { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" };

describe("redriving over the ops endpoint", () => {
  const { app, state } = opsApp();
  const post = (path: string, body: unknown, headers: Record<string, string> = authorized) =>
    app.request(path, { method: "POST", headers, body: JSON.stringify(body) });

  it("needs the token", async () => {
    expect((await post("/api/v1/dead-letters/redrive", { mode: "do" }, {})).status).toBe(401);
    expect((await app.request("/api/v1/quarantine/export")).status).toBe(401);
  });

  it("hands on the filter with times as milliseconds", async () => {
    const response = await post("/api/v1/quarantine/redrive", {
      mode: "dry_run",
      source: "vans",
      from: "2026-11-20T10:00:00+01:00",
    });
    expect(response.status).toBe(200);
    expect(state.redrives).toEqual([
      { what: "quarantine", mode: "dry_run", filter: { source: "vans", from: Date.UTC(2026, 10, 20, 9) } },
    ]);
  });

  it.each([
    [{}, "mode"],
    [{ mode: "maybe" }, "mode"],
    [{ mode: "do", vehicle: "7" }, "vehicle"],
    [{ mode: "do", to: "yesterday" }, "to"],
    ["nonsense", "body"],
  ])("refuses %j and names the problem", async (body, named) => {
    const response = await post("/api/v1/dead-letters/redrive", body);
    expect(response.status).toBe(400);
    expect(JSON.stringify(await response.json())).toContain(named);
  });

  it.each(["quarantine", "dead-letters"])("takes no GET for a redrive of the %s", async (what) => {
    const response = await app.request(`/api/v1/${what}/redrive`, { headers: authorized });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("POST");
  });

  it("exports a line of JSON each", async () => {
    const response = await app.request("/api/v1/dead-letters/export?unit=7", { headers: authorized });
    expect(response.headers.get("content-type")).toBe("application/x-ndjson");
    expect(await response.text()).toBe('{"id":"1-0"}\n{"id":"2-0"}\n');
  });
});
