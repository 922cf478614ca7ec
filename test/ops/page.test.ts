import type { Server } from "node:http";
import { serve } from "@hono/node-server";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SmallStatus } from "../../src/ops/api/schema/status.ts";
import { ACCOUNTING_TERMS } from "../../src/status/accounting.ts";
import { because } from "../support/because.ts";
import { launchChromium, whyNotChromium } from "../support/chromium.ts";
import { until } from "../support/wait.ts";
import { BEARER, opsApp, TOKEN } from "./ops-app.ts";
import { before, destination, healthy, manyTenants, troubled, wholeMessage } from "./sample.ts";

describe.skipIf(whyNotChromium() !== null)(`the ops page${because(whyNotChromium())}`, () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser.close();
  });

  /** A served app and a page in it, logged in as an operator would; checks what no page may do when it is done. */
  async function visit(
    body: (visit: { page: Page; url: string; ops: ReturnType<typeof opsApp> }) => Promise<void>,
    options: {
      status?: ReturnType<typeof healthy>;
      colorScheme?: "light" | "dark";
      width?: number;
      mayFail?: RegExp;
      /** What is opened after the login. */
      path?: string;
    } = {},
  ): Promise<void> {
    const ops = opsApp();
    if (options.status) ops.state.status = options.status;
    const { url, close } = await listening(ops.app.fetch);
    const page = await browser.newPage({
      colorScheme: options.colorScheme ?? "light",
      viewport: { width: options.width ?? 1400, height: 900 },
    });
    const complaints: string[] = [];
    const requests: string[] = [];
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("request", (request) => requests.push(request.url()));
    try {
      await page.goto(`${url}/`);
      expect(page.url()).toBe(`${url}/login`);
      await page.getByLabel("Ops token").fill(TOKEN);
      await page.getByRole("button", { name: "Open" }).click();
      if (options.path !== undefined) await page.goto(`${url}${options.path}`);
      await page.locator(".line, .tenants tbody tr").first().waitFor();
      await page.getByText("Ledger:").waitFor();
      await body({ page, url, ops });
    } finally {
      await page.close();
      await close();
    }
    expect(complaints.filter((text) => !options.mayFail?.test(text))).toEqual([]);
    expect(requests.filter((request) => !request.startsWith(url))).toEqual([]);
    expect(requests.filter((request) => request.includes(encodeURIComponent(TOKEN)))).toEqual([]);
  }

  /** What the page draws its numbers from, each under the name that its fields begin with. */
  async function documentsAt(url: string): Promise<Record<string, unknown>> {
    const ask = async (path: string) =>
      JSON.parse(await (await fetch(`${url}/api/v1${path}`, BEARER)).text()) as unknown;
    const [status, tenants, tenant, deliveries] = await Promise.all(
      ["/status", "/tenants", "/tenants/1015", "/deliveries"].map(ask),
    );
    return { status, tenants, tenant, deliveries };
  }

  it.each([
    ["of one tenant", "/tenants/1015"],
    ["of all tenants", "/"],
  ])("shows exactly the numbers of the API on the page %s", async (_, path) => {
    await visit(
      async ({ page, url }) => {
        const documents = await documentsAt(url);
        const shown = await figures(page);
        for (const { pointer, text } of shown.filter(
          (each) => path === "/" || !each.pointer.startsWith("/deliveries/items"),
        )) {
          expect(text, pointer).toBe(numberAt(documents, pointer).toLocaleString("en-US"));
        }
        const pointers = new Set(shown.map(({ pointer }) => pointer));
        expect(pointers).toContain("/status/totals/accounting/delivered");
        expect(pointers).toContain("/status/deadLetters/count");
        expect(pointers).toContain("/status/quarantine/count");
        if (path === "/") {
          for (const row of [0, 1]) expect(pointers).toContain(`/tenants/items/${row}/waiting`);
          return;
        }
        for (const source of [0, 1]) {
          for (const term of ACCOUNTING_TERMS) {
            expect(pointers).toContain(`/tenant/sources/${source}/accounting/${term}`);
          }
        }
        for (const lane of [0, 1, 2, 3])
          expect(pointers).toContain(`/tenant/destinations/0/lanes/${lane}/waiting`);
        expect(pointers).toContain("/tenant/destinations/0/inFlight");
      },
      { status: troubled(), path },
    );
  });

  it("answers the four questions in order, problems first: what, since when, whose, and what to do next", async () => {
    await visit(
      async ({ page, url }) => {
        const status: SmallStatus = JSON.parse(await (await fetch(`${url}/api/v1/status`, BEARER)).text());
        expect(await page.locator("h2").allTextContents()).toEqual([
          "Is it healthy?",
          "Where is everything now?",
          "What happened lately?",
          "What is switched on?",
        ]);
        const shown = await page.locator("#problems li").allTextContents();
        expect(shown).toHaveLength(status.problems.length);
        for (const [index, { where, what, doNext }] of status.problems.entries()) {
          expect(shown[index]).toContain(where);
          expect(shown[index]).toContain(what);
          expect(shown[index]).toContain(doNext);
          expect(shown[index]).toMatch(/Since .*\d\d:\d\d:\d\d · (.* to mend|a fault of Waypost)$/);
        }
      },
      { status: troubled() },
    );
  });

  it("shows one tenant: its problems, lines, accounting, and what is set aside of it", async () => {
    await visit(
      async ({ page }) => {
        const line = page.getByRole("article", { name: "Destination blue-plumbing" });
        expect(await line.textContent()).toMatch(
          /trackers.*Waiting1,218oldest 7 min.*In flight0.*paused.*forbidden/s,
        );
        expect(await page.locator("#where").textContent()).toContain("Tenant 2207 (blue-plumbing)");
        const problems = (await page.locator("#problems").textContent()) ?? "";
        expect(problems).toContain("blue-plumbing");
        expect(problems).not.toContain("acme-austin");
        await page.getByRole("link", { name: "all tenants" }).click();
        await page.getByRole("link", { name: "1015" }).click();
        await page.getByRole("article", { name: "Destination acme-austin" }).waitFor();
        await page.getByRole("table", { name: "Quarantine" }).waitFor();
        const text = (await page.locator("main").textContent()) ?? "";
        for (const fact of [
          "null_island",
          "Unit 'Van 3' is not configured",
          "received string",
          "352099001761999",
          "backfill",
        ]) {
          expect(text).toContain(fact);
        }
      },
      { status: troubled(), path: "/tenants/2207" },
    );
  });

  it("says that a tenant is not there, and leads back", async () => {
    await visit(
      async ({ page, url }) => {
        await page.goto(`${url}/?tenant=9`);
        await page.getByText("There is no tenant 9 here.").waitFor();
        await page.getByRole("link", { name: "all tenants" }).click();
        await page.locator(".tenants tbody tr").first().waitFor();
      },
      { status: troubled(), mayFail: /status of 404/ },
    );
  });

  it("lists a thousand tenants, the worst first, in little room and time, and finds one by a part of a name", async () => {
    await visit(
      async ({ page }) => {
        const rows = page.locator(".tenants tbody tr");
        expect(await rows.count()).toBe(50);
        expect(await rows.first().textContent()).toContain("blue-plumbing");
        expect(await page.evaluate("document.querySelectorAll('*').length")).toBeLessThan(2000);
        // A busy machine makes any task long now and then; one that is long by itself is so at every refresh.
        await until(async () => (await longestTask(page)) < 100, {
          what: "two refreshes without a long task",
        });
        await page.getByRole("button", { name: "Next page" }).click();
        await until(async () => !/blue-plumbing/.test((await rows.first().textContent()) ?? ""), {
          what: "the next page",
        });
        await page.getByLabel("Tenant, destination or source").fill("COMPANY-77");
        await until(async () => (await rows.count()) === 11, { what: "those with 77" });
        expect(await rows.first().textContent()).toContain("company-77");
        expect(await page.evaluate("document.activeElement.id")).toBe("tenant-q");
      },
      { status: manyTenants(1000) },
    );
  });

  it("says where a unit's pings went, when asked", async () => {
    await visit(
      async ({ page, ops }) => {
        await page.getByLabel(/^Unit, name, device/).fill(" van 7 ");
        await page.getByRole("button", { name: "Look" }).click();
        const table = page.getByRole("table", { name: "Pings of Van 7, last 24 hours" });
        await table.waitFor();
        expect(ops.state.unitQueries).toMatchObject([{ destination: "acme-austin", unit: "Van 7" }]);
        const rows = await table.locator("tbody tr").allTextContents();
        expect(rows).toHaveLength(2);
        for (const fact of [
          "delivered",
          "1.5 s",
          "0.6 s",
          "30.26715, -97.74306",
          "34 mph",
          "271° W",
          "12 Elm St, Austin, TX 78701",
          "event trip",
          "driver Ana",
          "ignition on",
          "odometer 120,400.5 km",
          "accurate to 4 m",
          "altitude 149 m",
          "battery 87 %",
          "delivered 200",
          "bouncie-vans",
        ]) {
          expect(rows[0]).toContain(fact);
        }
        expect(rows[1]).toMatch(/dead-lettered.*–.*–.*–.*partial/);
        const now = (await page.locator("#found > p").nth(2).textContent()) ?? "";
        expect(now).toContain("3 waiting, 1 in flight");
        expect(now).toContain("held from trackers");
        const ratios: { text: string; ratio: number }[] = await page.evaluate(CONTRASTS);
        expect(ratios.filter(({ ratio }) => ratio < 4.5)).toEqual([]);

        const events = page.getByRole("table", { name: "What happened to it" });
        expect(await events.locator("tbody tr").allTextContents()).toEqual([
          expect.stringMatching(/delivered.*200 · trace-77/),
          expect.stringMatching(/rejected × 4.*too_old/),
        ]);
        const refusals = page.getByRole("table", { name: "Events of bouncie-vans that name no device" });
        expect(await refusals.textContent()).toContain("unauthenticated");
        expect(await page.locator("#found").textContent()).toContain("Refused messages name no device.");

        // The page goes on refreshing; what was asked for stays.
        const asked = ops.state.asked;
        await until(() => ops.state.asked > asked + 1, { what: "two refreshes" });
        expect(await table.locator("tbody tr").count()).toBe(2);
      },
      { status: troubled() },
    );
  });

  it("offers a choice where several match", async () => {
    await visit(
      async ({ page, ops }) => {
        const [only] = ops.state.candidates;
        if (!only) throw new Error("no candidate");
        ops.state.candidates = [
          only,
          { ...only, device: "352099001761482", unit: "Van 70", unitName: "Van 70" },
        ];
        await page.getByLabel(/^Unit, name, device/).fill("van");
        await page.keyboard.press("Enter");
        await page.getByText("Several match:").waitFor();
        await page
          .getByRole("button", { name: "Van 70 at acme-austin · 352099001761482 of bouncie-vans" })
          .click();
        await page.getByRole("table", { name: "What happened to it" }).waitFor();
        expect(await page.locator("#found b").first().textContent()).toContain("device 352099001761482");
      },
      { status: troubled() },
    );
  });

  it("says so when it cannot find out", async () => {
    await visit(
      async ({ page, ops }) => {
        ops.state.timelineFault = new Error("gone");
        await page.getByLabel(/^Unit, name, device/).fill("7");
        await page.keyboard.press("Enter");
        await page.getByText("The gateway could not say (500)").waitFor();
        ops.state.timelineFault = null;
        await page.getByLabel(/^Unit, name, device/).fill("nobody");
        await page.keyboard.press("Enter");
        await page.getByText("No device is known by nobody.").waitFor();
      },
      { status: troubled(), mayFail: /status of 500/ },
    );
  });

  it("leads from the list of the quarantine to the message", async () => {
    await visit(
      async ({ page }) => {
        await page
          .getByRole("table", { name: "Quarantine" })
          .getByRole("link", { name: "open" })
          .first()
          .click();
        await page.waitForURL(/\/api\/v1\/quarantine\/1795199803003-0\?source=motive$/);
        expect(JSON.parse((await page.locator("pre").textContent()) ?? "")).toEqual({
          ...wholeMessage(),
          id: "1795199803003-0",
        });
      },
      // Beside JSON Chromium asks for /favicon.ico.
      { status: troubled(), mayFail: /status of 404/ },
    );
  });

  it("follows the gateway without being reloaded, and keeps the reader's place", async () => {
    await visit(async ({ page, ops }) => {
      expect(await page.locator("#headline").textContent()).toBe("All is well.");
      await page.evaluate("document.querySelector('.line').mark = 'same element'");
      ops.state.status = healthy({
        at: new Date(Date.now()).toISOString(),
        destinations: [
          destination({ waiting: 98_765, oldestWaitingAgeMs: 61_000, lastOutcomeAt: before(0) }),
        ],
      });
      const waiting = page.locator('[data-field="/tenant/destinations/0/waiting"]').first();
      await until(async () => (await waiting.textContent()) === "98,765", { what: "the new number" });
      expect(await page.locator("#headline").textContent()).toBe("1 thing deserves a look.");
      expect(await page.evaluate("document.querySelector('.line').mark")).toBe("same element");
    });
  });

  it("says since when it is stale, and recovers", async () => {
    await visit(
      async ({ page, ops }) => {
        ops.state.fault = new Error("connect ECONNREFUSED");
        const freshness = page.locator("#freshness");
        await until(async () => /^Stale since \d\d:/.test((await freshness.textContent()) ?? ""), {
          what: "stale",
        });
        expect(await page.locator("#problems").textContent()).toContain("ECONNREFUSED");
        expect(await page.locator("#headline").textContent()).toBe("1 thing is wrong.");
        ops.state.fault = null;
        await until(async () => /^Live/.test((await freshness.textContent()) ?? ""), { what: "live again" });
        expect(await page.locator("#headline").textContent()).toBe("All is well.");
      },
      { mayFail: /status of 503/ },
    );
  });

  it("does not call well what it cannot reach", async () => {
    await visit(
      async ({ page }) => {
        await page.context().setOffline(true);
        await until(async () => /no answer/.test((await page.locator("#problems").textContent()) ?? ""), {
          what: "the page to notice",
        });
        expect(await page.locator("#headline").textContent()).toBe("1 thing is wrong.");
        expect(await page.locator("#freshness").textContent()).toMatch(/^Stale since/);
      },
      { mayFail: /ERR_INTERNET_DISCONNECTED/ },
    );
  });

  it("asks nothing while nobody looks", async () => {
    await visit(async ({ page, ops }) => {
      await page.evaluate(`
        Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
        document.dispatchEvent(new Event("visibilitychange"));
      `);
      // One question may be under way; the next would come after 2 s.
      const asked = ops.state.asked + 1;
      await page.waitForTimeout(3_000);
      expect(ops.state.asked).toBeLessThanOrEqual(asked);
      await page.evaluate(`delete document.hidden; document.dispatchEvent(new Event("visibilitychange"));`);
      await until(() => ops.state.asked > asked, { what: "the page to ask again" });
    });
  });

  it("goes to the login once when the session has ended, however many questions it refuses", async () => {
    await visit(
      async ({ page, url }) => {
        let navigations = 0;
        page.on("request", (request) => {
          if (request.isNavigationRequest()) navigations++;
        });
        await page.context().clearCookies();
        await page.waitForURL(`${url}/login`);
        expect(navigations).toBe(1);
      },
      { mayFail: /status of 401/ },
    );
  });

  it("shows what operators did, and logs out of every copy of its session", async () => {
    await visit(
      async ({ page, url, ops }) => {
        const table = page.getByRole("table", { name: "What operators did" });
        await table.waitFor();
        expect(await table.locator("tbody tr").allTextContents()).toEqual([
          expect.stringMatching(/token.*login.*done/),
        ]);
        const cookies = await page.context().cookies();
        const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join("; ");
        expect((await fetch(`${url}/api/v1/status`, { headers: { cookie } })).status).toBe(200);
        await page.getByRole("button", { name: "Log out" }).click();
        await page.waitForURL(`${url}/login`);
        expect((await fetch(`${url}/api/v1/status`, { headers: { cookie } })).status).toBe(401);
        expect(ops.state.acted.map(({ action }) => action)).toEqual(["login", "logout"]);
      },
      { mayFail: /status of 401/ },
    );
  });

  it("tells its own requests from another site's, also by a name without TLS, where browsers say the least", async () => {
    const ops = opsApp({ hosts: { host: "127.0.0.1", hosts: ["ops.waypost.test"] } });
    const own = await listening(ops.app.fetch);
    const address = new URL(own.url);
    const evil = await listening(
      () =>
        new Response(
          `<form method="post" action="http://ops.waypost.test:${address.port}/logout" enctype="text/plain"><input name='{"mode":"do","x":"' value='"}'><button>Win</button></form>`,
          { headers: { "content-type": "text/html" } },
        ),
    );
    const named = await launchChromium("--host-resolver-rules=MAP *.test 127.0.0.1");
    try {
      const page = await named.newPage();
      const url = `http://ops.waypost.test:${address.port}`;
      await page.goto(`${url}/`);
      await page.getByLabel("Ops token").fill(TOKEN);
      await page.getByRole("button", { name: "Open" }).click();
      await page.locator(".line").first().waitFor();
      await page.goto(`http://evil.waypost.test:${new URL(evil.url).port}/`);
      await page.getByRole("button", { name: "Win" }).click();
      await page.waitForURL(`${url}/logout`);
      expect(await page.textContent("body")).toContain("cross_site");
      await page.goto(`http://rebound.test:${address.port}/`);
      expect(await page.textContent("body")).toContain("ops.hosts");
      await page.goto(`${url}/`);
      await page.getByRole("button", { name: "Log out" }).click();
      await page.waitForURL(`${url}/login`);
      expect(ops.state.refusals).toContain("cross_site");
      expect(ops.state.refusals).toContain("wrong_host");
      expect(ops.state.acted.map(({ action }) => action)).toEqual(["login", "logout"]);
    } finally {
      await named.close();
      await evil.close();
      await own.close();
    }
  });

  it.each([
    ["light", 1400],
    ["dark", 1400],
    ["dark", 390],
  ] as const)("is legible in %s at %i pixels", async (colorScheme, width) => {
    await visit(
      async ({ page }) => {
        const ratios: { text: string; ratio: number }[] = await page.evaluate(CONTRASTS);
        expect(ratios.length).toBeGreaterThan(100);
        // WCAG 2.2 AA for text.
        expect(ratios.filter(({ ratio }) => ratio < 4.5)).toEqual([]);
        const lightness: number = await page.evaluate(
          "(([r, g, b]) => (r + g + b) / 765)(getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).map(Number))",
        );
        expect(lightness > 0.5).toBe(colorScheme === "light");
        expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
      },
      { status: troubled(), colorScheme, width },
    );
  });

  it("has one name for every table, and tells changes of health to a screen reader", async () => {
    await visit(async ({ page }) => {
      const unnamed =
        "[...document.querySelectorAll('table:not(.lanes)')].filter((table) => !table.caption).length";
      expect(await page.evaluate(unnamed)).toBe(0);
      expect(await page.locator("table th[scope]").count()).toBeGreaterThan(20);
      expect(await page.locator("#headline").getAttribute("aria-live")).toBe("polite");
      expect(await page.locator("#headline svg").getAttribute("aria-label")).toBe("Healthy");
    });
  });
});

