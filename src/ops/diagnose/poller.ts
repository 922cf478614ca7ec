/** Finds problems of pull sources: why fixes do not come in, and which were lost. */

import type { PollerStatus } from "../../status/process.ts";
import { durationText } from "./duration.ts";
import { error, type Finding, warning } from "./problem.ts";

/** Shorter failures of a vendor are no problem worth showing. */
const FAILING_WARN_MS = 60_000;
/** Half of the age at which a ping expires by default. */
const FAILING_ERROR_MS = 300_000;
/** For this long a gap is shown. */
const GAP_SHOWN_MS = 86_400_000;

/** Reasons that need a person; for all others polling continues by itself. */
const REFUSED: Record<string, { meaning: string; doNext: string }> = {
  unauthorized: {
    meaning: "The vendor does not accept our token or password",
    doNext:
      "Compare auth.secret, and auth.username and pull.database where the vendor has them, with the vendor's account. A new secret needs a restart.",
  },
  forbidden: {
    meaning: "The vendor knows us but does not let us read positions",
    doNext: "Give the token or the account the right to read vehicles and their positions.",
  },
  not_found: {
    meaning: "What we ask for is not there",
    doNext: "Check pull.baseUrl; without it the vendor's usual address is asked.",
  },
  bad_request: {
    meaning: "The vendor does not understand our request",
    doNext:
      "Look the vendor's word in the brackets up in its documentation, and check auth, pull and options: waypost doctor tries them. If they are right, the vendor has changed its interface: report it.",
  },
  over_limit: {
    meaning: "The vendor says we ask for more than it gives at once",
    doNext: "The vendor has changed its limits: report it.",
  },
  redirect: {
    meaning: "The vendor's address answers with a redirect, which is never followed with credentials",
    doNext: "Check pull.baseUrl and the proxy settings.",
  },
  foreign_host: {
    meaning: "The vendor sends us to a host that is not known as its own, which gets no credentials",
    doNext: "Ask the vendor whether the host is theirs, and report it.",
  },
  private_address: {
    meaning: "The vendor's name leads into our own network, where credentials are not sent",
    doNext: "Check pull.baseUrl and this network's DNS. If it is meant so, set pull.privateNetwork: true.",
  },
  login_refused: {
    meaning: "The vendor refused our login several times in a row, and another try could lock the account",
    doNext:
      "Compare auth and pull.login with the vendor's account, then restart. Without that, it is tried again each hour.",
  },
  too_many_logins: {
    meaning: "The vendor wanted more logins in an hour than pull.loginsPerHour allows",
    doNext:
      "See whether another program logs in with this account and ends our session. If the vendor's tokens are that short-lived, raise pull.loginsPerHour.",
  },
};

/** A vendor that shows all vehicles in each round has none so many times in a row. */
const EMPTY_ROUNDS = 3;

export function diagnosePoller(poller: PollerStatus, nowMs: number): Finding[] {
  return [...diagnoseState(poller, nowMs), ...diagnoseEmpty(poller), ...diagnoseGap(poller, nowMs)];
}

function diagnoseState(poller: PollerStatus, nowMs: number): Finding[] {
  const where = `source ${poller.name}`;
  const forMs = nowMs - Date.parse(poller.since);
  const why = [poller.reason ?? "no reason was given", poller.detail]
    .filter((word) => word !== "")
    .join(", ");
  switch (poller.state) {
    case "polling":
    case "standby":
      return [];
    case "starting":
    case "throttled":
    case "failing": {
      if (forMs < FAILING_WARN_MS) return [];
      const problem = forMs < FAILING_ERROR_MS ? warning : error;
      return [
        problem("poll_failing", where, {
          what: `No positions could be fetched for ${durationText(forMs)} (${why}). They stay with the vendor until then.`,
          doNext:
            "Nothing now: polling continues by itself. If it lasts, see the vendor's status page and this machine's way to it.",
        }),
      ];
    }
    case "refused": {
      const { meaning, doNext } = REFUSED[poller.reason ?? ""] ?? {
        meaning: "The vendor refuses us",
        doNext: "Look for pollStateChanged in the log.",
      };
      return [
        error("poll_refused", where, { what: `${meaning} (${why}), so no positions come in.`, doNext }),
      ];
    }
    default:
      return poller.state satisfies never;
  }
}

function diagnoseEmpty({ name, state, reads }: PollerStatus): Finding[] {
  if (state !== "polling" || reads.emptyRounds < EMPTY_ROUNDS) return [];
  return [
    warning("poll_empty", `source ${name}`, {
      what: `The vendor answers, but its last ${reads.emptyRounds} rounds held no vehicle at all.`,
      doNext:
        "See at the vendor whether the account may see vehicles, and compare options.readings with an answer: waypost doctor shows one.",
    }),
  ];
}

function diagnoseGap({ name, gap }: PollerStatus, nowMs: number): Finding[] {
  if (gap === null || nowMs - Date.parse(gap.to) > GAP_SHOWN_MS) return [];
  return [
    warning("poll_gap", `source ${name}`, {
      what: `Positions between ${gap.from} and ${gap.to} were not fetched: the vendor had forgotten where we were.`,
      doNext: "They are too old for dispatching. For other purposes, take them from the vendor's history.",
    }),
  ];
}
