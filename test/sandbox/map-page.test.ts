/** Opens the stand-in's page in a browser and checks that it shows what was accepted. */

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SANDBOX_CLIENT, type SandboxApi, startSandboxApi } from "../../sandbox/api.ts";
import { because } from "../support/because.ts";
import { launchChromium, whyNotChromium } from "../support/chromium.ts";
import { scaled } from "../support/speed.ts";

describe.skipIf(whyNotChromium() !== null)(`the map page${because(whyNotChromium())}`, () => {
  let api: SandboxApi;
  let browser: Browser;
  beforeAll(async () => {
    api = await startSandboxApi({ record: "all" });
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
    await api?.stop();
  });

  async function push(...changes: Record<string, unknown>[]): Promise<void> {
    const { clientId, clientSecret, appKey, tenants, providers } = SANDBOX_CLIENT;
    const grant = { grant_type: "client_credentials", client_id: clientId, client_secret: clientSecret };
    const answer = await fetch(`${api.authUrl}/connect/token`, {
      method: "POST",
      body: new URLSearchParams(grant),
    });
    const token: unknown = await answer.json();
    const bearer =
      token !== null && typeof token === "object" && "access_token" in token ? token.access_token : "";
    const text = { street: "", city: "", region: "", postalCode: "", message: "" };
    const pings = changes.map((change, index) => ({
      ...text,
      unitId: `van-${index}`,
      unitName: `Van ${index}`,
      eventTime: new Date().toISOString(),
      latitude: 32.78,
      longitude: -96.8 + index / 100,
      speed: 34,
      externalId: `${Math.random()}`,
      isNew: false,
      statusMessage: "Moving 34 mph NE",
      ...change,
    }));
    const response = await fetch(
      `${api.url}/dispatch/v2/tenant/${tenants[0]}/gps-provider/${providers[0]}/gps-pings`,
      {
        method: "POST",
        headers: {
          authorization: `Bearer ${bearer}`,
          "st-app-key": appKey,
          "content-type": "application/json",
        },
        body: JSON.stringify(pings),
      },
    );
    expect(response.status).toBe(200);
  }

  test("lists the units, follows them, keeps markup in names harmless and sends requests nowhere else", async () => {
    const page = await browser.newPage({ viewport: { width: 1200, height: 700 } });
    const errors: string[] = [];
    const hosts = new Set<string>();
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    page.on("request", (request) => hosts.add(new URL(request.url()).host));
    const markup = "<img src=x onerror=alert(1)>";
    await push({}, { unitName: markup }, { latitude: null, longitude: null, speed: null });
    await page.goto(api.url);
    const rows = page.locator("#list li");
    await expect.poll(() => rows.count(), { timeout: scaled(20_000) }).toBe(3);
    expect((await rows.locator("b").allTextContents()).sort()).toEqual([markup, "Van 0", "Van 2"]);
    expect(await page.locator("img").count()).toBe(0);
    const first = rows.filter({ hasText: "Van 0" });
    expect(await first.textContent()).toContain("Moving 34 mph NE");
    expect(await rows.filter({ hasText: "Van 2" }).textContent()).toContain("no speed");
    expect(await page.locator("#accepted").textContent()).toBe("3");

    await push({ statusMessage: "Stopped", speed: 0, latitude: 32.79 });
    await expect.poll(() => first.textContent(), { timeout: scaled(20_000) }).toContain("Stopped");
    await page.locator("#search").fill("van 2");
    await expect.poll(() => rows.count(), { timeout: scaled(20_000) }).toBe(1);

    expect(errors).toEqual([]);
    expect([...hosts]).toEqual([new URL(api.url).host]);
    await page.close();
  });

  test("draws the units", async () => {
    const page = await browser.newPage({ viewport: { width: 1200, height: 700 } });
    await page.goto(api.url);
    // A string, because it runs in the browser.
    const painted = `(() => {
      const canvas = document.querySelector("canvas");
      if (canvas.width === 0) return 0;
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return data.filter((value, index) => index % 4 === 3 && value > 0).length;
    })()`;
    await expect.poll(() => page.evaluate(painted), { timeout: scaled(20_000) }).toBeGreaterThan(50);
    await page.close();
  });
});
