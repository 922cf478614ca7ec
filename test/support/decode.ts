/** Decoding for tests, which vouch for the messages that they wrote themselves. */

import * as adapterKit from "../../src/adapters/kit/adapter.ts";
import * as ingestExamine from "../../src/ingest/examine.ts";

type OfAnyMessage<Run extends (adapter: adapterKit.Adapter, message: never, ...rest: never[]) => unknown> =
  Run extends (
    adapter: adapterKit.Adapter,
    message: adapterKit.Authenticated,
    ...rest: infer Rest
  ) => infer Result
    ? (adapter: adapterKit.Adapter, message: adapterKit.Message, ...rest: Rest) => Result
    : never;

export const decode: OfAnyMessage<typeof adapterKit.decode> = (adapter, message, ...rest) =>
  adapterKit.decode(adapter, adapterKit.asAuthenticated(message), ...rest);

export const decodeInSteps: OfAnyMessage<typeof adapterKit.decodeInSteps> = (adapter, message, ...rest) =>
  adapterKit.decodeInSteps(adapter, adapterKit.asAuthenticated(message), ...rest);

export const examine: OfAnyMessage<typeof ingestExamine.examine> = (adapter, message, ...rest) =>
  ingestExamine.examine(adapter, adapterKit.asAuthenticated(message), ...rest);
