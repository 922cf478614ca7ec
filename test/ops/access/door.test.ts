/** Which requests the ops endpoint takes for its own: by host, by origin, by content type, and by a session that lasts. */

import { describe, expect, it } from "vitest";
import { opsApp, TOKEN } from "../ops-app.ts";

const BEARER = { authorization: `Bearer ${TOKEN}` };
const JSON_TYPE = { "content-type": "application/json" };
type App = ReturnType<typeof opsApp>["app"];

const login = (app: App, headers: Record<string, string>) =>
  app.request("/login", { method: "POST", headers, body: new URLSearchParams({ token: TOKEN }) });
const redrive = (app: App, headers: Record<string, string>, body = '{"mode":"do"}') =>
  app.request("/api/v1/dead-letters/redrive", { method: "POST", headers, body });
const cookieOf = (answer: Response) => (answer.headers.get("set-cookie") ?? "").split(";")[0] ?? "";

async function session(app: App): Promise<string> {
  const answer = await login(app, { origin: "http://localhost" });
  expect(answer.status).toBe(303);
  return cookieOf(answer);
}

describe("the host", () => {
  it.each([
    ...["localhost", "localhost:9090", "LOCALHOST", "localhost.", "127.0.0.1:9090", "[::1]:9090", "10.1.2.3"],
    ...["[2001:db8::7]", "ops.internal", "Waypost.Example.com", "waypost.example.com:8443"],
  ])("may be %s", async (host) => {
    const { app } = opsApp({ hosts: { host: "ops.internal", hosts: ["waypost.example.com"] } });
    expect((await app.request("/api/v1/status", { headers: { ...BEARER, host } })).status).toBe(200);
  });

  it.each([
    ...[
      "evil.example",
      "evil.example:9090",
      "localhost.evil.example",
      "127.0.0.1.evil.example",
      "localhostx",
    ],
    ...[
      "waypost.example.com.evil.example",
      "x@localhost",
      "localhost@evil.example",
      "",
      " ",
      "evil.example#localhost",
    ],
  ])("may not be %j, whatever is asked and whoever asks", async (host) => {
    const { app, state } = opsApp({ hosts: { host: "127.0.0.1", hosts: ["waypost.example.com"] } });
    const cookie = await session(app);
    const before = { asked: state.asked, refused: state.refusals.length };
    for (const path of [
      "/",
      "/api/v1/status",
      "/login",
      "/page.css",
      "/api/v1/quarantine/export",
      "/nothing",
    ]) {
      const answer = await app.request(path, { headers: { cookie, ...BEARER, host } });
      expect(answer.status, path).toBe(421);
      expect(await answer.json()).toMatchObject({
        type: "urn:waypost:error:wrong_host",
        detail: expect.stringContaining("ops.hosts"),
      });
    }
    expect(
      (await login(app, { host, origin: `http://${host}`, "sec-fetch-site": "same-origin" })).status,
    ).toBe(421);
    expect(state.asked).toBe(before.asked);
    expect(state.refusals.slice(before.refused)).toEqual(Array(7).fill("wrong_host"));
    // A probe comes by whatever name the pod has.
    expect((await app.request("/healthz", { headers: { host } })).status).toBe(200);
    expect((await app.request("/readyz", { headers: { host } })).status).toBe(200);
  });

  it("is also that of the address, where a request line has one", async () => {
    const { app } = opsApp();
    const answer = await app.request("http://evil.example/status", {
      headers: { ...BEARER, host: "localhost" },
    });
    expect(answer.status).toBe(421);
  });
});

