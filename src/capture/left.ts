/** Looks for what must not be in a capture, in the very text that would be written: the last check before it is. */

import type { Known } from "./leaves.ts";
import type { ScrubbedMessage } from "./message.ts";

/** Shorter ids stand in many words and numbers by chance. */
const SHORTEST_ID = 4;

/** The first id, secret or coordinate that is left; null where there is none. */
export function firstLeft(
  message: ScrubbedMessage,
  known: Pick<Known, "ids" | "secrets" | "latitudes" | "longitudes">,
) {
  const { topic, login, headers, query, body } = message;
  const texts = [topic, login, body, ...Object.values(headers), ...Object.values(query)];
  const text = texts.filter((each) => each !== null).join("\n");
  for (const secret of known.secrets) if (text.includes(secret)) return secret;
  for (const id of known.ids) if (id.length >= SHORTEST_ID && hasWord(text, id)) return id;
  for (const degrees of [...known.latitudes, ...known.longitudes]) {
    for (const spelt of spellingsOf(degrees)) if (text.includes(spelt)) return spelt;
  }
  return null;
}

function hasWord(text: string, word: string): boolean {
  for (let at = text.indexOf(word); at !== -1; at = text.indexOf(word, at + 1)) {
    const around = `${text[at - 1] ?? ""}${text[at + word.length] ?? ""}`;
    if (!/[A-Za-z0-9]/.test(around)) return true;
  }
  return false;
}

/** The beginnings of a coordinate, a hundred metres wide, in the ways in which vendors write it. */
function spellingsOf(degrees: number): string[] {
  const size = Math.abs(degrees);
  const [whole = "", decimals = ""] = String(size).split(".");
  if (decimals.length < 3) return [];
  const minutes = (size % 1) * 60;
  const nmea = `${whole}${String(Math.trunc(minutes)).padStart(2, "0")}.${String(Math.trunc((minutes % 1) * 100)).padStart(2, "0")}`;
  const scaled = String(Math.trunc(size * 1e5));
  return [`${whole}.${decimals.slice(0, 3)}`, nmea, ...(scaled.length > 5 ? [scaled] : [])];
}
