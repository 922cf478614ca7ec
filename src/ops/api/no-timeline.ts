/** Stands in for the timeline of devices while the queue keeps none: it finds nothing, and says why. */

import type { Devices, Timeline } from "./routes.ts";

export const NO_TIMELINE: { timeline: Timeline; devices: Devices } = {
  timeline: {
    search: async () => [],
    of: async () => ({
      events: [],
      reachesBackTo: null,
      unknown: ["This gateway keeps no timelines."],
      sourceEvents: [],
    }),
  },
  devices: { list: async () => [] },
};
