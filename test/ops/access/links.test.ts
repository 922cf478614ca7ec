/** A link opens one tenant's page for a while, with role read, and ends with its time, its token, or a logout. */

import { expect, test } from "vitest";
import type { OpsToken } from "../../../src/config/ops-tokens.ts";
import { createLinks } from "../../../src/ops/access/links.ts";
import { OURS, opsApp } from "../ops-app.ts";

const BOSS: OpsToken = {
  name: "boss",
  token: "boss-of-24-characters-xx",
  role: "operate",
  destinations: null,
};
const ACME = { tenant: "acme", destinations: ["acme-austin"] };

function open() {
  const ops = opsApp({
    tokens: () => [BOSS],
    topology: {
      destinations: ["acme-austin", "rival"],
      sources: new Map([["vans", { destination: "acme-austin", broker: null }]]),
      tenants: new Map([["acme", { origin: "api", destinations: ["acme-austin"], isPaused: false }]]),
    },
  });
  const bearer = { authorization: `Bearer ${BOSS.token}`, "content-type": "application/json" };
  async function link(): Promise<{ path: string; until: string }> {
    const answer = await ops.app.request("/api/v1/tenants/acme/links", {
      ...{ method: "POST", headers: bearer, body: JSON.stringify({ hours: 2 }) },
    });
    return JSON.parse(await answer.text());
  }
  async function follow(path: string) {
    const answer = await ops.app.request(path);
    const [cookie = ""] = (answer.headers.get("set-cookie") ?? "").split(";");
    return { status: answer.status, text: await answer.text(), cookie };
  }
  const ask = async (path: string, cookie: string) => {
    const answer = await ops.app.request(path, { headers: { cookie } });
    return { status: answer.status, text: await answer.text() };
  };
  return { ...ops, link, follow, ask };
}

test("it leads to the tenant's page, and sees nothing else", async () => {
  const { link, follow, ask, app, state } = open();
  const { path, until } = await link();
  expect(Date.parse(until) - Date.now()).toBeGreaterThan(3_600_000);
  const opened = await follow(path);
  expect(opened.status).toBe(200);
  expect(opened.text).toContain("url=/tenants/acme");
  const status = JSON.parse((await ask("/api/v1/status", opened.cookie)).text);
  expect(status.counts.destinations).toBe(1);
  expect((await ask("/api/v1/destinations/rival", opened.cookie)).status).toBe(404);
  const change = await app.request("/api/v1/log-level", {
    ...{ method: "PUT", body: JSON.stringify({ level: "debug" }) },
    headers: { cookie: opened.cookie, "content-type": "application/json", ...OURS },
  });
  expect(change.status).toBe(403);
  expect(state.acted.map(({ action, by }) => [action, by])).toEqual([
    ["link", "boss"],
    ["login", "link to acme"],
  ]);
});

test("changed, foreign or ended, it opens nothing", async () => {
  const { link, follow, app } = open();
  const { path } = await link();
  expect((await follow(`${path.slice(0, -3)}abc`)).status).toBe(404);
  const hour = 3_600_000;
  const stranger = createLinks(() => [{ ...BOSS, token: "another-secret-24-chars-" }], Date.now);
  expect(
    (await follow(stranger.make({ ...BOSS, token: "another-secret-24-chars-" }, ACME, hour).path)).status,
  ).toBe(404);
  const old = createLinks(
    () => [BOSS],
    () => Date.now() - 2 * hour,
  );
  expect((await follow(old.make(BOSS, ACME, hour).path)).status).toBe(404);

  const { cookie } = await follow(path);
  await app.request("/logout", { method: "POST", headers: { cookie, ...OURS } });
  expect((await follow(path)).status).toBe(404);
});

test("a destination that another tenant has by now is not opened by an older link", async () => {
  const { follow } = open();
  const links = createLinks(() => [BOSS], Date.now);
  const { path } = links.make(BOSS, { tenant: "1000001", destinations: ["acme-austin"] }, 3_600_000);
  expect((await follow(path)).status).toBe(404);
});
