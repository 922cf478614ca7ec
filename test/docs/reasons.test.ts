/** Every reason of every closed list has a heading that says what it means, and no heading stands for a reason that is gone. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { adapters } from "../../src/adapters/index.ts";
import type { RefusalReason, StoreError } from "../../src/ingest/store.ts";
import type { PollReason } from "../../src/inputs/poll/state.ts";
import type { ConnectionRefusal } from "../../src/limits/connections.ts";
import type { NetworkReason } from "../../src/network.ts";
import type { DeadLetterReason } from "../../src/queue/deliver/settlement.ts";
import { FIELD_DEFECTS, REJECTION_REASONS } from "../../src/reading.ts";
import type { UnavailableReason } from "../../src/servicetitan/exchange.ts";
import type { BlockedReason } from "../../src/servicetitan/outcome.ts";
import { SPOOL_PROBLEMS } from "../../src/spool/events.ts";
import { ACCOUNTING_TERMS } from "../../src/status/accounting.ts";
import { OPS_REFUSALS } from "../../src/status/operators.ts";
import { INCIDENT_KINDS } from "../../src/status/process.ts";
import { pageAt, ROOT } from "./pages.ts";

/** Checked when types are: a reason that is added or goes makes one of these objects wrong. */
const refusals = {
  ...{ unauthenticated: 0, guessing: 0, too_large: 0, wrong_method: 0, unsupported_encoding: 0, given_up: 0 },
} satisfies Record<RefusalReason, 0>;
const deferrals = {
  ...{ storage_unavailable: 0, buffer_full: 0, share_used_up: 0, source_removed: 0 },
  ...{ tenant_paused: 0, tenant_rate: 0, tenant_backlog: 0 },
} satisfies Record<StoreError["reason"], 0>;
const deadLetters = { failed: 0, unconfirmed: 0, oversize: 0, refused: 0 } satisfies Record<
  DeadLetterReason,
  0
>;
const passing = {
  timeout: 0,
  connection_refused: 0,
  connection_reset: 0,
  connect_timeout: 0,
  dns_error: 0,
  tls_error: 0,
  proxy_refused: 0,
  network_error: 0,
  token_unavailable: 0,
} satisfies Record<Exclude<UnavailableReason, `http_${number}`>, 0>;
const blocking = {
  unauthorized: 0,
  forbidden: 0,
  not_found: 0,
  credentials_refused: 0,
  redirect: 0,
  refused_everything: 0,
  unreadable_answers: 0,
} satisfies Record<Exclude<BlockedReason, `http_${number}`>, 0>;
const polling = {
  throttled: 0,
  vendor_unavailable: 0,
  vendor_error: 0,
  unreadable_answer: 0,
  answer_too_large: 0,
  cursor_refused: 0,
  storage_unavailable: 0,
  internal_error: 0,
  unauthorized: 0,
  forbidden: 0,
  not_found: 0,
  bad_request: 0,
  over_limit: 0,
  redirect: 0,
  foreign_host: 0,
  private_address: 0,
  login_refused: 0,
  too_many_logins: 0,
} satisfies Record<Exclude<PollReason, NetworkReason | `http_${number}`>, 0>;
const connections = {
  address_full: 0,
  port_full: 0,
  made_room: 0,
  owner_full: 0,
} satisfies Record<ConnectionRefusal, 0>;

const page = pageAt("docs/reasons.md");
/** Of each reason's heading: the list's word, the reason, and the text below it. */
const described = page.text.split(/^(?=#{2,3} )/m).flatMap((section) => {
  const [, list, reason, text = ""] = /^### (\S+(?: letter)?) `([^`]+)`\n([\s\S]*)$/.exec(section) ?? [];
  return list === undefined || reason === undefined ? [] : [{ list, reason, text: text.trim() }];
});

test.each([
  ["Rejection", REJECTION_REASONS],
  ["Defect", FIELD_DEFECTS],
  ["Drop", ["unmapped: hold"]],
  ["Refusal", Object.keys(refusals)],
  ["503", [...Object.keys(deferrals), "late", "no_room", "guessing", "unknown_here_yet"]],
  ["Quarantine", ["malformed", "internal_error"]],
  ["Dead letter", Object.keys(deadLetters)],
  [
    "Gate",
    [...Object.keys(passing), "throttled", "http_408", "http_5xx", ...Object.keys(blocking), "http_…"],
  ],
  ["Poll", [...Object.keys(polling), "http_408", "http_5xx"]],
  ["Incident", INCIDENT_KINDS],
  ["Connection", Object.keys(connections)],
  ["Ops", OPS_REFUSALS],
  ["Spool", SPOOL_PROBLEMS],
])("%s: each reason has a heading and an explanation", (list, reasons) => {
  const found = described.filter((each) => each.list === list);
  expect(found.map(({ reason }) => reason).sort()).toEqual([...reasons].sort());
  for (const { reason, text } of found) expect(text, reason).toMatch(/\w{3,} \w+/);
});

test("Why: each word that a method may give has a heading", () => {
  const said = new Set<string>();
  const message = {
    headers: {},
    query: {},
    receivedAt: 0,
    retained: false,
    body: new Uint8Array(),
    method: "GET",
  };
  for (const method of adapters.flatMap(({ auth }) => auth)) {
    for (const sent of [message, { ...message, method: "POST" }]) {
      said.add(method.verify(sent, { secrets: ["a secret"] }) ?? "");
    }
  }
  expect(said.size).toBeGreaterThan(1);
  // The others take a secret of each method's own to bring about; in the code they stand as words.
  const code = readFileSync(join(ROOT, "src/adapters/kit/auth.ts"), "utf8");
  const words = [...code.matchAll(/(?:return|[?:]) "([a-z]+_[a-z]+)";/g)].flatMap(([, word = ""]) => word);
  const known = described.filter(({ list }) => list === "Why").map(({ reason }) => reason);
  expect(known.sort()).toEqual([...new Set([...said, ...words])].sort());
});

test("what needs a person stands apart from what passes by itself", () => {
  const under = (heading: string) => page.text.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  const gates = (heading: string) =>
    [...under(heading).matchAll(/^### Gate `([^`]+)`$/gm)].flatMap(([, reason = ""]) => reason);
  expect(gates("Gates that open by themselves").sort()).toEqual(
    [...Object.keys(passing), "throttled", "http_408", "http_5xx"].sort(),
  );
  expect(gates("Gates that need a person").sort()).toEqual([...Object.keys(blocking), "http_…"].sort());
});

test("every term of the accounting is explained", () => {
  const [, section = ""] = /## The accounting\n([\s\S]*?)\n## /.exec(pageAt("docs/guarantees.md").text) ?? [];
  const terms = [...section.matchAll(/^- `(\w+)`: (.+)$/gm)];
  expect(terms.map(([, term = ""]) => term)).toEqual(ACCOUNTING_TERMS);
  for (const [, term, meaning] of terms) expect(meaning, term).toMatch(/\w{3,}/);
});
