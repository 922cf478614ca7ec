/** Decides for one value of a message, with the name it stands under, what takes its place in a capture. */

import { type CaptureKey, pseudonymOf } from "./pseudonyms.ts";

/** What decoding taught about the message. */
export interface Known {
  /** Ids of devices and logins, and names and addresses of people. */
  ids: ReadonlySet<string>;
  latitudes: readonly number[];
  longitudes: readonly number[];
  /** Of the source; none of them may be in a capture. */
  secrets: readonly string[];
  /** Nothing could be learned from the message, so that every value that could say something is replaced. */
  isBlind: boolean;
}

/** A name is taken apart at its capitals and separators: `vehicleId`, `vehicle_id`, `VEHICLE-ID`. */
const CREDENTIAL =
  /^(token|secret|password|passwd|pwd|key|apikey|auth|authorization|signature|cookie|session|hash|hmac|sig)$/;
const PRIVATE =
  /^(id|ids|uuid|guid|imei|imsi|iccid|vin|serial|mac|eui|esn|meid|plate|license|licence|registration|account|company|customer|org|organization|fleet|group|tenant|user|username|driver|operator|employee|person|contact|phone|msisdn|mobile|email|mail|name|names|label|alias|nickname|address|street|road|city|town|county|state|region|province|country|zip|zipcode|postal|postcode|place|landmark|note|notes|comment|comments|description|desc|url|uri|link|href|ip|ssid|bssid|addr|identity|unit|vehicle|device|asset|tag|tags)$/;
const LATITUDE = /^(lat|latitude|latitudes)$/;
const LONGITUDE = /^(lon|lng|long|longitude|longitudes)$/;
/** What says when, and how a message is to be read: never a person. */
const KEPT =
  /^(time|timestamp|date|datetime|at|ts|tst|type|event|action|kind|status|method|version|unit|units|format|speed|heading|course|bearing|mode|fix|valid|source|topic)$/;

const DATE = /^(19|20)\d\d-\d\d-\d\d([T ][\d:.+Z -]*)?$|^(19|20)\d{6}(\d{4}|\d{6})?$/;
const EMAIL = /[\w.+-]+@[\w-]+\.[\w.]+/;
const VIN = /\b[A-HJ-NPR-Z0-9]{17}\b/;
const PHONE = /\+\d[\d ()-]{7,}/;
/** A word of a protocol is shorter, and has no space. */
const LONG_TEXT = 25;
/** Degrees: what lies this near to a position of the message is another position of its vehicle. */
const NEAR = 0.75;
/** Scales in which places are sent as whole numbers. */
const SCALES = [1, 1e5, 1e6, 1e7, 60e4, 3.6e6] as const;

/** Lower-case words of a name: `lastGpsFix` → last, gps, fix. */
function wordsOf(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .toLowerCase()
    .split(/[^a-z]+/)
    .filter((word) => word !== "");
}

/** The new text of a string. */
export function scrubText(name: string, text: string, known: Known, key: CaptureKey): string {
  const words = wordsOf(name);
  if (known.secrets.some((secret) => text.includes(secret))) return blanked(text);
  // First, because a vendor may call its id `key`.
  if (known.ids.has(text)) return pseudonymOf(text, key);
  if (words.some((word) => CREDENTIAL.test(word))) return blanked(text);
  const number = /^[+-]?\d+(\.\d+)?$/.test(text) ? shifted(words, text, known, key) : null;
  if (number !== null) return number;
  if (isPrivate(words, text)) return pseudonymOf(text, key);
  if (DATE.test(text)) return text;
  const within = withinText(text, known, key);
  if (within !== text) return within;
  if (known.isBlind && /\d{4}/.test(text)) return pseudonymOf(text, key);
  return text;
}

function isPrivate(words: readonly string[], text: string): boolean {
  const [last = ""] = words.slice(-1);
  if (/^[+-]?\d{1,2}(\.\d+)?$/.test(text)) return false;
  if (KEPT.test(last)) return false;
  if (words.some((word) => PRIVATE.test(word))) return !DATE.test(text);
  if (EMAIL.test(text) || VIN.test(text) || PHONE.test(text)) return true;
  return !DATE.test(text) && !/^[+-]?[\d.]+$/.test(text) && (text.length >= LONG_TEXT || / .* /.test(text));
}

