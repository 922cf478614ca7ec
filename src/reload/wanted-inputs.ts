/** What brokers' connections and pollers follow: each with what makes it another one that has to begin anew. */

import type { Config } from "../config/config.ts";
import { stampOf } from "../config/stamps.ts";
import { writtenOptions } from "../config/within.ts";
import type { Source } from "../ingest/source.ts";
import type { WantedBroker } from "../inputs/mqtt/leased-broker.ts";
import type { WantedPoller } from "../inputs/poll/leased-poller.ts";
import { brokerSettingsOf, pullOf, subscriptionsOf } from "../wiring.ts";

/** What each broker's connection follows. */
export function wantedBrokersOf(
  config: Config,
  sources: ReadonlyMap<string, Source>,
): Map<string, WantedBroker> {
  return new Map(
    Object.entries(config.mqtt.brokers).map(([name, settings]): [string, WantedBroker] => {
      const { ca, cert, key, receiveMaximum } = settings;
      const certificates = [ca, cert, key].map((file) => file && stampOf(file));
      return [
        name,
        {
          identity: JSON.stringify([settings, certificates]),
          receiveMaximum,
          settings: () => brokerSettingsOf(settings),
          subscriptions: subscriptionsOf(config, sources, name),
        },
      ];
    }),
  );
}

/** What each poller follows; sources that send by themselves are not among them. */
export function wantedPollersOf(
  config: Config,
  sources: ReadonlyMap<string, Source>,
): Map<string, WantedPoller> {
  return new Map(
    [...sources.values()].flatMap((source): [string, WantedPoller][] => {
      const asked = pullOf(config, source);
      if (!asked) return [];
      const { options, ...settings } = config.sources[source.name] ?? {};
      const identity = JSON.stringify([
        settings,
        writtenOptions(options),
        source.maxAgeMs,
        source.maxReadings,
      ]);
      return [[source.name, { identity, source, ...asked }]];
    }),
  );
}
