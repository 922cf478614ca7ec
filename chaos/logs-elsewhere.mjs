/** Preloaded into a gateway: its log goes nowhere, so that a full disk is full for its spool alone. */

import { closeSync, openSync } from "node:fs";

closeSync(1);
// The lowest number that is free: 1.
openSync("/dev/null", "w");
