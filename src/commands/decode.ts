/** The `decode` command: decodes one message, or a sequence of them, with a vendor's adapter and prints the result. */

import { buffer } from "node:stream/consumers";
import { Command, Option } from "commander";
import { SPEED_UNITS } from "../reading.ts";
import { json } from "./options.ts";
import { printJson } from "./print.ts";

interface Options {
  topic?: string;
  headers?: string;
  query?: string;
  contentType?: string;
  speedUnit?: string;
  receivedAt?: string;
  retained?: boolean;
  quarantined?: boolean;
  captured?: string;
  sequence?: string;
  options?: unknown;
  config?: string;
  source?: string;
}

export function decodeCommand(): Command {
  return new Command("decode")
    .description("decode one message from standard input with a vendor's adapter and print the result")
    .argument("[vendor]", "without it, the adapters that read the message are named")
    .option("--topic <topic>", "MQTT topic of the message")
    .option("--headers <file>", "JSON file of its HTTP headers")
    .option("--query <query>", "its query string")
    .option("--content-type <type>")
    .addOption(new Option("--speed-unit <unit>", "where the vendor documents none").choices([...SPEED_UNITS]))
    .option("--received-at <time>", "ISO time; default now")
    .option("--retained", "it was a retained MQTT message")
    .option(
      "--sequence <file>",
      "JSON array of {topic, payload, receivedAt, retain?} instead of standard input",
    )
    .option("--options <json>", "the source's options", json)
    .option(
      "-c, --config <file>",
      "take options and speed unit from the vendor's source in this configuration",
    )
    .option("--source <name>", "which source, where several have the vendor")
    .option("--quarantined", "standard input is a message from /quarantine/<id> of the ops endpoint")
    .option("--captured <file>", "a file of `waypost capture` instead of standard input; it names its vendor")
    .action(async (typed: string | undefined, { headers, sequence, captured, ...given }: Options) => {
      const { decodeMessages } = await import("./decode-messages.ts");
      const { config, source, ...options } = given;
      const configured =
        config === undefined && source === undefined ? null : await configuredSource(config, typed, source);
      const vendor = configured?.vendor ?? typed;
      const body = sequence || captured ? new Uint8Array() : await buffer(process.stdin);
      const request = {
        vendor: vendor ?? null,
        ...options,
        ...(configured && { configured: { options: configured.options, speedUnit: configured.speedUnit } }),
        headersFile: headers,
        sequenceFile: sequence,
        capturedFile: captured,
      };
      const decoded = await decodeMessages(request, body);
      printJson(decoded);
      // Scripts can tell by it that nothing was read; what an ignored message says was read.
      if (decoded.kind === "malformed") process.exitCode = 1;
    });
}

async function configuredSource(
  file: string | undefined,
  vendor: string | undefined,
  name: string | undefined,
) {
  const { configOrExit } = await import("./configuration.ts");
  const { sources } = configOrExit(file);
  const fitting = Object.entries(sources).filter(
    ([each, settings]) =>
      (name === undefined || each === name) && (vendor === undefined || settings.vendor === vendor),
  );
  const [found] = fitting;
  const wanted = [vendor && `of the vendor ${vendor}`, name && `called ${name}`].filter(Boolean).join(" ");
  if (!found) {
    const all = Object.entries(sources).map(([each, settings]) => `${each} (${settings.vendor})`);
    throw new Error(`The configuration has no source ${wanted}. There are: ${all.join(", ")}.`);
  }
  if (fitting.length > 1) {
    const names = fitting.map(([each]) => each).join(", ");
    throw new Error(`Several sources are meant: ${names}. Name one with --source.`);
  }
  return found[1];
}
