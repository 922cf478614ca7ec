/** Amazon's SNS between a vendor and us: its envelope around an event, and the beginning and end of a subscription. */

import type { AuthMethod, Handshake } from "./adapter.ts";
import { basic } from "./auth.ts";
import { parseJson } from "./bounds.ts";
import type { Problems } from "./each.ts";
import { isRecord } from "./fields.ts";

/**
 * For a vendor whose own proof does not travel through SNS: name and password in the address of the subscription, which SNS
 * sends as HTTP Basic. SNS also signs what it sends, but with a certificate that would have to be fetched to verify it.
 */
export function basicOfSns(): AuthMethod {
  // SNS sends its confirmation without credentials, and after a 401 again with them.
  return { ...basic(), isByNameOnly: true, challenge: "Basic" };
}

/** The vendor's event, which SNS wraps in an envelope unless raw delivery is configured. */
export function fromEnvelope(
  raw: unknown,
  { maxReadings }: { maxReadings: number },
): { value: unknown } | Problems {
  if (!isRecord(raw) || raw.Type !== "Notification" || typeof raw.Message !== "string") return { value: raw };
  const inside = parseJson(raw.Message, maxReadings);
  return "problem" in inside ? { problems: [inside.problem.replace("message", "Message")] } : inside;
}

/** SNS asks whether we want what it will send: the answer is to fetch the address that it names. */
export function subscription(raw: unknown): Handshake | null {
  return isRecord(raw) && raw.Type === "SubscriptionConfirmation" && typeof raw.SubscribeURL === "string"
    ? {
        reply: { status: 200, contentType: "application/json", body: "{}" },
        confirm: { url: raw.SubscribeURL, allowedHost: /^sns\.[a-z0-9-]+\.amazonaws\.com$/ },
      }
    : null;
}

/** For `ignore`. Confirming the end of a subscription would subscribe again. */
export function endOfSubscription(raw: unknown): string | null {
  return isRecord(raw) && raw.Type === "UnsubscribeConfirmation" ? raw.Type : null;
}
