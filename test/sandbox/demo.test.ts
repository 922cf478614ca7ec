/** The demo as a new user meets it: the numbers it ends with, and its pages in a real browser. */

import { execFileSync } from "node:child_process";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { Summary } from "../../sandbox/recorder.ts";
import { ACCOUNTING_TERMS, type Accounting, identityOf } from "../../src/status/accounting.ts";
import { because } from "../support/because.ts";
import { launchChromium, whyNotChromium } from "../support/chromium.ts";
import { type CliProcess, runCli, startCli } from "../support/cli-process.ts";
import { scaled } from "../support/speed.ts";
import { until } from "../support/wait.ts";

vi.setConfig({ testTimeout: scaled(180_000), hookTimeout: scaled(120_000) });

const DEMO = { program: "sandbox/main.ts" };
const HOLDS = { messages: 0, readings: 0, stored: 0 };

test("names what it takes, and refuses what makes no sense", async () => {
  const help = await runCli(["--help"], DEMO);
  expect({ ended: help.ended, stderr: help.stderr }).toEqual({ ended: "exit code 0", stderr: "" });
  for (const word of ["--for", "--json", "--vehicles", "--seed", "--clean"])
    expect(help.stdout).toContain(word);
  const wrong = await runCli(["--for", "soon"], DEMO);
  expect(wrong.ended).toBe("exit code 1");
  expect(wrong.stderr).toMatch(/use a number and s, m or h/);
});

test("demo --for --json ends with one line in which every term adds up", async () => {
  const { ended, stdout, stderr } = await runCli(["--for", "12s", "--json"], { ...DEMO, withinMs: 150_000 });
  expect({ ended, stderr }).toEqual({ ended: "exit code 0", stderr: "" });
  expect(stdout).toMatch(/^\{.*\}\n$/);
  const { p50Ms, p99Ms, ...accounting }: Accounting & { p50Ms: number; p99Ms: number } = JSON.parse(stdout);
  expect(Object.keys(accounting).sort()).toEqual([...ACCOUNTING_TERMS].sort());
  expect(identityOf(accounting)).toEqual(HOLDS);
  expect(accounting).toMatchObject({ waiting: 0, inFlight: 0, held: 0, dropped: 0, deadLettered: 0 });
  expect(accounting.delivered).toBeGreaterThan(100);
  // The fleet makes mistakes on purpose.
  expect(accounting.rejected).toBeGreaterThan(0);
  expect(accounting.duplicates).toBeGreaterThan(0);
  expect(p50Ms).toBeGreaterThan(0);
  expect(p99Ms).toBeGreaterThanOrEqual(p50Ms);
});

