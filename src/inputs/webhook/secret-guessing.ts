/** Applies the budget for guessing to webhooks: which sources' secrets can be guessed, and which results count as a guess. */

import type { MessageHead } from "../../adapters/kit/adapter.ts";
import type { Authentication } from "../../ingest/authenticate.ts";
import type { Source } from "../../ingest/source.ts";
import { createGuessing, type GuessingEvents, type Verdict } from "../../limits/guessing.ts";
import type { WebhookResult } from "./answers.ts";

export interface SecretGuessing {
  /** Asked before the credentials of a sender at this address are checked. */
  verdict(source: Source, address: string): Verdict;
  wait(ms: number): Promise<void>;
  learn(source: Source, address: string, result: WebhookResult | Authentication<MessageHead>): void;
}

const GO = { kind: "go" } as const;

export function createSecretGuessing(events: GuessingEvents): SecretGuessing {
  const guessing = createGuessing({ door: "webhook", events, where: (name) => `source ${name}` });
  return {
    verdict: (source, address) => (hasSecrets(source) ? guessing.verdict(address, source.name) : GO),
    wait: guessing.wait,
    learn(source, address, result) {
      if (!hasSecrets(source)) return;
      const { kind } = result;
      if (kind === "refused") {
        if (result.guess) guessing.failed(address, source.name);
        // A handshake may have come without credentials; of the other two it is not known.
      } else if (kind !== "handshake" && kind !== "failed" && kind !== "late") {
        guessing.succeeded(address, source.name);
      }
    },
  };
}

/** Where the credential is no secret, nothing can be guessed. */
function hasSecrets({ authMethod }: Source): boolean {
  return authMethod?.needs.includes("secrets") ?? false;
}
