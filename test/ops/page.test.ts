import type { Server } from "node:http";
import { serve } from "@hono/node-server";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { because } from "../support/because.ts";
import { launchChromium, whyNotChromium } from "../support/chromium.ts";
import { until } from "../support/wait.ts";
import { BEARER, opsApp, TOKEN } from "./ops-app.ts";
import { before, destination, healthy, troubled, wholeMessage } from "./sample.ts";

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
      await page.locator(".line").first().waitFor();
      await body({ page, url, ops });
    } finally {
      await page.close();
      await close();
    }
    expect(complaints.filter((text) => !options.mayFail?.test(text))).toEqual([]);
    expect(requests.filter((request) => !request.startsWith(url))).toEqual([]);
    expect(requests.filter((request) => request.includes(encodeURIComponent(TOKEN)))).toEqual([]);
  }

  it("shows exactly the numbers of /status", async () => {
    await visit(
      async ({ page, url }) => {
        const status = JSON.parse(await (await fetch(`${url}/status`, BEARER)).text());
        const shown = await figures(page);
        for (const { pointer, text } of shown) {
          expect(text, pointer).toBe(numberAt(status, pointer).toLocaleString("en-US"));
        }
        const pointers = new Set(shown.map(({ pointer }) => pointer));
        for (const source of status.sources.keys()) {
          for (const term of Object.keys(status.sources[source].accounting)) {
            expect(pointers).toContain(`/sources/${source}/accounting/${term}`);
          }
        }
        for (const [index, { lanes }] of status.destinations.entries()) {
          for (const lane of lanes.keys())
            expect(pointers).toContain(`/destinations/${index}/lanes/${lane}/waiting`);
          expect(pointers).toContain(`/destinations/${index}/inFlight`);
        }
        for (const pointer of ["/totals/accounting/delivered", "/deadLetters/count", "/quarantine/count"]) {
          expect(pointers).toContain(pointer);
        }
      },
      { status: troubled() },
    );
  });

  it("answers the four questions in order, problems first and with what to do next", async () => {
    await visit(
      async ({ page, url }) => {
        const { problems } = JSON.parse(await (await fetch(`${url}/status`, BEARER)).text());
        expect(await page.locator("h2").allTextContents()).toEqual([
          "Is it healthy?",
          "Where is everything now?",
          "What happened lately?",
          "What is switched on?",
        ]);
        const shown = await page.locator("#problems li").allTextContents();
        expect(shown).toHaveLength(problems.length);
        for (const [index, { where, what, doNext }] of problems.entries()) {
          expect(shown[index]).toContain(where);
          expect(shown[index]).toContain(what);
          expect(shown[index]).toContain(doNext);
        }
        const line = page.getByRole("article", { name: "Destination blue-plumbing" });
        expect(await line.textContent()).toMatch(
          /trackers.*Waiting1,218oldest 7 min.*In flight0.*paused.*forbidden/s,
        );
        const text = (await page.locator("main").textContent()) ?? "";
        for (const fact of [
          "null_island",
          "Unit 'Van 7' is not configured",
          "received string",
          "352099001761999",
          "backfill",
        ]) {
          expect(text).toContain(fact);
        }
      },
      { status: troubled() },
    );
  });

  it("says where a unit's pings went, when asked", async () => {
    await visit(
      async ({ page, ops }) => {
        const at = page.getByLabel("at", { exact: true });
        expect(await at.locator("option").allTextContents()).toEqual(["acme-austin", "blue-plumbing"]);
        await page.getByLabel("Unit", { exact: true }).fill(" Van 7 ");
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
        const now = (await page.locator("#found > p").first().textContent()) ?? "";
        expect(now).toContain("3 waiting, 1 in flight");
        expect(now).toContain("held from trackers");
        const ratios: { text: string; ratio: number }[] = await page.evaluate(CONTRASTS);
        expect(ratios.filter(({ ratio }) => ratio < 4.5)).toEqual([]);

        // The page goes on refreshing; what was asked for stays, and so does the choice.
        await at.selectOption("blue-plumbing");
        const asked = ops.state.asked;
        await until(() => ops.state.asked > asked + 1, { what: "two refreshes" });
        expect(await at.inputValue()).toBe("blue-plumbing");
        expect(await table.locator("tbody tr").count()).toBe(2);
      },
      { status: troubled() },
    );
  });

  it("says so when it cannot find out", async () => {
    await visit(
      async ({ page, ops }) => {
        await page.locator("option", { hasText: "blue-plumbing" }).waitFor({ state: "attached" });
        await page.getByLabel("at", { exact: true }).selectOption("blue-plumbing");
        await page.getByLabel("Unit", { exact: true }).fill("7");
        await page.keyboard.press("Enter");
        await page.getByText("The gateway could not say (404)").waitFor();
        expect(ops.state.unitQueries).toHaveLength(1);
      },
      { status: troubled(), mayFail: /status of 404/ },
    );
  });

  it("leads from the list of the quarantine to the message", async () => {
    await visit(
      async ({ page }) => {
        await page.getByRole("table", { name: "Quarantine" }).getByRole("link", { name: "open" }).click();
        await page.waitForURL(/\/quarantine\/1795199803000-0\?source=motive$/);
        expect(JSON.parse((await page.locator("pre").textContent()) ?? "")).toEqual(wholeMessage());
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
      const waiting = page.locator('[data-field="/destinations/0/waiting"]').first();
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

  it("goes to the login when the session has ended", async () => {
    await visit(
      async ({ page, url }) => {
        await page.context().clearCookies();
        await page.waitForURL(`${url}/login`);
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
        expect((await fetch(`${url}/status`, { headers: { cookie } })).status).toBe(200);
        await page.getByRole("button", { name: "Log out" }).click();
        await page.waitForURL(`${url}/login`);
        expect((await fetch(`${url}/status`, { headers: { cookie } })).status).toBe(401);
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
  if (typeof value !== "number") throw new Error(`/status has no number at ${pointer}`);
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
