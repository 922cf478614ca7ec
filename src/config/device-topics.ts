/** Warns where the devices of the embedded broker may not publish to the topics that their source listens to. */

import { overlap } from "../adapters/kit/topic.ts";
import { type AdapterFacts, EMBEDDED, type Report } from "./check-sources.ts";
import type { ValidSettings } from "./valid-settings.ts";

/** `options`: those of each source, as its adapter parsed them. */
export function checkDeviceTopics(
  { sources, listen }: ValidSettings,
  options: ReadonlyMap<string, unknown>,
  adapters: readonly AdapterFacts[],
  warn: Report,
): void {
  for (const [name, { vendor, mqtt }] of sources) {
    if (mqtt?.broker !== EMBEDDED) continue;
    const adapter = adapters.find((each) => each.vendor === vendor);
    const wanted = mqtt.topics ?? adapter?.topicsRead?.(options.get(name)) ?? adapter?.topics ?? [];
    const devices = [...(listen?.devices ?? []).entries()].filter(([, { source }]) => source === name);
    const [first] = devices;
    const isAllowed = devices.some(([, { username, topics }]) =>
      topics.some((filter) => wanted.some((one) => overlap(one, filter.replaceAll("%u", username)))),
    );
    if (!first || wanted.length === 0 || isAllowed) continue;
    const [index, { username, topics }] = first;
    const allowed = topics.map((filter) => filter.replaceAll("%u", username)).join(", ");
    warn(
      ["mqtt", "listen", "devices", index, "topics"],
      `${username} may publish to ${allowed}, but ${mqtt.topics ? `source ${name} listens to` : `usual for ${vendor} is`} ${wanted.join(", ")}: a device that publishes there is disconnected. Give ${devices.length === 1 ? "it" : "each device of the source"} topics: ${suggested(wanted)}, or set the topic in the device`,
    );
  }
}

/** Where a filter has its first wildcard, the device's own name stands. */
function suggested(wanted: readonly string[]): string {
  const filters = wanted.map((filter) => {
    const levels = filter.split("/");
    const own = levels.indexOf("+");
    return own < 0
      ? filter
      : [...levels.slice(0, own), "%u", ...(own < levels.length - 1 ? ["#"] : [])].join("/");
  });
  return `[${[...new Set(filters)].map((filter) => JSON.stringify(filter)).join(", ")}]`;
}
