/** Checks all documents of a configuration, each by itself and all together, and says what is refused and what is only said. */

import { checkTogether, documentText, type Placed } from "./across.ts";
import type { AdapterFacts } from "./check-sources.ts";
import type { Document } from "./documents.ts";
import { findOpenPorts } from "./exposure.ts";
import { type Finding, pathText } from "./problems.ts";
import type { ProxySettings } from "./proxy.ts";
import { checkReuses } from "./secrets.ts";
import { checkWithin, type Within } from "./within.ts";

type AnyDocument = Parameters<typeof checkWithin>[0];

export interface Verdict {
  refused: Placed[];
  warned: Placed[];
  /** What each document comes to. */
  within: ReadonlyMap<Document, Within>;
}

export interface CheckInput {
  main: AnyDocument;
  tenants: readonly AnyDocument[];
  proxy: ProxySettings;
  allowWeak: boolean;
  /** Tenants may come while the gateway runs. */
  mayBeEmpty: boolean;
}

/** Checks again and again, and remembers each document that has not changed. */
export function createChecker(adapters: readonly AdapterFacts[]): (input: CheckInput) => Verdict {
  const ofMain = new WeakMap<Document, Within>();
  /** By the main document, whose brokers a tenant may use. */
  const ofTenants = new WeakMap<Document, WeakMap<Document, Within>>();

  function withinOf(main: AnyDocument, document: AnyDocument): Within {
    const isMain = document === main;
    let known = isMain ? ofMain : ofTenants.get(main);
    if (!known) {
      known = new WeakMap();
      ofTenants.set(main, known);
    }
    let within = known.get(document);
    if (!within) {
      within = checkWithin(document, isMain ? null : main.valid, adapters);
      known.set(document, within);
    }
    return within;
  }

  return ({ main, tenants, proxy, allowWeak, mayBeEmpty }) => {
    const documents = [main, ...tenants];
    const within = new Map(documents.map((document) => [document, withinOf(main, document)]));
    const each = (of: (one: Within) => readonly Finding[]): Placed[] =>
      [...within].flatMap(([document, one]) => of(one).map((finding) => ({ ...finding, document })));
    const together = unlessMissing(checkTogether(main, tenants, adapters, mayBeEmpty));
    const wrong = [...each((one) => one.wrong), ...together];
    const weak = [...each((one) => one.weak), ...unlessMissing(reusesIn(within))];
    const open: Placed[] = [];
    findOpenPorts(main.valid, proxy, (path, message) => void open.push({ document: main, path, message }));
    return {
      refused: allowWeak ? wrong : [...wrong, ...unlessReported(weak, wrong)],
      warned: [...(allowWeak ? weak : []), ...open, ...each((one) => one.risky)],
      within,
    };
  };
}

function* usesIn(within: ReadonlyMap<Document, Within>) {
  for (const [document, { secrets }] of within) for (const use of secrets) yield { ...use, document };
}

function reusesIn(within: ReadonlyMap<Document, Within>): Placed[] {
  const found: Placed[] = [];
  checkReuses(
    usesIn(within),
    ({ document, path }) =>
      document.tenant === null ? pathText(path) : `${pathText(path)} of ${documentText(document)}`,
    ({ document, path }, message) => void found.push({ document, path, message }),
  );
  return found;
}

function unlessMissing(findings: readonly Placed[]): Placed[] {
  return findings.filter(({ document, path }) => !document.gaps.has(pathText(path)));
}

/** One problem for each setting: a secret that is too short for the schema is not reported as weak as well. */
function unlessReported(findings: readonly Placed[], reported: readonly Placed[]): Placed[] {
  const places = new Map<Document, Set<string>>();
  for (const { document, path } of reported) {
    const known = places.get(document) ?? new Set();
    places.set(document, known.add(pathText(path)));
  }
  return findings.filter(({ document, path }) => !places.get(document)?.has(pathText(path)));
}
