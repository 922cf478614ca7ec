/** Replaces the values in a body of JSON, of a form, or of NMEA sentences, and leaves all else of it as it was. */

import { type Known, scrubNumber, scrubText } from "./leaves.ts";
import type { CaptureKey } from "./pseudonyms.ts";

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[{}[\],:]/g;

/** Null where the body has no form that values can be found in. */
export function scrubBody(text: string, known: Known, key: CaptureKey, name: string): string | null {
  const trimmed = text.trim();
  // One value alone, as where every topic carries another one; JSON may be one, too.
  if (/^[\w.+-]{1,24}$/.test(trimmed)) return scrubText(name, text, known, key);
  if (/^"([^"\\]|\\.)*"$/.test(trimmed)) return scrubJson(text, known, key, name);
  if (/^[[{]/.test(trimmed)) return isJson(trimmed) ? scrubJson(text, known, key) : null;
  if (/^\$/.test(trimmed)) return scrubNmea(text, known, key);
  // A form: every part has a name.
  if (/^[\w.%~[\]-]+=[^&]*(&[\w.%~[\]-]+=[^&]*)*$/.test(trimmed)) return scrubForm(trimmed, known, key);
  return null;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Token by token, so that spelling, order and white space stay as the vendor has them. */
function scrubJson(text: string, known: Known, key: CaptureKey, outer = ""): string {
  // Of each open object its last name; of a list the name the list stands under.
  const open: { isList: boolean; name: string }[] = [];
  let isName = false;
  return text.replace(TOKEN, (token) => {
    const at = open.at(-1);
    switch (token) {
      case "{":
      case "[":
        open.push({ isList: token === "[", name: at?.name ?? outer });
        isName = token === "{";
        return token;
      case "}":
      case "]":
        open.pop();
        isName = false;
        return token;
      case ",":
        isName = at !== undefined && !at.isList;
        return token;
      case ":":
        isName = false;
        return token;
      default:
        break;
    }
    if (!token.startsWith('"')) return scrubNumber(at?.name ?? outer, token, known, key);
    const value: string = JSON.parse(token);
    if (isName && at) {
      at.name = value;
      // An object may be keyed by its devices.
      const renamed =
        known.ids.has(value) || /\d{6}/.test(value) ? scrubText("id", value, known, key) : value;
      return renamed === value ? token : JSON.stringify(renamed);
    }
    const scrubbed = scrubString(at?.name ?? outer, value, known, key);
    return scrubbed === value ? token : JSON.stringify(scrubbed);
  });
}

/** A text that is JSON itself is looked into. */
function scrubString(name: string, value: string, known: Known, key: CaptureKey): string {
  const trimmed = value.trim();
  if (/^[[{]/.test(trimmed) && isJson(trimmed)) return scrubJson(value, known, key);
  return scrubText(name, value, known, key);
}

function scrubForm(text: string, known: Known, key: CaptureKey): string {
  return text
    .split("&")
    .map((pair) => {
      const [name = "", ...rest] = pair.split("=");
      const given = rest.join("=");
      const value = decoded(given);
      const scrubbed = scrubString(decoded(name), value, known, key);
      return scrubbed === value ? pair : `${name}=${encodeURIComponent(scrubbed)}`;
    })
    .join("&");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return text;
  }
}

/** Minutes of a degree with the letter of the hemisphere: `4807.038,N`. */
const NMEA_PLACE = /(\d{2,3})(\d\d\.\d+),([NSEW])/g;

/** Null where a line is no sentence: nobody knows what else it may say. */
function scrubNmea(text: string, known: Known, key: CaptureKey): string | null {
  const lines = text.split(/(\r?\n)/);
  if (lines.some((line) => line.trim() !== "" && !/^\$[A-Z]{5},[^$]*$/.test(line.trim()))) return null;
  return lines.map((line) => (line.startsWith("$") ? scrubSentence(line, known, key) : line)).join("");
}

function scrubSentence(line: string, known: Known, key: CaptureKey): string {
  const [said = "", sum] = line.split("*");
  const moved = said.replace(NMEA_PLACE, (_, degrees: string, minutes: string, letter: string) => {
    const isLatitude = letter === "N" || letter === "S";
    const sign = letter === "S" || letter === "W" ? -1 : 1;
    const shift = isLatitude ? key.latitudeShift : key.longitudeShift;
    const at = sign * (Number(degrees) + Number(minutes) / 60) + shift;
    const wrapped = isLatitude ? at : ((at + 540) % 360) - 180;
    return nmeaPlace(wrapped, { isLatitude, decimals: minutes.split(".")[1]?.length ?? 0 });
  });
  const scrubbed = known.ids.size === 0 ? moved : scrubWords(moved, known, key);
  return sum === undefined ? scrubbed : `${scrubbed}*${checksum(scrubbed)}${sum.slice(2)}`;
}

function scrubWords(said: string, known: Known, key: CaptureKey): string {
  return said
    .split(",")
    .map((field) => (known.ids.has(field) ? scrubText("id", field, known, key) : field))
    .join(",");
}

function nmeaPlace(at: number, { isLatitude, decimals }: { isLatitude: boolean; decimals: number }): string {
  // In the smallest unit, so that no minute becomes sixty.
  const units = Math.round(Math.abs(at) * 60 * 10 ** decimals);
  const perDegree = 60 * 10 ** decimals;
  const degrees = String(Math.floor(units / perDegree)).padStart(isLatitude ? 2 : 3, "0");
  const minutes = ((units % perDegree) / 10 ** decimals)
    .toFixed(decimals)
    .padStart(decimals === 0 ? 2 : decimals + 3, "0");
  const letter = isLatitude ? (at < 0 ? "S" : "N") : at < 0 ? "W" : "E";
  return `${degrees}${minutes},${letter}`;
}

/** All characters between `$` and `*`, exclusive or. */
function checksum(sentence: string): string {
  const sum = [...sentence.slice(1)].reduce((all, character) => all ^ character.charCodeAt(0), 0);
  return sum.toString(16).toUpperCase().padStart(2, "0");
}