describe("the demo's Redis", () => {
  let demo: CliProcess;
  afterEach(() => demo?.stop());

  const delivered = () => Number([...demo.stdout().matchAll(/ (\d+) pings delivered/g)].at(-1)?.[1] ?? 0);
  const redisPid = () =>
    Number(
      execFileSync(
        "sh",
        ["-c", `ps -eo pid,ppid,comm | awk '$2 == ${demo.pid} && /redis|valkey/ { print $1 }'`],
        {
          encoding: "utf8",
        },
      ).trim(),
    );
  async function said(line: string | RegExp, withinMs = 60_000): Promise<void> {
    const matches = () =>
      typeof line === "string" ? demo.stdout().includes(line) : line.test(demo.stdout());
    await until(() => demo.ended() !== null || matches(), { withinMs, what: `the demo to say ${line}` });
    expect({ ended: demo.ended(), stderr: demo.stderr() }).toEqual({ ended: null, stderr: "" });
  }
  async function start(): Promise<void> {
    demo = await startCli(["--vehicles", "40"], DEMO);
    await until(() => delivered() > 0, { withinMs: 120_000, what: "the demo to deliver" });
  }
  async function goesOn(): Promise<void> {
    const before = delivered();
    await until(() => delivered() > before, { withinMs: 60_000, what: "deliveries to go on" });
    expect({ ended: demo.ended(), stderr: demo.stderr() }).toEqual({ ended: null, stderr: "" });
  }

  test("may be frozen: one line reports it, and all goes on", async () => {
    await start();
    const pid = redisPid();
    process.kill(pid, "SIGSTOP");
    await said("Redis does not answer.");
    process.kill(pid, "SIGCONT");
    await said("Redis answers again");
    await goesOn();
    expect(demo.stdout().match(/Redis does not answer/g)).toHaveLength(1);
  });

  test("may be killed: it is started again with its data, and all goes on", async () => {
    await start();
    const pid = redisPid();
    process.kill(pid, "SIGKILL");
    await said("Redis has ended (SIGKILL). It is started again");
    await said("Redis answers again");
    expect(redisPid()).not.toBe(pid);
    await goesOn();
  });

  test("Ctrl-C ends soon where ServiceTitan accepts nothing, and the reason why pings are left is printed", async () => {
    await start();
    const [, map] = /Dispatch map +(http\S+)/.exec(demo.stdout()) ?? [];
    await fetch(`${map}_sandbox/faults`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ kind: "status", status: 503 }),
    });
    const refused = async () => {
      const summary: Summary = JSON.parse(await (await fetch(`${map}_sandbox/summary`)).text());
      return (summary.statuses["503"] ?? 0) > 0;
    };
    await until(refused, { what: "a refusal" });
    demo.kill("SIGINT");
    await said("Ctrl-C once more ends at once");
    const since = performance.now();
    expect(await demo.end(60_000)).toBe("exit code 0");
    expect(performance.now() - since).toBeLessThan(scaled(5000));
    expect(demo.stdout()).toMatch(/ServiceTitan accepts nothing now \(http_503\), so \d+ pings stay/);
    expect(demo.stderr()).toBe("");
  });
});