/** The new text of a number that no quotes surround. */
export function scrubNumber(name: string, text: string, known: Known, key: CaptureKey): string {
  const words = wordsOf(name);
  if (known.ids.has(text)) return pseudonymOf(text, key);
  const number = shifted(words, text, known, key);
  if (number !== null) return number;
  if (words.some((word) => CREDENTIAL.test(word))) return text.replace(/[1-9]/g, "1");
  // Small numbers say how many or which kind; five digits and more under such a name say which one.
  const [last = ""] = words.slice(-1);
  const isPrivateNumber =
    /^\d{5,}$/.test(text) && !KEPT.test(last) && words.some((word) => PRIVATE.test(word));
  if (isPrivateNumber) return pseudonymOf(text, key);
  return known.isBlind && /\.\d{3}/.test(text) ? pseudonymOf(text, key) : text;
}

/** A coordinate moved by the capture's shift; null where it is none. */
function shifted(words: readonly string[], text: string, known: Known, key: CaptureKey): string | null {
  const value = Number(text);
  // Null island, or nothing: nobody's place, and a reason to reject.
  if (value === 0) return null;
  const [last = ""] = words.slice(-1);
  const isLatitude = LATITUDE.test(last);
  const isLongitude = LONGITUDE.test(last);
  for (const scale of SCALES) {
    const degrees = value / scale;
    if (Math.abs(degrees) > 180 || (scale > 1 && !/^-?\d{5,}$/.test(text))) continue;
    const isPlace = (isLatitude || isLongitude) && scale === 1;
    const isFine = scale > 1 || /\.\d{3}/.test(text);
    const nearLatitude = isFine && known.latitudes.some((each) => Math.abs(each - degrees) < nearAt(scale));
    const nearLongitude = isFine && known.longitudes.some((each) => Math.abs(each - degrees) < nearAt(scale));
    const isExact = (values: readonly number[]) => degrees !== 0 && values.includes(degrees);
    if (isLatitude && (isPlace || nearLatitude)) return plus(text, key.latitudeShift * scale);
    if (isLongitude && (isPlace || nearLongitude)) return plus(text, key.longitudeShift * scale);
    if (isExact(known.latitudes) || (nearLatitude && !isExact(known.longitudes))) {
      return plus(text, key.latitudeShift * scale);
    }
    if (isExact(known.longitudes) || nearLongitude)
      return plus(text, wrapped(degrees, key.longitudeShift) * scale);
  }
  // A place in a scale that is not known; it is of no use, but says where somebody was.
  return (isLatitude || isLongitude) && /^-?\d{5,}$/.test(text) ? pseudonymOf(text, key) : null;
}

/** A whole number is a place only where it is one to the last digit: all else of its size may be a count or a time. */
function nearAt(scale: number): number {
  return scale === 1 ? NEAR : 2 / scale;
}

/** Beyond the date line it goes on at the other side. */
function wrapped(degrees: number, shift: number): number {
  if (degrees + shift > 180) return shift - 360;
  return degrees + shift < -180 ? shift + 360 : shift;
}

/** As many decimals as before, and two at least, which the shift has. */
function plus(text: string, by: number): string {
  const decimals = text.split(".")[1]?.length ?? 0;
  if (decimals === 0 && Number.isInteger(Math.round(by * 1e6) / 1e6))
    return String(Number(text) + Math.round(by));
  return (Number(text) + by).toFixed(Math.max(2, decimals));
}

/** Ids and places within a longer text, sentences of NMEA included. */
function withinText(text: string, known: Known, key: CaptureKey): string {
  let scrubbed = text;
  for (const id of known.ids) {
    if (id.length < 3 || !scrubbed.includes(id)) continue;
    const escaped = id.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    scrubbed = scrubbed.replace(new RegExp(`(?<![A-Za-z0-9])${escaped}(?![A-Za-z0-9])`, "g"), (one) =>
      pseudonymOf(one, key),
    );
  }
  return scrubbed.replace(
    /(?<![\d.])[+-]?\d{1,3}\.\d{3,}(?![\d.])/g,
    (one) => shifted([], one, known, key) ?? one,
  );
}

function blanked(text: string): string {
  return text.replace(/[A-Za-z0-9]/g, "x");
}
