/** The script of the stand-in's page: asks for the units every second and shows them; no library, no outside request. */

import { MAP_DRAWING } from "./map-drawing.ts";

/** Plain browser JavaScript. Text of units is only ever set as text, never as markup. */
export const MAP_SCRIPT = `
"use strict";
const POLL_MS = 1000;
const STALE_MS = 120000;
const TRAIL_POINTS = 24;
const MAX_STREETS = 40000; // remembered track segments; they draw the streets by themselves
const MAX_STEP_M = 800; // a longer step is a gap, not a drive
const M_PER_DEG = 111320;

const $ = (id) => document.getElementById(id);
const canvas = document.querySelector("canvas");
const pen = canvas.getContext("2d");
const streets = document.createElement("canvas");
const units = new Map();
let segments = [];
let view = null;
let touched = false;
let selected = null;
let skewMs = 0;
let rates = [];

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const scheme = matchMedia("(prefers-color-scheme: dark)");
let colour = readColours();
scheme.addEventListener("change", () => { colour = readColours(); drawStreets(); });

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue("--" + name).trim();
  return Object.fromEntries(
    ["text", "soft", "street", "trail", "moving", "stopped", "stale", "halo"].map((name) => [name, read(name)]),
  );
}

${MAP_DRAWING}
async function poll() {
  try {
    const [seen, summary] = await Promise.all(
      ["/_sandbox/units", "/_sandbox/summary"].map(async (path) => (await fetch(path)).json()),
    );
    $("lost").style.display = "none";
    skewMs = seen.now - Date.now();
    update(seen.units);
    showSummary(summary);
    if (!touched) fit();
    listUnits();
  } catch {
    $("lost").style.display = "block";
  }
  setTimeout(poll, POLL_MS);
}

function update(list) {
  const fresh = [];
  const now = performance.now();
  const keys = new Set();
  for (const next of list) {
    const key = next.tenant + "/" + next.unitId;
    keys.add(key);
    const unit = units.get(key) ?? { key, lat: null, lon: null, from: null, movedAt: now, trail: [], heading: null };
    units.set(key, unit);
    Object.assign(unit, { data: next });
    if (next.latitude === null || next.longitude === null) continue;
    if (unit.lat === next.latitude && unit.lon === next.longitude) continue;
    if (unit.lat !== null) {
      const north = (next.latitude - unit.lat) * M_PER_DEG;
      const east = (next.longitude - unit.lon) * Math.cos((unit.lat * Math.PI) / 180) * M_PER_DEG;
      const stepM = Math.hypot(north, east);
      if (stepM > 8) unit.heading = Math.atan2(east, north);
      if (stepM < MAX_STEP_M) fresh.push([unit.lat, unit.lon, next.latitude, next.longitude]);
      else unit.trail = [];
      unit.from = stepM < MAX_STEP_M ? shown(unit, now) : null;
    }
    unit.lat = next.latitude;
    unit.lon = next.longitude;
    unit.movedAt = now;
    unit.trail = [...unit.trail, [unit.lat, unit.lon]].slice(-TRAIL_POINTS);
  }
  for (const key of units.keys()) if (!keys.has(key)) units.delete(key);
  if (keys.size === 0) segments = [];
  segments = segments.concat(fresh).slice(-MAX_STREETS);
  drawStreets(fresh.length > 0 && keys.size > 0 ? fresh : segments);
}

/** Where a unit is drawn: on its way from the last place to the newest for one poll's time. */
function shown(unit, now) {
  const share = calm.matches || !unit.from ? 1 : Math.min(1, (now - unit.movedAt) / POLL_MS);
  if (share === 1) return { lat: unit.lat, lon: unit.lon };
  return {
    lat: unit.from.lat + (unit.lat - unit.from.lat) * share,
    lon: unit.from.lon + (unit.lon - unit.from.lon) * share,
  };
}

function showSummary(summary) {
  const now = performance.now();
  rates = [...rates, { now, accepted: summary.accepted }].slice(-6);
  const first = rates[0];
  const perSecond = now > first.now ? (summary.accepted - first.accepted) / ((now - first.now) / 1000) : 0;
  const numbers = { ...summary, rate: Math.max(0, Math.round(perSecond)) };
  for (const id of ["units", "accepted", "rate", "requests", "maxPerSecond", "refused", "duplicates", "outOfOrder"]) {
    $(id).textContent = numbers[id] === null ? "not kept" : numbers[id].toLocaleString("en");
  }
}

const ageMs = (unit) => Date.now() + skewMs - unit.data.eventTime;
const stateOf = (unit) => (ageMs(unit) > STALE_MS ? "stale" : (unit.data.speed ?? 0) > 1 ? "moving" : "stopped");
function ageText(unit) {
  const s = Math.max(0, Math.round(ageMs(unit) / 1000));
  return s < 100 ? s + " s" : s < 6000 ? Math.round(s / 60) + " min" : Math.round(s / 3600) + " h";
}
const label = (unit) => unit.data.unitName || unit.data.unitId;

function listUnits() {
  const wanted = $("search").value.trim().toLowerCase();
  const found = [...units.values()]
    .filter((unit) => (label(unit) + " " + unit.data.unitId).toLowerCase().includes(wanted))
    .sort((a, b) => label(a).localeCompare(label(b), "en", { numeric: true }));
  const list = $("list");
  while (list.children.length > found.length) list.lastChild.remove();
  found.forEach((unit, index) => {
    const row = list.children[index] ?? list.appendChild(newRow());
    const button = row.firstChild;
    // The API does not say in which unit a speed is.
    const speed = unit.data.speed === null ? "no speed" : "speed " + Math.round(unit.data.speed);
    const texts = [label(unit), ageText(unit), unit.data.statusMessage || "no status", speed];
    texts.forEach((text, place) => { if (button.children[place].textContent !== text) button.children[place].textContent = text; });
    button.dataset.key = unit.key;
    button.style.setProperty("--c", "var(--" + stateOf(unit) + ")");
    button.setAttribute("aria-pressed", String(unit.key === selected));
  });
}
function newRow() {
  const row = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  for (const tag of ["b", "span", "span", "span"]) button.appendChild(document.createElement(tag));
  button.addEventListener("click", () => select(button.dataset.key));
  row.appendChild(button);
  return row;
}
function select(key) {
  selected = selected === key ? null : key;
  const unit = units.get(selected);
  if (unit && unit.lat !== null) {
    touched = true;
    view = { lat: unit.lat, lon: unit.lon, pxPerM: Math.max(view.pxPerM, 0.12) };
    drawStreets();
  }
  listUnits();
}

let drag = null;
canvas.addEventListener("pointerdown", (event) => {
  drag = { x: event.clientX, y: event.clientY, moved: false };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (!drag || !view) return;
  const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
  if (!drag.moved && Math.hypot(dx, dy) < 4) return;
  moveView(dx, dy);
  drag = { x: event.clientX, y: event.clientY, moved: true };
  touched = true;
  drawStreets();
});
canvas.addEventListener("pointerup", (event) => {
  if (drag && !drag.moved && view) pickAt(event.offsetX, event.offsetY);
  drag = null;
});
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  if (!view) return;
  touched = true;
  const factor = Math.exp(-event.deltaY * 0.0015);
  const [dx, dy] = [event.offsetX - canvas.clientWidth / 2, event.offsetY - canvas.clientHeight / 2];
  moveView(-dx, -dy);
  view.pxPerM = Math.min(3, Math.max(1e-5, view.pxPerM * factor));
  moveView(dx, dy);
  drawStreets();
}, { passive: false });
function pickAt(x, y) {
  let best = null;
  for (const unit of units.values()) {
    if (unit.lat === null) continue;
    const at = toScreen(unit.lat, unit.lon);
    const distance = Math.hypot(at.x - x, at.y - y);
    if (distance < (best?.distance ?? 16)) best = { unit, distance };
  }
  selected = best && best.unit.key !== selected ? best.unit.key : null;
  listUnits();
}
$("fit").addEventListener("click", () => { touched = false; view = null; fit(); });
$("search").addEventListener("input", listUnits);
new ResizeObserver(resize).observe(canvas);
poll();
requestAnimationFrame(draw);
`;
