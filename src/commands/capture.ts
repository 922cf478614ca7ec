/** The `capture` command: the next messages of a source of the running gateway, scrubbed, into a file that may be sent on. */

import { writeFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { Command } from "commander";
import type { StartedCapture } from "../ops/captures.ts";
import { wholeNumber } from "./options.ts";
import { print, printError, progressLine } from "./print.ts";

interface Options {
  config?: string;
  count: number;
  minutes: number;
  out?: string;
  token?: string;
}

const DEFAULT_COUNT = 20;
const DEFAULT_MINUTES = 10;
const ASK_EVERY_MS = 1000;

/** The file's first line: whoever opens it learns what it is, and what it cannot be used for. */
const HEAD = {
  waypost: "capture",
  note: "Ids and names are replaced, the same by the same; all positions are shifted by one unknown distance. Signatures and credentials are left out, so the messages cannot be authenticated.",
};

export function captureCommand(): Command {
  return new Command("capture")
    .description(
      "capture the next messages of a source of the running gateway, without ids, places and credentials",
    )
    .argument("<source>")
    .option("-c, --config <file>", "the running gateway's configuration")
    .option("--count <n>", "so many messages, 200 at most", wholeNumber, DEFAULT_COUNT)
    .option("--minutes <n>", "wait so long at most", wholeNumber, DEFAULT_MINUTES)
    .option("--out <file>", "write there instead of to standard output")
    .option("--token <name>", "the token of ops.tokens to use; default: the first that may operate")
    .action(async (source: string, options: Options) => {
      const messages = await capture(source, options);
      const text = [HEAD, ...messages].map((line) => JSON.stringify(line)).join("\n");
      if (options.out === undefined) for (const line of text.split("\n")) print(line);
      else await writeFile(options.out, `${text}\n`, { mode: 0o600 });
      if (messages.length === 0) throw new Error(`${source} sent no authenticated message in this time.`);
      if (options.out !== undefined) {
        printError(
          `Look at it before you send it on; \`waypost decode --captured ${options.out}\` reads it.`,
        );
      }
    });
}

async function capture(source: string, options: Options): Promise<unknown[]> {
  const { configOrExit } = await import("./configuration.ts");
  const { opsTokenFor } = await import("../config/ops-tokens.ts");
  const { refusalOf, requestApi } = await import("./gateway.ts");
  const { ops } = configOrExit(options.config);
  const { token } = opsTokenFor(ops, "operate", options.token);

  async function answerOf<T>(path: string, body?: object): Promise<T> {
    const response = await requestApi(ops, token, path, body);
    const text = await response.text();
    if (!response.ok) throw new Error(refusalOf(response, text));
    // The gateway is this program, of the same version, so the ops endpoint's types hold.
    return JSON.parse(text);
  }

  const { count, minutes } = options;
  const { id, until } = await answerOf<StartedCapture>("/captures", { source, count, minutes });
  const progress = progressLine();
  const query = `/captures?source=${encodeURIComponent(source)}&id=${encodeURIComponent(id)}`;
  let shown = -1;
  for (;;) {
    const { items } = await answerOf<{ items: unknown[] }>(query);
    if (items.length !== shown) progress.show(`${items.length} of ${count} messages`);
    shown = items.length;
    if (items.length >= count || Date.now() > Date.parse(until)) {
      progress.done();
      return items;
    }
    await pause(ASK_EVERY_MS);
  }
}
