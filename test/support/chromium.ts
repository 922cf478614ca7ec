/** Starts the Chromium installed on this machine for a test that needs a real browser. */

import { type Browser, chromium } from "playwright-core";
import { findProgram } from "../../sandbox/owned-process.ts";

function findChromium(): string | null {
  return findProgram(["chromium", "chromium-browser", "google-chrome"]);
}

/** Why tests that need a browser cannot run here, or null when they can. */
export function whyNotChromium(): string | null {
  return findChromium() === null ? "chromium is not installed (apt-get install chromium)" : null;
}

export async function launchChromium(...more: string[]): Promise<Browser> {
  const executablePath = findChromium();
  if (executablePath === null) throw new Error(whyNotChromium() ?? "unreachable");
  return await chromium.launch({
    executablePath,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...more,
    ],
  });
}
