/** Asks one vendor as the poller would, up to its first page, and puts what came back into words; stores nothing. */

import { asAuthenticated } from "../adapters/kit/adapter.ts";
import type { Pull, PullContext } from "../adapters/kit/pull.ts";
import { createAssembler } from "../ingest/assembler.ts";
import { type Examined, examine } from "../ingest/examine.ts";
import type { Source } from "../ingest/source.ts";
import { createPullHttp } from "../inputs/poll/http.ts";
import type { PollSettings } from "../inputs/poll/poller.ts";
import type { ProxySettings } from "../network.ts";

export interface Asked {
  isWell: boolean;
  /** The first says it; the others show what came. */
  lines: string[];
}

/** A login, a look-up and a page are three; a vendor that sends us on takes one more each. */
const MAX_REQUESTS = 6;
const SHOWN = 3;

/** `withinMs`: for everything that is asked of the vendor, together. */
export async function askVendor({
  source,
  pull,
  settings,
  proxy,
  withinMs,
}: {
  source: Source;
  pull: Pull;
  settings: PollSettings;
  proxy: ProxySettings;
  withinMs: number;
}): Promise<Asked> {
  if (pull.keeps) {
    const why = "Its login changes the token that is kept, so that only the gateway may log in";
    return { isWell: true, lines: [`${why}: start it and look at the source on the ops page.`] };
  }
  const http = createPullHttp(proxy, withinMs);
  const late = AbortSignal.timeout(withinMs);
  try {
    let session: unknown = null;
    for (let request = 1; request <= MAX_REQUESTS; request++) {
      const now = Date.now();
      const since = now - settings.lookBackMs;
      const context: PullContext = {
        ...settings,
        ...{ options: source.options, cursor: null, since, session, now, kept: {} },
      };
      const sent = pull.request(context);
      const got = await http.exchange(sent, late, settings.privateNetwork ?? false);
      const where = `${sent.method} ${new URL(sent.url).origin}${new URL(sent.url).pathname}`;
      if (got.kind === "failed" && late.aborted)
        return unwell(
          `${where}: no answer within ${(withinMs / 1000).toFixed(1)} s; --within 60s asks longer`,
        );
      if (got.kind === "failed")
        return unwell(`${where}: no answer (${got.reason}${got.code && `, ${got.code}`})`);
      const result = pull.parse(got.answer, { ...context, since: 0 });
      if (result.kind === "session") session = result.session;
      else if (result.kind === "page") return described(source, result.body, result.rows?.read, now);
      else {
        const detail = "detail" in result ? `, ${result.detail}` : "";
        const reason = "reason" in result ? result.reason : result.kind;
        return unwell(`${where}: HTTP ${got.answer.status}, ${reason}${detail}`);
      }
    }
    return unwell(`no page after ${MAX_REQUESTS} requests`);
  } finally {
    await http.close();
  }
}

function unwell(line: string): Asked {
  return { isWell: false, lines: [line] };
}

function described(source: Source, body: string | null, rows: number | undefined, now: number): Asked {
  if (body === null) {
    const none =
      rows === 0 ? "The vendor answers, and shows no vehicle." : "The vendor answers, with nothing new.";
    return { isWell: rows !== 0, lines: [none] };
  }
  const message = { body: Buffer.from(body), receivedAt: now, headers: {}, query: {}, retained: false };
  const { adapter, options, speedUnit } = source;
  const examined = examine(adapter, asAuthenticated(message), { options, speedUnit }, createAssembler());
  const { kind, readings, rejections, problems } = examined;
  const isWell = kind === "decoded" && (readings.length > 0 || rejections.length === 0);
  const found = `${rows === undefined ? "" : `${rows} vehicles; `}${readings.length} positions, ${rejections.length} rejected`;
  const lines = [
    ...(isWell ? [found, ...problems] : [...problems, found]),
    ...rejections.slice(0, SHOWN).map(({ reason, path }) => `${path}: ${reason}`),
    ...readings.slice(0, SHOWN).map(masked),
    ...notFound(examined),
  ];
  return { isWell, lines };
}

/** Enough to see that the right fields are read, and not who is where. */
function masked({
  deviceId,
  fixTime,
  latitude,
  longitude,
  speedMps,
  headingDeg,
}: Examined["readings"][number]): string {
  const id = deviceId.length > 4 ? `${deviceId.slice(0, 2)}…${deviceId.slice(-2)}` : "…";
  const place = `${latitude.toFixed(1)}…, ${longitude.toFixed(1)}…`;
  return `${id} at ${fixTime}: ${place}, ${speedMps === null ? "no speed" : `${speedMps.toFixed(1)} m/s`}, ${headingDeg === null ? "no heading" : `${headingDeg}°`}`;
}

/** A path that leads nowhere in any reading is a wrong path, or the vendor has no such value. */
function notFound({ readings }: Examined): string[] {
  if (readings.length === 0) return [];
  const names = (["speedMps", "headingDeg"] as const).filter((name) =>
    readings.every((reading) => reading[name] === null),
  );
  return names.length === 0
    ? []
    : [
        `found in no position: ${names.map((name) => (name === "speedMps" ? "speed" : "heading")).join(", ")}`,
      ];
}
