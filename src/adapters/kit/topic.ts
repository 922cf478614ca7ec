/** MQTT topic filters (MQTT 3.1.1 §4.7): which topics a filter matches, and which filters overlap. */

const SHARED = /^\$share\/[^/]+\//;

/** Builds the test "does this filter deliver that topic", by the rules of MQTT 3.1.1 §4.7. */
export function topicMatcher(filter: string): (topic: string) => boolean {
  const plain = filter.replace(SHARED, "");
  if (!/[+#]/.test(plain)) return (topic) => topic === plain;
  const levels = plain.split("/");
  // A wildcard at the first level does not reach the broker's own topics ($SYS and the like).
  const reachesDollar = levels[0] !== "+" && levels[0] !== "#";
  return (topic) => (reachesDollar || !topic.startsWith("$")) && levelsMatch(levels, topic.split("/"));
}

/** The same for a topic that is split into its levels already, and for a filter that is no shared subscription. */
export function levelsMatcher(filter: string): (topic: readonly string[]) => boolean {
  const levels = filter.split("/");
  return (topic) => levelsMatch(levels, topic);
}

function levelsMatch(filter: readonly string[], topic: readonly string[]): boolean {
  for (let i = 0; i < filter.length; i++) {
    const level = filter[i];
    // `a/#` also delivers `a` itself.
    if (level === "#") return true;
    if (i >= topic.length || (level !== "+" && level !== topic[i])) return false;
  }
  return filter.length === topic.length;
}

/** Leaves out filters that another one includes: for those the broker would deliver every message twice. */
export function withoutCovered(filters: readonly string[]): string[] {
  const unique = [...new Set(filters)];
  return unique.filter((filter) => !unique.some((other) => other !== filter && covers(other, filter)));
}

function covers(wide: string, narrow: string): boolean {
  // Each member of a shared subscription gets a part of the messages: none covers another.
  if (SHARED.test(wide) || SHARED.test(narrow)) return false;
  const above = wide.split("/");
  const below = narrow.split("/");
  if (below[0]?.startsWith("$") && (above[0] === "+" || above[0] === "#")) return false;
  for (let i = 0; i < above.length; i++) {
    if (above[i] === "#") return true;
    if (i >= below.length || below[i] === "#") return false;
    if (above[i] !== "+" && above[i] !== below[i]) return false;
  }
  return above.length === below.length;
}

/** Whether some topic matches both filters. */
export function overlap(one: string, other: string): boolean {
  return levelsOverlap(one.replace(SHARED, "").split("/"), other.replace(SHARED, "").split("/"));
}

function levelsOverlap([one, ...rest]: readonly string[], [other, ...more]: readonly string[]): boolean {
  // Also where the other filter has ended: `a/#` matches `a` itself.
  if (one === "#" || other === "#") return true;
  if (one === undefined || other === undefined) return one === other;
  return (one === other || one === "+" || other === "+") && levelsOverlap(rest, more);
}