describe("what changes something", () => {
  const ours = [
    { origin: "http://localhost" },
    { "sec-fetch-site": "same-origin" },
    { origin: "http://localhost", "sec-fetch-site": "same-origin" },
    // TLS in front, whose proxy does not say so.
    { origin: "https://localhost" },
    { origin: "https://ops.example.com", host: "ops.example.com:443" },
    // The proxy asks by another name.
    { origin: "https://ops.example.com", host: "127.0.0.1:9090", "sec-fetch-site": "same-origin" },
  ];
  const theirs = [
    {},
    { origin: "null" },
    { origin: "" },
    { origin: "https://evil.example" },
    { origin: "http://localhost.evil.example" },
    { origin: "http://localhost:8080" },
    { origin: "http://localhost@evil.example" },
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
    { "sec-fetch-site": "none" },
    { origin: "http://localhost", "sec-fetch-site": "cross-site" },
    { origin: "http://localhost", "sec-fetch-site": "same-site" },
    { origin: "https://evil.example", "sec-fetch-site": "same-origin" },
    { origin: "null", "sec-fetch-site": "same-origin" },
    { origin: "https://ops.example.com", host: "127.0.0.1:9090" },
    { referer: "http://localhost/" },
  ];
  const hosts = { host: "127.0.0.1", hosts: ["ops.example.com"] };

  it.each(ours)("is accepted from a page of ours with a session: %j", async (headers) => {
    const { app } = opsApp({ hosts });
    const cookie = await session(app);
    expect((await redrive(app, { ...JSON_TYPE, ...headers, cookie })).status).toBe(200);
    expect((await login(app, headers)).status).toBe(303);
    expect((await app.request("/logout", { method: "POST", headers: { ...headers, cookie } })).status).toBe(
      303,
    );
  });

  it.each(theirs)("is refused from anywhere else: %j", async (headers) => {
    const { app, state } = opsApp({ hosts });
    const cookie = await session(app);
    for (const answer of [
      await redrive(app, { ...JSON_TYPE, ...headers, cookie }),
      await redrive(app, { "content-type": "text/plain", ...headers, cookie }),
      await login(app, { ...headers, cookie }),
      await app.request("/logout", { method: "POST", headers: { ...headers, cookie } }),
    ]) {
      expect(answer.status).toBe(403);
      expect(await answer.json()).toMatchObject({ type: "urn:waypost:error:cross_site" });
      expect(answer.headers.get("set-cookie")).toBeNull();
    }
    expect(state.refusals).toEqual(Array(4).fill("cross_site"));
    expect(state.acted.map(({ action }) => action)).toEqual(["login"]);
    // The session is still there.
    expect((await app.request("/api/v1/status", { headers: { cookie } })).status).toBe(200);
  });

  it("is accepted with a bearer token, which no website can make a browser send", async () => {
    const { app } = opsApp({ hosts });
    expect((await redrive(app, { ...BEARER, ...JSON_TYPE })).status).toBe(200);
  });

  it.each([
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "text/plain; x=application/json",
    "application/jsonp",
    "",
  ])("has to be JSON, not %j", async (type) => {
    const { app, state } = opsApp({ hosts });
    const headers = { ...BEARER, "content-type": type };
    const answer = await redrive(app, headers);
    expect(answer.status).toBe(415);
    expect(await answer.json()).toMatchObject({ type: "urn:waypost:error:not_json" });
    expect(state.acted).toEqual([]);
  });

  it.each(["application/json", "application/json; charset=utf-8", "Application/JSON ;charset=utf-8"])(
    "may be %s",
    async (type) => {
      const { app } = opsApp({ hosts });
      expect((await redrive(app, { ...BEARER, "content-type": type })).status).toBe(200);
    },
  );
});

