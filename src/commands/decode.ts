/** The `decode` command: one message, or a sequence of them, through a vendor's adapter, and what came out. */

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
  sequence?: string;
  options?: unknown;
}

export function decodeCommand(): Command {
  return new Command("decode")
    .description("read one message from standard input through a vendor's adapter and print what it says")
    .argument("<vendor>")
    .option("--topic <topic>", "MQTT topic it came by")
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
    .action(async (vendor: string, { headers, sequence, ...options }: Options) => {
      const { decodeMessages } = await import("./decode-messages.ts");
      const body = sequence ? new Uint8Array() : await buffer(process.stdin);
      const request = { vendor, ...options, headersFile: headers, sequenceFile: sequence };
      printJson(await decodeMessages(request, body));
    });
}
