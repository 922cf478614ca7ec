/** Says which sources a topic's messages are for. */

import { topicMatcher, withoutCovered } from "../../adapters/kit/topic.ts";
import type { Source } from "../../ingest/source.ts";

export interface Subscription {
  source: Source;
  topics: readonly string[];
}

export interface Receiver {
  source: Source;
  /** Of the device: it speaks under one topic, or one for each kind of message. */
  key: string;
}

export interface Addressed {
  receivers: readonly Receiver[];
  /** Two of our filters match, and brokers may send a message once for each. */
  mayComeTwice: boolean;
}

export interface Receivers {
  /** What to subscribe to. */
  filters: readonly string[];
  of(topic: string): Addressed;
}

/** Topics worked out and remembered, some 300 bytes each; a vendor may put ids without end into them. */
const MAX_TOPICS = 20_000;

export function createReceivers(subscriptions: readonly Subscription[]): Receivers {
  const filters = withoutCovered(subscriptions.flatMap(({ topics }) => topics));
  const subscribed = filters.map(topicMatcher);
  const topicsOf = new Map<Source, string[]>();
  for (const { source, topics } of subscriptions) {
    topicsOf.set(source, [...(topicsOf.get(source) ?? []), ...topics]);
  }
  const wanted = [...topicsOf].map(([source, topics]) => ({ source, matchers: topics.map(topicMatcher) }));
  const known = new Map<string, Addressed>();

  function find(topic: string): Addressed {
    return {
      receivers: wanted
        .filter(({ matchers }) => matchers.some((matches) => matches(topic)))
        .map(({ source }) => ({ source, key: `${source.name} ${topic}` })),
      mayComeTwice: subscribed.filter((matches) => matches(topic)).length > 1,
    };
  }

  return {
    filters,
    of(topic) {
      let found = known.get(topic);
      if (!found) {
        if (known.size >= MAX_TOPICS) known.clear();
        found = find(topic);
        known.set(topic, found);
      }
      return found;
    },
  };
}
