/** Creates message bodies in Waypost's own JSON format that are never duplicates: each device's fix time only ever moves on. */

/** Vehicles report in turn; all readings of one round have one fix time. */
export const DEVICES = 1000;

const TIME_BYTES = "2026-01-01T00:00:00.000Z".length;

export interface Readings {
  /** Every body has this many bytes. */
  bytes: number;
  /** Writes the next body into `target` at `offset`. */
  writeNext(target: Buffer, offset: number): void;
}

interface Template {
  body: Buffer;
  timesAt: number[];
}

/** Lives longer than one call, so that a second load in the same run does not repeat the fix times of the first. */
let fixTimeMs = 0;

/** A body is one object for one reading, otherwise an array. */
export function createReadings(perBody: number): Readings {
  const templates: Template[] = [];
  for (let first = 0; first < DEVICES; first += perBody) {
    templates.push(template(Array.from({ length: perBody }, (_, i) => reading((first + i) % DEVICES))));
  }
  const bytes = templates[0]?.body.length ?? 0;
  const time = Buffer.alloc(TIME_BYTES);
  let turn = templates.length;

  return {
    bytes,
    writeNext(target, offset) {
      if (turn === templates.length) {
        turn = 0;
        fixTimeMs = Math.max(fixTimeMs + 1, Date.now());
        time.write(new Date(fixTimeMs).toISOString(), "latin1");
      }
      const next = templates[turn];
      turn += 1;
      if (next === undefined) return;
      next.body.copy(target, offset);
      for (const at of next.timesAt) time.copy(target, offset + at);
    },
  };
}

/** Numbers keep their width, so that all bodies have one length. */
function reading(device: number): string {
  const latitude = 30.1 + device / 10_000 + 0.00005;
  const longitude = -97.9 + device / 10_000 + 0.00005;
  return (
    `{"deviceId":"van-${String(device).padStart(4, "0")}","latitude":${latitude.toFixed(5)},` +
    `"longitude":${longitude.toFixed(5)},"time":"${"-".repeat(TIME_BYTES)}",` +
    `"speed":${20 + (device % 50)}.5,"speedUnit":"mph","heading":${100 + (device % 260)}}`
  );
}

function template(readings: string[]): Template {
  const text = readings.length === 1 ? (readings[0] ?? "") : `[${readings.join(",")}]`;
  const timesAt: number[] = [];
  const marker = '"time":"';
  for (let at = text.indexOf(marker); at !== -1; at = text.indexOf(marker, at + 1))
    timesAt.push(at + marker.length);
  return { body: Buffer.from(text, "latin1"), timesAt };
}
