/** The viewer of the API's description in a real browser: it draws every operation, and asks no other host. */

import { serve } from "@hono/node-server";
import { expect, test } from "vitest";
import { because } from "../../support/because.ts";
import { launchChromium, whyNotChromium } from "../../support/chromium.ts";
import { opsApp, TOKEN } from "../ops-app.ts";

test.skipIf(whyNotChromium() !== null)(`works offline${because(whyNotChromium())}`, async () => {
  const { app } = opsApp();
  const { server, url } = await new Promise<{ server: ReturnType<typeof serve>; url: string }>((resolve) => {
    const server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, ({ port }) =>
      resolve({ server, url: `http://127.0.0.1:${port}` }),
    );
  });
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    const asked: string[] = [];
    const complaints: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
    await page.goto(`${url}/login`);
    await page.getByLabel("Ops token").fill(TOKEN);
    await page.getByRole("button", { name: "Open" }).click();
    await page.goto(`${url}/api/v1/docs`);
    await page.getByText("Which tenants are there?").waitFor();
    expect(await page.locator(".opblock").count()).toBeGreaterThan(20);
    expect(asked.filter((each) => !each.startsWith(url) && !each.startsWith("data:"))).toEqual([]);
    expect(complaints).toEqual([]);
  } finally {
    await browser.close();
    server.close();
    if ("closeAllConnections" in server) server.closeAllConnections();
  }
});
