/** Verizon's handshake makes us fetch an address out of a message: only Amazon's SNS, whatever the message says. */

import { MockAgent } from "undici";
import { describe, expect, it } from "vitest";
import type { Message } from "../../src/adapters/kit/adapter.ts";
import { verizonConnect } from "../../src/adapters/verizon-connect.ts";
import { confirm } from "../../src/inputs/webhook/confirm.ts";
import { decode } from "../support/decode.ts";

const nowhere = new MockAgent();
nowhere.disableNetConnect();
const credentials = { username: "reveal", secrets: ["correct-horse-7"] };

function asking(SubscribeURL: unknown) {
  const message: Message = {
    body: Buffer.from(JSON.stringify({ Type: "SubscriptionConfirmation", SubscribeURL })),
    receivedAt: Date.UTC(2026, 9, 26),
    method: "POST",
    headers: { "content-type": "text/plain; charset=UTF-8" },
    query: {},
    retained: false,
  };
  return { message, result: decode(verizonConnect, message, { credentials }) };
}

function confirmationOf(url: string) {
  const { result } = asking(url);
  if (result.kind !== "handshake" || !result.handshake.confirm) throw new Error(`${url} asks for nothing`);
  return result.handshake.confirm;
}

describe("the subscription", () => {
  it("is proven like any message, and asks for a user by Basic", () => {
    const [authMethod] = verizonConnect.auth;
    expect(authMethod?.verify(asking("https://sns.us-east-2.amazonaws.com/").message, credentials)).toBe(
      "missing_credentials",
    );
    expect(verizonConnect.refusal ?? 401).toBe(401);
    expect(verizonConnect.challenge).toMatch(/^Basic/);
  });

  it.each(["us-east-2", "us-west-2", "eu-west-1", "us-gov-west-1", "ap-southeast-2"])(
    "is confirmed at SNS in %s",
    (region) => {
      const host = `sns.${region}.amazonaws.com`;
      const { url, allowedHost } = confirmationOf(`https://${host}/?Action=ConfirmSubscription&Token=t`);
      expect(url).toBe(`https://${host}/?Action=ConfirmSubscription&Token=t`);
      expect(allowedHost.exec(host)?.[0]).toBe(host);
    },
  );

  it.each([
    "http://sns.us-east-2.amazonaws.com/",
    "https://sns.us-east-2.amazonaws.com:8443/",
    "https://user@sns.us-east-2.amazonaws.com/",
    "https://sns.us-east-2.amazonaws.com.example.com/",
    "https://example.com/?https://sns.us-east-2.amazonaws.com/",
    "https://example.com#sns.us-east-2.amazonaws.com",
    "https://sns.us-east-2.amazonaws.com@example.com/",
    "https://evil-sns.us-east-2.amazonaws.com/",
    "https://sns.bucket.s3.amazonaws.com/",
    "https://s3.us-east-2.amazonaws.com/",
    "https://snsxus-east-2.amazonaws.com/",
    "https://sns..amazonaws.com/",
    "https://sns.us-east-2.amazonaws.com./",
    "https://169.254.169.254/latest/meta-data/",
    "https://localhost/",
  ])("is not confirmed at %s", async (url) => {
    expect(await confirm(confirmationOf(url), nowhere)).toMatchObject({
      ok: false,
      detail: "address_not_allowed",
    });
  });

  it.each([undefined, null, 5, ["https://sns.us-east-2.amazonaws.com/"], {}])(
    "with %j for an address is set aside",
    (url) => {
      expect(asking(url).result.kind).toBe("malformed");
    },
  );
});
