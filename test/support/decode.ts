/** Decoding for tests, which vouch for the messages that they wrote themselves. */

import * as adapterKit from "../../src/adapters/kit/adapter.ts";
import * as kitDecode from "../../src/adapters/kit/decode.ts";
import * as ingestExamine from "../../src/ingest/examine.ts";

type OfAnyMessage<Run extends (adapter: adapterKit.Adapter, message: never, ...rest: never[]) => unknown> =
  Run extends (
    adapter: adapterKit.Adapter,
    message: adapterKit.Authenticated,
    ...rest: infer Rest
  ) => infer Result
    ? (adapter: adapterKit.Adapter, message: adapterKit.Message, ...rest: Rest) => Result
    : never;

export const decode: OfAnyMessage<typeof kitDecode.decode> = (adapter, message, ...rest) =>
  kitDecode.decode(adapter, adapterKit.asAuthenticated(message), ...rest);

export const decodeInSteps: OfAnyMessage<typeof kitDecode.decodeInSteps> = (adapter, message, ...rest) =>
  kitDecode.decodeInSteps(adapter, adapterKit.asAuthenticated(message), ...rest);

export const examine: OfAnyMessage<typeof ingestExamine.examine> = (adapter, message, ...rest) =>
  ingestExamine.examine(adapter, adapterKit.asAuthenticated(message), ...rest);

export const examineDecoded: OfAnyMessage<typeof ingestExamine.examineDecoded> = (
  adapter,
  message,
  ...rest
) => ingestExamine.examineDecoded(adapter, adapterKit.asAuthenticated(message), ...rest);
