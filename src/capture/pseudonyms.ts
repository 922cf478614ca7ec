/** Replaces ids by others of the same shape: the same id always by the same one, other ids by other ones. */

import { createHmac } from "node:crypto";

/** What one capture replaces and shifts by; it is never part of the file. */
export interface CaptureKey {
  /** Random, base64. */
  key: string;
  /** Degrees that every position is shifted by, with two decimals, so that no place loses any of its own. */
  latitudeShift: number;
  longitudeShift: number;
}

/** Enough for a Feistel network whose halves are mixed by HMAC. */
const ROUNDS = 4;
/** A number is walked on to one without a leading zero; a tenth has one, so that this many never fail. */
const MAX_WALK = 200;

/** Letters, digits, and what stands between them: only the first two are replaced. */
export function pseudonymOf(text: string, { key }: Pick<CaptureKey, "key">): string {
  // Part by part: an id that is put together, as `login/device`, is replaced as its parts are where they stand alone.
  return text.replace(/[A-Za-z0-9]+/g, (part) => pseudonymOfPart(part, key));
}

function pseudonymOfPart(part: string, key: string): string {
  const isNumber = /^[1-9]\d*$/.test(part);
  let replaced = part;
  // Stepping on within a permutation of all texts of a shape gives one of those without a leading zero.
  for (let step = 0; step < MAX_WALK; step++) {
    replaced = permuted(replaced, key);
    if (!isNumber || !replaced.startsWith("0")) break;
  }
  return replaced;
}

/** Each half is moved on by what the other one says, class by class: a permutation of the texts of one shape. */
function permuted(part: string, key: string): string {
  const middle = Math.ceil(part.length / 2);
  let [left, right] = [part.slice(0, middle), part.slice(middle)];
  for (let round = 0; round < ROUNDS; round++) {
    if (round % 2 === 0) left = moved(left, key, `${round} ${shapeOf(part)} ${right}`);
    else right = moved(right, key, `${round} ${shapeOf(part)} ${left}`);
  }
  return left + right;
}

function moved(text: string, key: string, by: string): string {
  const steps = createHmac("sha256", key).update(by).digest();
  return [...text]
    .map((character, i) => {
      const { first, size } = classOf(character);
      // Further than a digest is long the steps repeat, at another distance.
      const step = (steps[i % steps.length] ?? 0) + Math.floor(i / steps.length);
      return String.fromCharCode(first + ((character.charCodeAt(0) - first + step) % size));
    })
    .join("");
}

function shapeOf(text: string): string {
  return text.replace(/[a-z]/g, "a").replace(/[A-Z]/g, "A").replace(/\d/g, "9");
}

function classOf(character: string): { first: number; size: number } {
  if (/\d/.test(character)) return { first: 48, size: 10 };
  return /[A-Z]/.test(character) ? { first: 65, size: 26 } : { first: 97, size: 26 };
}
