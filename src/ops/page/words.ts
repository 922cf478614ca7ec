/** Browser script: numbers, sizes, ages and times as a person reads them. */

export const WORDS_JS = `
import { h } from "./dom.js";

const numbers = new Intl.NumberFormat("en-US");

export function count(value) {
  return value === null ? "–" : numbers.format(value);
}

/** A number of the status document; the pointer says which, so that the page can be compared with it. */
export function figure(tag, pointer, value, attributes) {
  const zero = value === 0 ? " zero" : "";
  return h(tag, { ...attributes, class: ((attributes?.class ?? "number") + zero).trim(), "data-field": pointer }, count(value));
}

export function bytes(value) {
  if (value === null) return "–";
  if (value < 1000) return value + " B";
  if (value < 1e6) return (value / 1e3).toFixed(value < 1e4 ? 1 : 0) + " kB";
  if (value < 1e9) return (value / 1e6).toFixed(value < 1e7 ? 1 : 0) + " MB";
  return (value / 1e9).toFixed(1) + " GB";
}

export function age(ms) {
  if (ms === null) return "–";
  if (ms < 0) return "0 s";
  if (ms < 9950) return (ms / 1000).toFixed(1) + " s";
  if (ms < 119500) return Math.round(ms / 1000) + " s";
  if (ms < 119.5 * 60000) return Math.round(ms / 60000) + " min";
  if (ms < 47.5 * 3600000) return Math.round(ms / 3600000) + " h";
  return Math.round(ms / 86400000) + " days";
}

/** The time of day here; the day too when it is not today. The exact time is in the tooltip. */
export function time(iso) {
  if (iso === null) return "–";
  const at = new Date(iso);
  const clock = at.toLocaleTimeString("en-GB");
  const today = at.toDateString() === new Date().toDateString();
  const text = today ? clock : at.toLocaleDateString("en-GB", { day: "numeric", month: "short" }) + " " + clock;
  return h("time", { datetime: iso, title: iso }, text);
}

/** How long before the status was made. */
export function ago(iso, at) {
  if (iso === null) return "never";
  return age(Math.max(0, Date.parse(at) - Date.parse(iso))) + " ago";
}

export function plural(value, one, many) {
  return count(value) + " " + (value === 1 ? one : many);
}

/** snake_case reasons stay searchable as they are; only identifiers of code style. */
export function code(text) {
  return h("code", null, text);
}
`;
