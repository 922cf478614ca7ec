/** The part of the page's script that draws: projection, view, streets, units and labels on the canvas. */

/** Plain browser JavaScript; works on the names that map-script.ts declares. */
export const MAP_DRAWING = `
const project = (lat, lon) => ({ x: lon * Math.cos((view.lat * Math.PI) / 180) * M_PER_DEG, y: lat * M_PER_DEG });
function toScreen(lat, lon) {
  const here = project(lat, lon);
  const middle = project(view.lat, view.lon);
  return {
    x: canvas.clientWidth / 2 + (here.x - middle.x) * view.pxPerM,
    y: canvas.clientHeight / 2 - (here.y - middle.y) * view.pxPerM,
  };
}
function moveView(dx, dy) {
  view.lon -= dx / view.pxPerM / (Math.cos((view.lat * Math.PI) / 180) * M_PER_DEG);
  view.lat += dy / view.pxPerM / M_PER_DEG;
}

function fit() {
  const placed = [...units.values()].filter((unit) => unit.lat !== null);
  if (placed.length === 0) return;
  // From the 1st to the 99th percentile: one unit at the far end of the world must not shrink all the others.
  const range = (values) => {
    values.sort((a, b) => a - b);
    const cut = Math.floor(values.length * 0.01);
    return [values[cut], values[values.length - 1 - cut]];
  };
  const [south, north] = range(placed.map((unit) => unit.lat));
  const [west, east] = range(placed.map((unit) => unit.lon));
  const lat = (south + north) / 2;
  const widthM = Math.max(1000, (east - west) * Math.cos((lat * Math.PI) / 180) * M_PER_DEG);
  const heightM = Math.max(1000, (north - south) * M_PER_DEG);
  const pxPerM = 0.92 * Math.min(canvas.clientWidth / widthM, canvas.clientHeight / heightM);
  if (view && Math.abs(view.pxPerM / pxPerM - 1) < 0.03 && Math.abs(view.lat - lat) < heightM / M_PER_DEG / 30) return;
  view = { lat, lon: (west + east) / 2, pxPerM };
  drawStreets();
}

function resize() {
  const ratio = devicePixelRatio || 1;
  for (const each of [canvas, streets]) {
    each.width = canvas.clientWidth * ratio;
    each.height = canvas.clientHeight * ratio;
    each.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
  }
  if (!touched) { view = null; fit(); }
  drawStreets();
}

function drawStreets(list = segments) {
  if (!view) return;
  const brush = streets.getContext("2d");
  if (list === segments) brush.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  brush.strokeStyle = colour.street;
  brush.lineCap = "round";
  brush.lineWidth = Math.min(14, Math.max(1.5, 12 * view.pxPerM));
  brush.beginPath();
  for (const [a, b, c, d] of list) {
    const from = toScreen(a, b);
    const to = toScreen(c, d);
    brush.moveTo(from.x, from.y);
    brush.lineTo(to.x, to.y);
  }
  brush.stroke();
}

function draw(now) {
  requestAnimationFrame(draw);
  pen.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  if (!view) return;
  pen.drawImage(streets, 0, 0, canvas.clientWidth, canvas.clientHeight);
  const placed = [];
  for (const unit of units.values()) {
    if (unit.lat === null) continue;
    const { lat, lon } = shown(unit, now);
    const at = toScreen(lat, lon);
    if (at.x < -40 || at.y < -40 || at.x > canvas.clientWidth + 40 || at.y > canvas.clientHeight + 40) continue;
    placed.push({ unit, at, state: stateOf(unit) });
  }
  for (const { unit, at, state } of placed) if (state === "moving" || unit.key === selected) drawTrail(unit, at);
  const order = { stale: 0, stopped: 1, moving: 2 };
  placed.sort((a, b) => order[a.state] - order[b.state]);
  for (const { unit, at, state } of placed) drawUnit(unit, at, state);
  drawLabels(placed);
  drawScale();
}

function drawTrail(unit, at) {
  const points = unit.trail.slice(0, -1).map(([lat, lon]) => toScreen(lat, lon)).concat(at);
  pen.strokeStyle = colour.trail;
  pen.lineWidth = 2;
  for (let i = 1; i < points.length; i += 1) {
    pen.globalAlpha = (0.55 * i) / points.length;
    pen.beginPath();
    pen.moveTo(points[i - 1].x, points[i - 1].y);
    pen.lineTo(points[i].x, points[i].y);
    pen.stroke();
  }
  pen.globalAlpha = 1;
}

function drawUnit(unit, at, state) {
  const size = unit.key === selected ? 9 : 6;
  pen.save();
  pen.translate(at.x, at.y);
  pen.beginPath();
  if (state === "moving" && unit.heading !== null) {
    pen.rotate(unit.heading);
    pen.moveTo(0, -size * 1.4);
    pen.lineTo(size * 0.9, size);
    pen.lineTo(0, size * 0.5);
    pen.lineTo(-size * 0.9, size);
    pen.closePath();
  } else {
    pen.arc(0, 0, size * 0.75, 0, 2 * Math.PI);
  }
  pen.lineWidth = 2.5;
  pen.strokeStyle = colour.halo;
  pen.stroke();
  pen.fillStyle = colour[state];
  pen.fill();
  pen.restore();
}

function drawLabels(placed) {
  // A label is left out where it would cover another; the selected unit's comes first.
  const drawn = [];
  const first = placed.filter(({ unit }) => unit.key === selected);
  const rest = placed.length <= 400 && view.pxPerM > 0.015 ? placed.filter(({ unit }) => unit.key !== selected) : [];
  pen.textBaseline = "middle";
  for (const { unit, at } of [...first, ...rest]) {
    const chosen = unit.key === selected;
    const status = unit.data.statusMessage ? " · " + unit.data.statusMessage : "";
    const text = chosen ? label(unit) + status + " · " + ageText(unit) : label(unit);
    pen.font = (chosen ? "600 13px" : "11px") + " system-ui, sans-serif";
    const box = { x: at.x + 10, y: at.y - 7, w: pen.measureText(text).width, h: 14 };
    const covers = (b) => box.x < b.x + b.w && b.x < box.x + box.w && box.y < b.y + b.h && b.y < box.y + box.h;
    if (drawn.some(covers)) continue;
    drawn.push(box);
    pen.lineWidth = 3;
    pen.strokeStyle = colour.halo;
    pen.strokeText(text, box.x, at.y);
    pen.fillStyle = chosen ? colour.text : colour.soft;
    pen.fillText(text, box.x, at.y);
  }
}

function drawScale() {
  const miles = [10, 5, 2, 1, 0.5, 0.25, 0.1].find((each) => each * 1609.344 * view.pxPerM <= 120) ?? 0.05;
  const px = Math.round(miles * 1609.344 * view.pxPerM);
  const scale = $("scale");
  scale.textContent = miles + " mi";
  scale.style.width = px + "px";
}
`;
