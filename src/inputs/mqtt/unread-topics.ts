/** Reports messages on topics that nothing here reads, with the vendor they would fit. */

import { LRUCache } from "lru-cache";
import { adapters } from "../../adapters/index.ts";
import { topicMatcher } from "../../adapters/kit/topic.ts";
import type { Events } from "../../events/events.ts";
import type { IngestResult } from "../../ingest/result.ts";
import type { Source } from "../../ingest/source.ts";

export interface UnreadTopics {
  /** No source of the broker is for the topic. */
  unrouted(broker: string, topic: string): void;
  /** What became of a source's message. Hot. */
  handled(source: Source, topic: string, result: IngestResult | null): void;
}

interface Fit {
  vendor: string;
  filter: string;
}

/** Topics whose verdict is remembered, some 300 bytes each. */
const MAX_REMEMBERED = 1000;
/** Topics looked at in a second, some 10 µs each; a flood of ever new ones costs no more. */
const MAX_LOOKED_AT = 100;
/** How adapters call a message that came on a topic of something else. */
const OTHER_TOPIC = new Set(["other-topic", "not-hfp"]);

export function createUnreadTopics(
  events: Pick<Events, "incident">,
  now: () => number = () => performance.now(),
): UnreadTopics {
  const fits = new LRUCache<string, { fit: Fit | null }>({ max: MAX_REMEMBERED });
  let second = 0;
  let lookedAt = 0;

  /** Null also where too many topics were looked at in this second. */
  function fitOf(topic: string): Fit | null {
    const known = fits.get(topic);
    if (known) return known.fit;
    const at = Math.floor(now() / 1000);
    if (at !== second) [second, lookedAt] = [at, 0];
    if (lookedAt >= MAX_LOOKED_AT) return null;
    lookedAt += 1;
    const fit = usualTopics().find(({ matches }) => matches(topic)) ?? null;
    fits.set(topic, { fit });
    return fit;
  }

  function report(where: string, topic: string, fit: Fit | null): void {
    const facts = fit === null ? {} : { vendor: fit.vendor, filter: fit.filter };
    events.incident({ kind: "topic_unread", where, subject: topic, facts });
  }

  return {
    unrouted: (broker, topic) => report(`broker ${broker}`, topic, fitOf(topic)),
    handled(source, topic, result) {
      if (result?.kind !== "ignored") return;
      const found = fitOf(topic);
      const fit = found?.vendor === source.adapter.vendor ? null : found;
      if (isRead(source, topic, fit, result.what)) return;
      report(`source ${source.name}`, topic, fit);
    },
  };
}

/** Most adapters look at the message only: of those a topic is read unless it is another vendor's. `what`: why it was ignored. */
function isRead({ adapter, options }: Source, topic: string, fit: Fit | null, what: string): boolean {
  if (!adapter.topicsRead) return fit === null && !OTHER_TOPIC.has(what);
  const read = adapter.topicsRead(options);
  return read === null || read.some((filter) => topicMatcher(filter)(topic));
}

let usual: (Fit & { matches: (topic: string) => boolean })[] | undefined;

/** The usual topics of each vendor, but for those that could be anybody's: they begin with a device's own name. */
function usualTopics() {
  usual ??= adapters.flatMap(({ vendor, topics = [] }) =>
    topics
      .filter((filter) => !filter.startsWith("+"))
      .map((filter) => ({ vendor, filter, matches: topicMatcher(filter) })),
  );
  return usual;
}