describe("the session", () => {
  it("is ended for every copy of its cookie by a logout", async () => {
    const { app, state } = opsApp();
    const [mine, another] = [await session(app), await session(app)];
    expect(mine).not.toBe(another);
    const logout = (cookie: string) =>
      app.request("/logout", { method: "POST", headers: { origin: "http://localhost", cookie } });
    expect((await logout(mine)).status).toBe(303);
    expect((await app.request("/api/v1/status", { headers: { cookie: mine } })).status).toBe(401);
    expect((await app.request("/", { headers: { cookie: mine } })).status).toBe(303);
    expect((await redrive(app, { ...JSON_TYPE, origin: "http://localhost", cookie: mine })).status).toBe(401);
    // That of the same token in another browser goes on.
    expect((await app.request("/api/v1/status", { headers: { cookie: another } })).status).toBe(200);
    // A second logout of the same, or of none, is none.
    await logout(mine);
    await logout("waypost_session=token.0.9999999999999.x");
    expect(state.acted.map(({ action, by }) => `${action} ${by}`)).toEqual([
      "login token",
      "login token",
      "logout token",
    ]);
  });

  it("has the name that only this host can set where there is TLS, and only that one counts there", async () => {
    const { app } = opsApp();
    const https = { "x-forwarded-proto": "https" };
    const answer = await login(app, { ...https, origin: "https://localhost" });
    const cookie = answer.headers.get("set-cookie") ?? "";
    expect(cookie).toMatch(/^__Host-waypost_session=/);
    for (const attribute of [/; Secure/, /; Path=\//, /; HttpOnly/, /; SameSite=Strict/]) {
      expect(cookie).toMatch(attribute);
    }
    expect(cookie).not.toMatch(/Domain/i);
    const safe = cookieOf(answer);
    const status = async (headers: Record<string, string>) =>
      (await app.request("/api/v1/status", { headers })).status;
    expect(await status({ ...https, cookie: safe })).toBe(200);
    expect(await status({ "x-forwarded-proto": "HTTPS, http", cookie: safe })).toBe(200);
    expect(await status({ cookie: safe })).toBe(401);
    // What a neighbour under the same domain sets is not looked at, neither instead nor beside.
    const plain = await session(app);
    expect(await status({ cookie: plain })).toBe(200);
    expect(await status({ ...https, cookie: plain })).toBe(401);
    expect(await status({ ...https, cookie: `waypost_session=forged; ${safe}` })).toBe(200);
    expect(await status({ ...https, cookie: `${safe}; waypost_session=forged` })).toBe(200);
    // A logout ends whichever is there.
    await app.request("/logout", {
      method: "POST",
      headers: { ...https, origin: "https://localhost", cookie: `${plain}; ${safe}` },
    });
    expect(await status({ ...https, cookie: safe })).toBe(401);
    expect(await status({ cookie: plain })).toBe(401);
  });

  it("is that of its token alone, with the role and the tenants that token has now", async () => {
    const tokens = (role: "read" | "operate") =>
      [
        { name: "desk", token: "a-token-of-the-desk-here", role, destinations: null },
        { name: "boss", token: "a-token-of-the-boss-here", role: "operate", destinations: null },
      ] as const;
    const body = new URLSearchParams({ token: "a-token-of-the-desk-here" });
    const headers = { origin: "http://localhost" };
    const [operating, reading] = [tokens("operate"), tokens("read")];
    const answer = await opsApp({ tokens: () => operating }).app.request("/login", {
      method: "POST",
      headers,
      body,
    });
    const cookie = cookieOf(answer);
    const { app } = opsApp({ tokens: () => reading });
    expect((await app.request("/api/v1/status", { headers: { cookie } })).status).toBe(200);
    expect((await redrive(app, { ...JSON_TYPE, ...headers, cookie })).status).toBe(403);
    const promoted = cookie.replace("=desk.", "=boss.");
    expect(promoted).not.toBe(cookie);
    expect((await app.request("/api/v1/status", { headers: { cookie: promoted } })).status).toBe(401);
    const gone = opsApp({ tokens: () => [reading[1]] });
    expect((await gone.app.request("/api/v1/status", { headers: { cookie } })).status).toBe(401);
  });
});

describe("the login page", () => {
  it("names the settings of the tokens, and no token", async () => {
    const { app } = opsApp();
    expect(await (await app.request("/login")).text()).toMatch(/ops\.token, or one of ops\.tokens/);
    const wrong = await app.request("/login", {
      method: "POST",
      headers: { origin: "http://localhost" },
      body: new URLSearchParams({ token: "wrong" }),
    });
    expect(await wrong.text()).toMatch(/not a token of this gateway.*ops\.token or ops\.tokens/);
  });
});
