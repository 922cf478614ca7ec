/** Whether a broker lets the gateway in and lets it read what the sources need. */

import { type BrokerAnswer, type FilterAnswer, probeBroker, probeClientId } from "../inputs/mqtt/probe.ts";
import { createRouting, type Subscription } from "../inputs/mqtt/routing.ts";
import { reasonOf } from "../network.ts";
import { brokerSettingsOf } from "../wiring.ts";
import { type Checked, notAsked, notWell, type Surroundings, type Task, well } from "./check.ts";
import { type Finding, finding } from "./findings.ts";
import { whyUnknown } from "./hosts.ts";

/** Brokers send what is retained at once and in one run. */
const QUIET_MS = 300;
/** As a member of a shared subscription `doctor` would get messages that the gateway then misses. */
const SHARED = /^\$share\//;

export function brokerTask(
  name: string,
  subscriptions: readonly Subscription[],
  surroundings: Surroundings,
): Task {
  return {
    ...{ area: "broker", of: name, check: "login" },
    run: () => brokerChecks(name, subscriptions, surroundings),
  };
}

async function brokerChecks(
  name: string,
  subscriptions: readonly Subscription[],
  { config, stepMs }: Surroundings,
): Promise<Checked[]> {
  const settings = config.mqtt.brokers[name];
  if (settings === undefined) throw new Error(`There is no broker ${name}.`);
  const { host, hostname } = new URL(settings.url);
  const all = createRouting(subscriptions).filters();
  const filters = all.filter((filter) => !SHARED.test(filter));
  const shared = all
    .filter((filter) => SHARED.test(filter))
    .map((filter) => notAsked(filter, "a member of a shared subscription takes messages from the gateway"));
  const rest = [...filters, "retained"].map((check) => notAsked(check, "there is no login"));
  const unknown = await whyUnknown(hostname, stepMs);
  if (unknown !== null) return [notWell("login", unknown), ...rest, ...shared];
  const clientId = probeClientId();
  const maxRetained = settings.receiveMaximum;
  const question = {
    settings: brokerSettingsOf(settings),
    filters,
    withinMs: stepMs,
    quietMs: QUIET_MS,
    maxRetained,
  };
  const answer = await probeBroker(question, clientId);
  if (answer.kind !== "asked") return [notWell("login", noLogin(answer, host, clientId)), ...rest, ...shared];
  const { retained } = answer;
  return [
    well("login", `accepted at ${host}, as ${clientId} and without a session`),
    ...answer.filters.map(filterCheck),
    ...shared,
    retained > maxRetained
      ? notWell("retained", finding("retained_flood", { count: maxRetained }))
      : well("retained", `${retained} retained messages`),
  ];
}

function noLogin(answer: Exclude<BrokerAnswer, { kind: "asked" }>, host: string, clientId: string): Finding {
  const { words } = answer;
  if (answer.kind === "refused") return finding("broker_login", { words, clientId });
  switch (reasonOf(answer.code, false)) {
    case "tls_error":
      return finding("tls_failed", { host, code: answer.code });
    case "dns_error":
      return finding("dns_failed", { host, code: answer.code });
    default:
      // A broker that does not know the certificate, or the client id, often just closes.
      return answer.code === "closed"
        ? finding("broker_login", { words, clientId })
        : finding("host_unreachable", { host, code: answer.code });
  }
}

function filterCheck(answer: FilterAnswer): Checked {
  const { filter } = answer;
  switch (answer.kind) {
    case "granted":
      return answer.qos === 0
        ? notWell(filter, finding("subscription_qos", { filter }))
        : well(filter, "may be read");
    case "refused":
    case "unanswered":
      return notWell(filter, finding("subscription_refused", { filter, words: answer.words }));
    default:
      return answer satisfies never;
  }
}
