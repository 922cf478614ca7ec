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
    .option("--quarantined", "standard input is a message from /quarantine/<id> of the ops endpoint")
    .option("--captured <file>", "a file of `waypost capture` instead of standard input; it names its vendor")
    .action(async (vendor: string | undefined, { headers, sequence, captured, ...options }: Options) => {
      const { decodeMessages } = await import("./decode-messages.ts");
      const body = sequence || captured ? new Uint8Array() : await buffer(process.stdin);
      const request = {
        vendor: vendor ?? null,
        ...options,
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
