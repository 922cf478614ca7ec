/** Any vendor that has to be asked and answers with JSON: its requests are settings, its answers are read by the paths of `json`. */

import { polled } from "./polled.ts";

export const jsonPull = polled({
  vendor: "json-pull",
  docs: "docs/polling.md",
  evidence: "documented",
  speedUnit: "optional",
  pull: {},
});
