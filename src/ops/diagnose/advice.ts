/** What an operator should do about each reason of a gate and of a dead letter. */

export interface Advice {
  /** What the reason means, to follow "because". */
  meaning: string;
  doNext: string;
}

const NOTHING_NEEDED = "Nothing: sending starts again by itself.";

/** By the reasons of outcomes; a reason without an entry is an HTTP status, or new. */
const ADVICE: Record<string, Advice> = {
  // Conditions of a destination: a person has to change something.
  unauthorized: {
    meaning: "ServiceTitan does not accept our token or app key (401), not even a fresh one",
    doNext:
      "Check appKey, clientId and clientSecret, and that the environment (production or integration) is the one they were made for. In ServiceTitan, see that the app is not disabled under Settings, Integrations, API Application Access.",
  },
  credentials_refused: {
    meaning: "ServiceTitan's token endpoint refuses clientId or clientSecret",
    doNext:
      "Copy clientId and clientSecret again; a pasted space or newline and credentials of the other environment are the usual causes. If the secret was regenerated, configure the new one and restart.",
  },
  forbidden: {
    meaning: "ServiceTitan knows the app but does not allow it to push GPS pings (403)",
    doNext:
      "The app needs the scope tn.dis.gpspings:w, the tenant's administrator must have accepted that version of the app, and Connect App must name this GPS provider.",
  },
  not_found: {
    meaning: "ServiceTitan does not know this tenant or GPS provider (404)",
    doNext:
      "Check tenant (the numeric id), provider (spelled as ServiceTitan gave it) and the environment or apiUrl.",
  },
  redirect: {
    meaning: "the address answers with a redirect, which is never followed with credentials",
    doNext: "Correct apiUrl and authUrl: something other than ServiceTitan's API answers there.",
  },
  refused_everything: {
    meaning: "every ping of a batch was refused when tried one by one, so the cause is not one ping",
    doNext: "Read the messages of the last attempts below; check provider and speedUnit of the destination.",
  },
  unreadable_answers: {
    meaning:
      "ServiceTitan answers as if all were well (2xx), but its answers cannot be read or confirm no ping at all",
    doNext:
      "Nothing is lost: one request goes out every few seconds, and sending starts again when its answer can be read. If it lasts, see that apiUrl leads to ServiceTitan's API and that no proxy answers in its place; the log's attemptMade says what came back.",
  },
  // Conditions that pass.
  throttled: {
    meaning: "ServiceTitan says we send too often (429)",
    doNext:
      "Nothing now: sending resumes by itself. If it keeps happening, another integration uses the same app and tenant: lower ratePerSecond.",
  },
  timeout: {
    meaning: "ServiceTitan does not answer in time",
    doNext: `${NOTHING_NEEDED} If it lasts, see status.servicetitan.com.`,
  },
  connection_refused: {
    meaning: "nothing answers at ServiceTitan's address",
    doNext: `${NOTHING_NEEDED} If it lasts, check apiUrl, the firewall and the proxy settings.`,
  },
  connection_reset: { meaning: "connections to ServiceTitan are cut", doNext: NOTHING_NEEDED },
  connect_timeout: {
    meaning: "no connection to ServiceTitan can be opened",
    doNext: "Check that this machine reaches the internet: firewall, proxy settings, routing.",
  },
  dns_error: {
    meaning: "ServiceTitan's host name cannot be resolved",
    doNext: "Check apiUrl and authUrl for typing errors, and this machine's DNS.",
  },
  tls_error: {
    meaning: "ServiceTitan's certificate is not accepted",
    doNext:
      "Check this machine's clock and whether a proxy intercepts TLS; its authority must be trusted by Node.",
  },
  proxy_refused: {
    meaning: "the proxy opens no tunnel to ServiceTitan",
    doNext:
      "Check HTTPS_PROXY and NO_PROXY: address, user and password, and which hosts the proxy lets through.",
  },
  network_error: {
    meaning: "the network between us and ServiceTitan fails",
    doNext: `${NOTHING_NEEDED} If it lasts, check this machine's network.`,
  },
  token_unavailable: {
    meaning: "ServiceTitan's token endpoint does not answer",
    doNext: `${NOTHING_NEEDED} If it lasts, check authUrl and see status.servicetitan.com.`,
  },
};

/** Reasons that do not pass until a person acts. */
const BLOCKED = new Set([
  "unauthorized",
  "credentials_refused",
  "forbidden",
  "not_found",
  "redirect",
  "refused_everything",
  "unreadable_answers",
]);

/** Whether the reason waits for a person; `http_5xx`, `http_408` and the network pass by themselves. */
export function needsAPerson(reason: string): boolean {
  return BLOCKED.has(reason) || (/^http_[1-4]/.test(reason) && reason !== "http_408");
}

export function adviceFor(reason: string | null): Advice {
  if (reason === null)
    return { meaning: "no reason was recorded", doNext: "Look for gateChanged in the log." };
  const known = ADVICE[reason];
  if (known) return known;
  const status = reason.match(/^http_(\d+)$/)?.[1];
  if (status === undefined) return { meaning: reason, doNext: "Look for attemptMade in the log." };
  const meaning = `ServiceTitan answers ${status}`;
  if (needsAPerson(reason))
    return { meaning, doNext: "Look for attemptMade in the log: it has the answer's detail." };
  return { meaning, doNext: `${NOTHING_NEEDED} If it lasts, see status.servicetitan.com.` };
}

const REDRIVE = "waypost redrive dead-letters sends them again";

/** By the reasons of dead letters (queue/settlement.ts). */
const DEAD_LETTERS: Record<string, { what: string; doNext: string }> = {
  failed: {
    what: "ServiceTitan refused positions for good",
    doNext:
      "Check that the unit is listed under Devices of the GPS provider in ServiceTitan and that the mapping names it so.",
  },
  unconfirmed: {
    what: "ServiceTitan took requests twice and never said what became of some positions",
    doNext: `It may have them: look for the unit on the Dispatch Map before anything else. It confirmed others meanwhile, so give its support the externalId; ${REDRIVE}.`,
  },
  oversize: {
    what: "Single positions are too large for ServiceTitan (413) while others are taken",
    doNext: `Look at the details in the dead letter: a very long address or name makes it large. Otherwise a proxy has a limit of its own on request bodies; with that raised, ${REDRIVE}.`,
  },
  refused: {
    what: "ServiceTitan refused the requests of single positions while it accepts others (400, 422 or 500)",
    doNext: `The words at the end are ServiceTitan's: they name the field. Correct what the vendor or the mapping says there; then ${REDRIVE}.`,
  },
};

export function adviceForDeadLetter(reason: string): { what: string; doNext: string } {
  return (
    DEAD_LETTERS[reason] ?? {
      what: "Positions were given up",
      doNext: "Look for pingsDeadLettered in the log.",
    }
  );
}
