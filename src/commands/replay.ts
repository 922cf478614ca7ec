/** The `replay` command: sends a recorded capture to the running gateway. */

import { Command, InvalidArgumentError, Option } from "commander";
import type { Pace } from "./capture/sender.ts";
import { wholeNumber } from "./options.ts";
import type { ReplayRequest } from "./replay-capture.ts";

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