describe.skipIf(whyNotChromium() !== null)(`the running demo${because(whyNotChromium())}`, () => {
  let demo: CliProcess;
  let browser: Browser;
  let page: Page;
  const complaints: string[] = [];
  let urls: { ops: string; token: string; map: string };

  beforeAll(async () => {
    demo = await startCli(["--vehicles", "60"], DEMO);
    urls = await until(
      () => {
        const [, ops, token] = /Operators' page +(http\S+) +token: (\S+)/.exec(demo.stdout()) ?? [];
        const [, map] = /Dispatch map +(http\S+)/.exec(demo.stdout()) ?? [];
        return ops && token && map ? { ops, token, map } : null;
      },
      { withinMs: 60_000, what: "the demo to introduce itself" },
    );
    browser = await launchChromium();
    page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
  });
  afterAll(async () => {
    await browser?.close();
    await demo?.stop();
  });

  test("shows on the operators' page the numbers of the API, live", async () => {
    await page.goto(urls.ops);
    await page.getByLabel("Ops token").fill(urls.token);
    await page.getByRole("button", { name: "Open" }).click();
    await page.locator(".line, .tenants tbody tr").first().waitFor();
    const first = await numbersShown();
    expect(first.size).toBeGreaterThan(50);
    expect(first.get("/status/totals/accounting/delivered")).toBeGreaterThan(0);
    await until(async () => delivered(await numbersShown()) > delivered(first), {
      withinMs: 30_000,
      what: "the number to move",
    });
    expect(await page.locator("#freshness").textContent()).toMatch(/^Live/);
    expect(complaints).toEqual([]);
  });

  test("shows its vehicles on the map", async () => {
    await page.goto(urls.map);
    const rows = page.locator("#list li");
    await until(async () => (await rows.count()) > 30, { withinMs: 60_000, what: "vehicles in the list" });
    const accepted = async () =>
      Number((await page.locator("#accepted").textContent())?.replaceAll(/\D/g, ""));
    const first = await accepted();
    await until(async () => (await accepted()) > first, { withinMs: 30_000, what: "the map to move" });
    expect(await rows.first().textContent()).toMatch(/Moving \d+ mph|Stopped|Position|Heading/);
    expect(complaints).toEqual([]);
  });

  test("accepts the position of the curl it prints", async () => {
    const curl = /curl[\s\S]*?webhooks\/json/.exec(demo.stdout())?.[0] ?? "";
    const [, bearer] = /Authorization: (Bearer \S+)'/.exec(curl) ?? [];
    const [, body] = /-d '(\{.*\})'/.exec(curl) ?? [];
    const [, url] = /(http:\S+webhooks\/json)/.exec(curl) ?? [];
    const sent = body?.replace("'$(date -u +%FT%TZ)'", new Date().toISOString());
    const answer = await fetch(url ?? "", {
      method: "POST",
      headers: { authorization: bearer ?? "", "content-type": "application/json" },
      body: sent ?? "",
    });
    expect([answer.status, await answer.json()]).toEqual([200, { stored: 1, duplicates: 0, rejected: [] }]);
    await until(
      async () =>
        (await (await fetch(`${urls.map}_sandbox/pings?unitId=my-van`)).text()).includes("Moving 34 mph NE"),
      { what: "my van on the map" },
    );
  });

  test("ends in good order on Ctrl-C, and prints the sums", async () => {
    demo.kill("SIGINT");
    expect(await demo.end(90_000)).toBe("exit code 0");
    expect(demo.stderr()).toBe("");
    const said = demo.stdout();
    expect(said).toContain("The fleet stops; what is on its way is delivered.");
    const rows = [...said.matchAll(/^ {2}(\w+) +(\d+(?:\.\d+)?)$/gm)];
    const summary: Accounting = JSON.parse(`{${rows.map(([, term, n]) => `"${term}":${n}`).join()}}`);
    expect(Object.keys(summary).sort()).toEqual([...ACCOUNTING_TERMS, "p50Ms", "p99Ms"].sort());
    expect(summary).toMatchObject({ waiting: 0, inFlight: 0 });
    expect(identityOf(summary)).toEqual(HOLDS);
  });

  /**
   * Every number on the page, by where it stands; those of answers equal to the last of each. The fleet drives on, so a
   * look that falls between two answers is taken again. The status comes as an event, which no test here can see.
   */
  async function numbersShown(): Promise<Map<string, number>> {
    return await until(
      async () => {
        const answer = await page.waitForResponse((response) => NAMED.test(response.url()));
        const [, path = ""] = NAMED.exec(answer.url()) ?? [];
        const documents: Record<string, unknown> = { [path]: await answer.json() };
        // The page draws it once it has the answers that belong to it, and asks anew two seconds later.
        return await until(() => numbersLike(documents, path), { withinMs: 1000, what: "the drawing" });
      },
      { withinMs: 30_000, what: "the page to show what the API says" },
    );
  }

  /** Throws while what the page has of this answer differs from it. */
  async function numbersLike(documents: Record<string, unknown>, path: string): Promise<Map<string, number>> {
    const shown = await page
      .locator("[data-field]")
      .evaluateAll((elements) =>
        elements.map(
          (element) => [element.getAttribute("data-field") ?? "", element.textContent ?? ""] as const,
        ),
      );
    const ofAnswer = shown.filter(([pointer]) => pointer.startsWith(`/${path}/`));
    const wrong = ofAnswer.filter(
      ([pointer, text]) => text !== numberAt(documents, pointer).toLocaleString("en-US"),
    );
    if (ofAnswer.length === 0 || wrong.length > 0)
      throw new Error(`the page differs from the answer: ${wrong.slice(0, 5).join("; ")}`);
    return new Map(shown.map(([pointer, text]) => [pointer, Number(text.replaceAll(",", ""))]));
  }
});

/** The only tenant, whose fields on the page begin with this word. */
const NAMED = /\/api\/v1\/(tenant)s\/[^/?]+$/;

function delivered(numbers: ReadonlyMap<string, number>): number {
  return numbers.get("/status/totals/accounting/delivered") ?? 0;
}

/** What a JSON pointer points at. */
function numberAt(document: unknown, pointer: string): number {
  const keys = pointer.slice(1).split("/");
  const at = (value: unknown, key: string): unknown =>
    typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
  return Number(keys.reduce<unknown>(at, document));
}
