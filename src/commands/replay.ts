/** The `replay` command: sends a recorded capture to the running gateway. */

import { Command, InvalidArgumentError, Option } from "commander";
import type { Pace } from "./capture/sender.ts";
import { wholeNumber } from "./options.ts";
import type { ReplayRequest } from "./replay-capture.ts";

const FORMATS = `
Each line of a capture is a JSON object. Positions, for a source of vendor json with a bearer secret:
  {"vehicle":"van-1","t":"2026-11-20T08:00:00Z","lat":32.78,"lon":-96.8,"speedMps":10.7,"headingDeg":90}
  vehicle and t must be there; the rest is sent as it is, errors included, for the gateway to judge.
Messages, for a source with an MQTT broker, published with the bytes they had:
  {"receivedAt":"2026-11-20T08:00:00Z","topic":"devices/van-1","payload":"{...}"}

The exit code is 0 when every line was sent and taken; 1 when lines could not be read, were refused or given up, or
when there was nothing to send. Positions that were taken but are no valid readings are counted as rejected.`;

export function replayCommand(): Command {
  return new Command("replay")
    .description("send a recorded capture (.jsonl or .jsonl.gz) to the running gateway")
    .argument("<capture>")
    .option("-c, --config <file>", "the running gateway's configuration")
    .requiredOption(
      "--source <name>",
      "the source it is sent as: json for positions, an MQTT source for messages",
    )
    .addOption(
      new Option("--speed <speed>", "recorded, x<N> (x10), or max")
        .argParser(pace)
        .default({ kind: "fastest" }, "max"),
    )
    .option("--shift", "shift recorded times so that the capture ends now")
    .option("--lines <n>", "positions per message", wholeNumber, 50)
    .option("--concurrency <n>", "messages under way at once", wholeNumber, 16)
    .option("--json", "print the result as one line of JSON")
    .addHelpText("after", FORMATS)
    .action(async (capture: string, options: ReplayRequest) => {
      const { replayCapture } = await import("./replay-capture.ts");
      await replayCapture(capture, options);
    });
}

function pace(text: string): Pace {
  if (text === "max") return { kind: "fastest" };
  if (text === "recorded") return { kind: "recorded", times: 1 };
  const times = Number(/^x(\d+(?:\.\d+)?)$/.exec(text)?.[1]);
  if (!(times > 0)) throw new InvalidArgumentError("use recorded, x<N> such as x10, or max");
  return { kind: "recorded", times };
}
