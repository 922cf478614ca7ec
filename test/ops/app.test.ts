import { describe, expect, it, onTestFinished, vi } from "vitest";
import { BEARER, OURS, opsApp, TOKEN } from "./ops-app.ts";
import { destination, healthy, source, troubled } from "./sample.ts";

const BEHIND_TOKEN = [
  "/",
  "/page.js",
  "/page/dom.js",
  "/api/v1/status",
  "/metrics",
  "/api/v1/quarantine",
  "/api/v1/dead-letters",
  "/api/v1/gps-pings",
  "/api/v1/unit-pings",
  "/api/v1/events",
  "/api/v1/openapi.json",
  "/api/v1/quarantine/1795199803000-0",
  "/nothing",
];

const login = (token: string) => ({ method: "POST", headers: OURS, body: new URLSearchParams({ token }) });

/** The session cookie of a login, as a browser would send it back. */
async function sessionOf(app: ReturnType<typeof opsApp>["app"]): Promise<string> {
  const answer = await app.request("/login", login(TOKEN));
  expect(answer.status).toBe(303);
  return (answer.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
}

describe("probes", () => {
  it("are open and answer one word", async () => {
    const { app } = opsApp();
    for (const path of ["/healthz", "/readyz"]) {
      const answer = await app.request(path);
      expect(answer.status).toBe(200);
      expect(await answer.json()).toEqual({ status: "ok" });
    }
  });

  it.each([
    ["not ready", async () => ({ ready: false, problems: ["Redis has no AOF at redis://10.0.0.7"] })],
    ["unable to say", () => Promise.reject(new Error("redis://10.0.0.7"))],
    ["hanging", () => new Promise<never>(() => undefined)],
  ])("say unavailable, and no more, when %s", async (_, ready) => {
    const { app } = opsApp({ ready });
    const answer = await app.request("/readyz");
    expect(answer.status).toBe(503);
    expect(await answer.json()).toEqual({ status: "unavailable" });
    expect((await app.request("/healthz")).status).toBe(200);
  });
});

describe("the door", () => {
  it.each(BEHIND_TOKEN)("is shut at %s", async (path) => {
    const { app, state } = opsApp();
    for (const headers of [
      {},
      { authorization: "Bearer wrong" },
      { cookie: "waypost_session=9999999999999.forged" },
    ]) {
      const answer = await app.request(path, { headers: { ...headers } });
      if (path === "/" && !("authorization" in headers)) {
        expect(answer.status).toBe(303);
        expect(answer.headers.get("location")).toBe("/login");
      } else {
        expect(answer.status).toBe(401);
        expect(answer.headers.get("www-authenticate")).toBe("Bearer");
      }
    }
    // Neither as a query parameter: an address ends up in logs and histories.
    expect((await app.request(`${path}?token=${encodeURIComponent(TOKEN)}`)).status).not.toBe(200);
    expect(state.asked).toBe(0);
  });

  it("opens to the token", async () => {
    const { app } = opsApp();
    for (const path of [
      "/",
      "/page.js",
      "/api/v1/status",
      "/metrics",
      "/api/v1/quarantine",
      "/api/v1/dead-letters",
    ]) {
      expect((await app.request(path, BEARER)).status, path).toBe(200);
    }
  });

  it("opens to a session, which carries no token and no script can read", async () => {
    const { app } = opsApp();
    const answer = await app.request("/login", login(TOKEN));
    const cookie = answer.headers.get("set-cookie") ?? "";
    expect(answer.headers.get("location")).toBe("/");
    expect(cookie).toMatch(/; HttpOnly/);
    expect(cookie).toMatch(/; SameSite=Strict/);
    expect(cookie).toMatch(/; Max-Age=43200/);
    expect(cookie).not.toMatch(/Secure/);
    expect(decodeURIComponent(cookie)).not.toContain(TOKEN);
    const session = cookie.split(";")[0] ?? "";
    expect((await app.request("/api/v1/status", { headers: { cookie: session } })).status).toBe(200);
  });

  it("marks the session secure behind TLS", async () => {
    const { app } = opsApp();
    const answer = await app.request("/login", {
      ...login(TOKEN),
      headers: { "x-forwarded-proto": "https", origin: "https://localhost" },
    });
    expect(answer.headers.get("set-cookie")).toMatch(/; Secure/);
  });

  it("refuses a session with a later end, of another token, or cut short", async () => {
    const { app } = opsApp();
    const session = await sessionOf(app);
    const [name = "", id = "", end = "", signature = ""] = session.replace("waypost_session=", "").split(".");
    const other = await sessionOfOther();
    for (const forged of [
      `${name}.${id}.${Number(end) + 1}.${signature}`,
      `${name}.${id.replace(/^./, (digit) => (digit === "0" ? "1" : "0"))}.${end}.${signature}`,
      `${name}.${id}.${end}.`,
      `${name}.${id}.${end}`,
      `${name}.${id}..${signature}`,
      `other.${id}.${end}.${signature}`,
      `.${signature}`,
      other,
    ]) {
      const cookie = `waypost_session=${forged.replace("waypost_session=", "")}`;
      expect((await app.request("/api/v1/status", { headers: { cookie } })).status, forged).toBe(401);
    }
    async function sessionOfOther() {
      const token = "another token altogether";
      const tokens = [{ name: "token", token, role: "operate", destinations: null }] as const;
      const answer = await opsApp({ tokens: () => tokens }).app.request("/login", login(token));
      return (answer.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
    }
  });

  it("ends the session at logout", async () => {
    const { app } = opsApp();
    const answer = await app.request("/logout", {
      method: "POST",
      headers: { ...OURS, cookie: await sessionOf(app) },
    });
    expect(answer.headers.get("location")).toBe("/login");
    expect(answer.headers.get("set-cookie")).toMatch(/waypost_session=;.*Max-Age=0/);
  });

  it("tires of wrong tokens, and repeats nothing of them", async () => {
    // What a guess costs comes back with time, and a busy machine lets some pass between two.
    vi.useFakeTimers({ toFake: ["performance"] });
    onTestFinished(() => void vi.useRealTimers());
    const { app } = opsApp();
    for (let attempt = 0; attempt < 10; attempt += 1) {
      const answer = await app.request("/login", login("<script>wrong</script>"));
      expect(answer.status).toBe(401);
      expect(await answer.text()).not.toContain("<script>");
    }
    const answer = await app.request("/login", login("still wrong"));
    expect(answer.status).toBe(429);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    // Whoever has the token is not shut out by somebody else's guessing: behind a proxy all have one address.
    expect((await app.request("/api/v1/status", BEARER)).status).toBe(200);
    expect((await app.request("/login", login(TOKEN))).status).toBe(303);
    expect((await app.request("/login", login("still wrong"))).status).toBe(429);
  });

  it("refuses a large login", async () => {
    const { app } = opsApp();
    const body = new URLSearchParams({ token: "x".repeat(100_000) }).toString();
    const headers = {
      ...OURS,
      "content-type": "application/x-www-form-urlencoded",
      "content-length": String(body.length),
    };
    expect((await app.request("/login", { method: "POST", body, headers })).status).toBe(413);
  });

  it("sends every answer with the same strict headers", async () => {
    const { app } = opsApp();
    for (const path of ["/healthz", "/login", "/page.css", "/nothing", "/api/v1/status", "/"]) {
      const { headers } = await app.request(path, path === "/login" ? {} : BEARER);
      const policy = headers.get("content-security-policy") ?? "";
      expect(policy, path).toContain("default-src 'none'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toContain("unsafe");
      expect(headers.get("cache-control")).toBe("no-store");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("referrer-policy")).toBe("no-referrer");
    }
  });
});

describe("old routes", () => {
  it.each(["/status", "/quarantine", "/dead-letters", "/trail", "/pings", "/gps-pings"])(
    "have no %s",
    async (path) => {
      expect((await opsApp().app.request(path, BEARER)).status).toBe(404);
    },
  );
});

describe("/metrics", () => {
  const scrape = async ({ app }: ReturnType<typeof opsApp>) => {
    const answer = await app.request("/metrics", BEARER);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toContain("text/plain; version=0.0.4");
    return (await answer.text()).split("\n");
  };

  it("have every term of the identity for every source", async () => {
    const ops = opsApp();
    ops.state.status = troubled();
    const lines = await scrape(ops);
    const valuesOf = (start: string) =>
      lines.filter((line) => line.startsWith(start)).map((line) => Number(line.split(" ").at(-1)));
    const sum = (values: number[]) => values.reduce((all, value) => all + value, 0);
    for (const { name, accounting } of ops.state.status.sources) {
      const values = lines
        .filter((line) => line.includes(`{source="${name}"}`))
        .map((line) => Number(line.split(" ").at(-1)));
      // These two are told by reason.
      const { refused, rejected, ...others } = accounting;
      for (const [term, value] of Object.entries(others)) expect(values, `${name} ${term}`).toContain(value);
      expect(sum(valuesOf(`waypost_messages_refused_total{source="${name}",reason=`))).toBe(refused);
      expect(sum(valuesOf(`waypost_readings_rejected_total{source="${name}",reason=`))).toBe(rejected);
    }
    expect(lines).toContain('waypost_pings_delivered_total{source="bouncie-vans"} 44201');
    expect(lines).toContain('waypost_pings_in_flight{source="bouncie-vans"} 100');
    expect(lines).toContain('waypost_accounting_mismatch{source="motive",line="stored"} 0');
    expect(lines).toContain(
      'waypost_readings_rejected_total{source="bouncie-vans",reason="null_island"} 301',
    );
  });

  it("do not fall when dead letters and quarantine are redriven", async () => {
    const ops = opsApp();
    ops.state.status = troubled();
    const [source] = ops.state.status.sources;
    if (!source) throw new Error("no source");
    source.redriven = { messages: 5, pings: 2 };
    const { accounting } = source;
    const lines = await scrape(ops);
    for (const line of [
      `waypost_messages_total{source="bouncie-vans"} ${accounting.messages + 5}`,
      `waypost_messages_malformed_total{source="bouncie-vans"} ${accounting.malformed + 5}`,
      `waypost_pings_dead_lettered_total{source="bouncie-vans"} ${accounting.deadLettered + 2}`,
      'waypost_redriven_messages_total{source="bouncie-vans"} 5',
      'waypost_redriven_pings_total{source="bouncie-vans"} 2',
    ]) {
      expect(lines).toContain(line);
    }
  });

  it("have each destination's waiting, age, freshness and gates, and Redis, brokers and problems", async () => {
    const ops = opsApp();
    ops.state.status = troubled();
    const lines = await scrape(ops);
    for (const line of [
      'waypost_destination_waiting_pings{destination="blue-plumbing"} 1218',
      'waypost_destination_oldest_waiting_age_seconds{destination="blue-plumbing"} 412',
      'waypost_destination_newest_accepted_age_seconds{destination="blue-plumbing"} 415',
      'waypost_freshness_seconds{destination="blue-plumbing",quantile="0.5"} 417',
      'waypost_freshness_seconds{destination="blue-plumbing",quantile="0.95"} 420',
      'waypost_freshness_seconds{destination="blue-plumbing",quantile="1"} 421',
      'waypost_destination_silent_units{destination="acme-austin"} 2',
      'waypost_gate_state{destination="acme-austin",gate="scope",state="paused"} 1',
      'waypost_gate_state{destination="acme-austin",gate="scope",state="open"} 0',
      'waypost_gate_state{destination="acme-austin",gate="destination",state="open"} 1',
      "waypost_redis_append_only 1",
      "waypost_status_available 1",
      'waypost_broker_connected{broker="yard"} 1',
      'waypost_broker_clients{broker="listen"} 41',
      `waypost_build_info{version="9.8.7",node="${process.version}"} 1`,
      "waypost_status_exporter 1",
      "waypost_of_this_process_total 3",
    ]) {
      expect(lines).toContain(line);
    }
    expect(lines.some((line) => /^waypost_problems\{severity="error"\} [1-9]/.test(line))).toBe(true);
  });

  it("leave out what is unknown, and still answer without the queue", async () => {
    const ops = opsApp();
    ops.state.status = healthy({
      sources: [source({ lastMessageAt: null })],
      destinations: [destination({ newestAcceptedAgeMs: null, oldestWaitingAgeMs: null })],
    });
    const lines = await scrape(ops);
    expect(lines.some((line) => line.startsWith("waypost_destination_newest_accepted_age_seconds{"))).toBe(
      false,
    );
    expect(lines.some((line) => line.startsWith("waypost_source_last_message_timestamp_seconds{"))).toBe(
      false,
    );
    expect(lines).toContain('waypost_destination_oldest_waiting_age_seconds{destination="acme-austin"} 0');
    ops.state.fault = new Error("gone");
    const without = await scrape(ops);
    expect(without).toContain("waypost_status_available 0");
    expect(without).toContain("waypost_of_this_process_total 3");
    expect(without.some((line) => line.startsWith("waypost_messages_total{"))).toBe(false);
  });
});
