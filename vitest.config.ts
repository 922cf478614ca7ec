/** How tests are run: real processes, few at a time, in a time zone that shows every place where local time slips in. */

import { defineConfig } from "vitest/config";
import { LongestFirst } from "./test/support/order.ts";
import { ALONE_FILES } from "./test/support/shared.ts";
import { measureSpeed, scaled } from "./test/support/speed.ts";
import { summary } from "./test/support/summary.ts";

// Offset +12:45, +13:45 in summer: no machine's own zone, and wrong by more than half a day when taken for UTC.
process.env.TZ = "Pacific/Chatham";

measureSpeed();

const everyFile = {
  pool: "forks",
  // Tests start programs of their own (Redis, brokers, gateways); more workers than cores only makes them wait.
  maxWorkers: 2,
  testTimeout: scaled(30_000),
  hookTimeout: scaled(60_000),
} as const;

export default defineConfig({
  test: {
    globalSetup: ["test/support/compiled.ts"],
    reporters: ["default", summary()],
    sequence: { sequencer: LongestFirst },
    projects: [
      { test: { ...everyFile, name: "alone", include: [...ALONE_FILES] } },
      // Starting a process and loading the modules costs most of these files more than their tests.
      {
        test: {
          ...everyFile,
          name: "shared",
          include: ["test/**/*.test.ts"],
          exclude: [...ALONE_FILES],
          isolate: false,
        },
      },
    ],
  },
});
