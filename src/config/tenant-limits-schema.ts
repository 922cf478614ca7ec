/** The settings that bound what one tenant may send and have waiting. */

import { z } from "zod";

/** What is left out has no limit. */
export const tenantLimitsSchema = z.strictObject({
  readingsPerSecond: z
    .number()
    .positive()
    .optional()
    .describe("Readings a second that its sources may send; two seconds' worth may come at once."),
  devices: z.int().positive().optional().describe("Devices of its sources whose readings are stored."),
  backlog: z.int().positive().optional().describe("Pings that may wait for its destinations at once."),
});
