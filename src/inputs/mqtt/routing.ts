/** Says which sources a topic's messages are for. */

import { topicMatcher, withoutCovered } from "../../adapters/kit/topic.ts";
import type { Source } from "../../ingest/source.ts";

export interface Subscription {
  source: Source;
  topics: readonly string[];
}

/** One source that a topic's messages are for. */
export interface Route {
  source: Source;
  /** Identifies the device, which publishes under one topic, or under one for each kind of message. */
  key: string;
}

export interface TopicRoutes {
  routes: readonly Route[];
  /** Two of our filters match, and brokers may send a message once for each. */
  mayComeTwice: boolean;
}

export interface Routing {
  /** What to subscribe to. */
  filters(): readonly string[];
  of(topic: string): TopicRoutes;
  /** From now on these are wanted. */
  replace(subscriptions: readonly Subscription[]): void;
}

/** Topics whose routes are remembered, some 300 bytes each; a vendor may put ids without end into its topics. */
const MAX_TOPICS = 20_000;

export function createRouting(subscriptions: readonly Subscription[]): Routing {
  let routing = routingOf(subscriptions);
  return {
    filters: () => routing.filters,
    of: (topic) => routing.of(topic),
    replace(others) {
      routing = routingOf(others);
    },
  };
}

function routingOf(subscriptions: readonly Subscription[]) {
  const filters = withoutCovered(subscriptions.flatMap(({ topics }) => topics));
  const subscribed = filters.map(topicMatcher);
  const topicsOf = new Map<Source, string[]>();
  for (const { source, topics } of subscriptions) {
    topicsOf.set(source, [...(topicsOf.get(source) ?? []), ...topics]);
  }
  const wanted = [...topicsOf].map(([source, topics]) => ({ source, matchers: topics.map(topicMatcher) }));
  const known = new Map<string, TopicRoutes>();

  function find(topic: string): TopicRoutes {
    return {
      routes: wanted
        .filter(({ matchers }) => matchers.some((matches) => matches(topic)))
        .map(({ source }) => ({ source, key: `${source.name} ${topic}` })),
      mayComeTwice: subscribed.filter((matches) => matches(topic)).length > 1,
    };
  }

  return {
    filters,
    of(topic: string): TopicRoutes {
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
