/** The real programs that tests use start, answer and can be replaced: otherwise a green run would prove little. */

import { readdirSync, readFileSync } from "node:fs";
import mqtt from "mqtt";
import { expect, test } from "vitest";
import { because, reasonIn } from "../support/because.ts";
import { launchChromium, whyNotChromium } from "../support/chromium.ts";
import { startMosquitto, whyNotMosquitto } from "../support/mosquitto.ts";
import { until } from "../support/wait.ts";

test.skipIf(whyNotMosquitto() !== null)(
  `mosquitto passes messages on, again after a restart${because(whyNotMosquitto())}`,
  async () => {
    const broker = await startMosquitto();
    const client = await mqtt.connectAsync(broker.url, { reconnectPeriod: 100 });
    const got: string[] = [];
    client.on("message", (_topic, payload) => got.push(String(payload)));
    await client.subscribeAsync("fleet/#", { qos: 1 });
    await client.publishAsync("fleet/1", "before", { qos: 1 });
    await until(() => got.includes("before"), { what: "the first message" });
    broker.kill("SIGKILL");
    await broker.restart();
    // Said again until it is heard: the killed broker forgot the subscription, and the client renews it in its own time.
    await until(
      async () => {
        await client.publishAsync("fleet/1", "after", { qos: 1 });
        return got.includes("after");
      },
      { what: "the second message" },
    );
    await client.endAsync(true);
    await broker.stop();
  },
);

test.skipIf(whyNotMosquitto() !== null)(
  `a setting given replaces the default${because(whyNotMosquitto())}`,
  async () => {
    const broker = await startMosquitto(["allow_anonymous false"]);
    const client = mqtt.connect(broker.url, { reconnectPeriod: 0 });
    const refusal = await new Promise<Error>((resolve) => client.once("error", resolve));
    expect(refusal.message).toMatch(/not authorized/i);
    await client.endAsync(true);
    await broker.stop();
  },
);

test.skipIf(whyNotChromium() !== null)(`chromium shows a page${because(whyNotChromium())}`, async () => {
  const browser = await launchChromium();
  const page = await browser.newPage();
  await page.setContent("<h1>Waypost</h1>");
  expect(await page.textContent("h1")).toBe("Waypost");
  await browser.close();
});

test("every test that may be skipped says why, and how to make it run", () => {
  const files = readdirSync("test", { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".test.ts"),
  );
  const silent = files.flatMap((file) => {
    const skips = readFileSync(`test/${file}`, "utf8")
      .split(/\.(?=skipIf\()/)
      .slice(1);
    return skips.filter((text) => !/^skipIf\([^`"]*[`][^`]*\$\{because\(/.test(text)).map(() => file);
  });
  expect(silent).toEqual([]);
  expect(files.length).toBeGreaterThan(50);
});

test.each([
  ["a name", null],
  ["a group (skipped: x is missing (apt-get install x)) > a name", "x is missing (apt-get install x)"],
  ["a name (skipped: y is missing)", "y is missing"],
])("the reason in %s is %s", (name, reason) => expect(reasonIn(name)).toBe(reason));

test("until gives up with the last error as the cause", async () => {
  const failing = until(
    () => {
      throw new Error("still closed");
    },
    { withinMs: 50, what: "a door" },
  );
  await expect(failing).rejects.toMatchObject({ message: /a door/, cause: { message: "still closed" } });
});