async function listening(fetch: (request: Request) => Response | Promise<Response>) {
  return await new Promise<{ url: string; close: () => Promise<void> }>((resolve) => {
    const server = serve({ fetch, port: 0, hostname: "127.0.0.1" }, ({ port }) =>
      resolve({ url: `http://127.0.0.1:${port}`, close: () => closed(server as Server) }),
    );
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** In milliseconds, of five seconds of a page that refreshes every two. */
function longestTask(page: Page): Promise<number> {
  return page.evaluate(`new Promise((resolve) => {
    let longest = 0;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) longest = Math.max(longest, duration);
    }).observe({ type: "longtask" });
    setTimeout(() => resolve(longest), 5000);
  })`);
}

async function figures(page: Page): Promise<{ pointer: string; text: string }[]> {
  return await page.locator("[data-field]").evaluateAll((elements) =>
    elements.map((element) => ({
      pointer: element.getAttribute("data-field") ?? "",
      text: element.textContent ?? "",
    })),
  );
}

function numberAt(status: unknown, pointer: string): number {
  const value = pointer
    .slice(1)
    .split("/")
    .reduce<unknown>(
      (at, key) => (typeof at === "object" && at !== null ? Reflect.get(at, key) : undefined),
      status,
    );
  if (typeof value !== "number") throw new Error(`The API has no number at ${pointer}`);
  return value;
}

/** Contrast of every piece of text with the nearest opaque ground under it; the colours are drawn to be resolved. */
const CONTRASTS = `(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (colour) => {
    const [r, g, b] = rgba(colour).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const groundOf = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (rgba(colour)[3] === 255) return colour;
    }
    return "white";
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    if (text === "" || element.closest("noscript, script, svg") || !element.checkVisibility()) continue;
    const [a, b] = [luminance(getComputedStyle(element).color), luminance(groundOf(element))].sort((x, y) => y - x);
    found.push({ text, ratio: (a + 0.05) / (b + 0.05) });
  }
  return found;
})()`;
