/** The stand-in for ServiceTitan, with answers that a test decides where the sandbox's faults are not enough. */

import { startFastApi } from "../../sandbox/fast-api.ts";

export interface SentPing {
  unitId: string;
  externalId: string;
  eventTime: string;
}

export interface Answer {
  status: number;
  body?: unknown;
}

export interface Api {
  url: string;
  /** What each request held and was answered, in order. */
  requests: { pings: SentPing[]; status: number }[];
  /** Pings of requests answered 2xx. */
  accepted(): SentPing[];
  /** Changes what is answered from now on. */
  answers(decide: (pings: SentPing[]) => Answer | Promise<Answer>): void;
  stop(): Promise<void>;
}

export function everySuccess(pings: readonly SentPing[]): Answer {
  return {
    status: 200,
    body: pings.map(({ externalId }) => ({ externalId, status: "Success", message: "" })),
  };
}

export async function startApi(
  first: (pings: SentPing[]) => Answer | Promise<Answer> = everySuccess,
): Promise<Api> {
  const requests: Api["requests"] = [];
  const api = await startFastApi();
  const answers: Api["answers"] = (decide) =>
    api.answers(async (text) => {
      const pings: SentPing[] = JSON.parse(text);
      const { status, body } = await decide(pings);
      requests.push({ pings, status });
      return { status, body: JSON.stringify(body ?? "") };
    });
  answers(first);
  return {
    url: api.url,
    requests,
    accepted: () => requests.filter(({ status }) => status < 300).flatMap(({ pings }) => pings),
    answers,
    stop: api.stop,
  };
}
