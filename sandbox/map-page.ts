/** The stand-in's page at `/`: the vehicles as a dispatcher would see them, drawn without tiles or anything from outside. */

import { MAP_SCRIPT } from "./map-script.ts";

const STYLE = `
:root {
  color-scheme: light dark;
  --ground: #eef1f4; --panel: #ffffff; --line: #d9dfe6; --text: #17212b; --soft: #5c6b7a;
  --street: #ffffff; --trail: #2f7de1; --moving: #1667d0; --stopped: #6b7887; --stale: #c0392b; --halo: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #11171d; --panel: #19212a; --line: #2b3743; --text: #e6edf3; --soft: #93a3b3;
    --street: #2a3744; --trail: #4f9cff; --moving: #62a8ff; --stopped: #8b9aa9; --stale: #ff7b6b; --halo: #11171d;
  }
}
* { box-sizing: border-box; }
html, body { height: 100%; margin: 0; }
body {
  display: grid; grid-template: auto minmax(0, 1fr) / minmax(0, 1fr) 300px;
  background: var(--ground); color: var(--text); font: 14px/1.4 system-ui, sans-serif;
}
header {
  grid-column: 1 / -1; display: flex; flex-wrap: wrap; gap: 8px 28px; align-items: center;
  padding: 10px 16px; background: var(--panel); border-bottom: 1px solid var(--line);
}
h1 { margin: 0; font-size: 16px; } h1 small { display: block; font-size: 12px; font-weight: 400; color: var(--soft); }
dl { display: flex; flex-wrap: wrap; gap: 4px 24px; margin: 0; }
dt { font-size: 11px; color: var(--soft); } dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; }
#lost { display: none; margin-left: auto; color: var(--stale); font-weight: 600; }
#stage { position: relative; overflow: hidden; }
canvas { position: absolute; inset: 0; width: 100%; height: 100%; cursor: grab; touch-action: none; }
#key {
  position: absolute; left: 12px; bottom: 12px; display: flex; gap: 14px; padding: 5px 10px; font-size: 12px;
  background: var(--panel); border: 1px solid var(--line); border-radius: 6px; color: var(--soft);
}
#key i { display: inline-block; width: 9px; height: 9px; margin-right: 5px; border-radius: 50%; background: var(--c); }
#scale { border-bottom: 2px solid; text-align: center; }
#fit { position: absolute; right: 12px; top: 12px; }
aside { display: flex; flex-direction: column; background: var(--panel); border-left: 1px solid var(--line); min-height: 0; }
input, #fit {
  font: inherit; color: var(--text); background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
  padding: 6px 10px;
}
input { margin: 10px; }
ol { flex: 1; overflow-y: auto; margin: 0; padding: 0; list-style: none; }
li button {
  width: 100%; padding: 6px 12px; display: grid; grid-template-columns: 1fr auto; gap: 0 8px; text-align: left;
  font: inherit; color: inherit; background: none; border: 0; border-left: 3px solid var(--c); cursor: pointer;
}
li button:hover, li button[aria-pressed="true"] { background: var(--ground); }
li span { color: var(--soft); font-size: 12px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
li span:nth-child(even) { text-align: right; }
li b { font-weight: 600; } li b, li span { font-variant-numeric: tabular-nums; }
@media (max-width: 760px) {
  body { grid-template: auto minmax(0, 1fr) 34% / minmax(0, 1fr); }
  aside { border-left: 0; border-top: 1px solid var(--line); }
  #scale { display: none; }
}
`;

const NUMBERS: readonly [id: string, label: string][] = [
  ["units", "Units"],
  ["accepted", "Pings accepted"],
  ["rate", "Pings per second"],
  ["requests", "Requests"],
  ["maxPerSecond", "Most requests in any second"],
  ["refused", "Pings refused"],
  ["duplicates", "Repeated"],
  ["outOfOrder", "Out of order"],
];

export const MAP_PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:">
<title>Dispatch Map stand-in</title>
<link rel="icon" href="data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 10 10'><path d='M5 0l4 10-4-3-4 3z' fill='%231667d0'/></svg>">
<style>${STYLE}</style>
</head>
<body>
<header>
  <h1>Dispatch Map stand-in<small>what ServiceTitan would have received</small></h1>
  <dl>${NUMBERS.map(([id, label]) => `<div><dt>${label}</dt><dd id="${id}">–</dd></div>`).join("")}</dl>
  <div id="lost" role="status">No answer from the sandbox</div>
</header>
<div id="stage">
  <canvas aria-label="Map of the newest accepted position of every unit"></canvas>
  <button id="fit" type="button">Show all</button>
  <div id="key">
    <span><i style="--c: var(--moving)"></i>moving</span>
    <span><i style="--c: var(--stopped)"></i>stopped</span>
    <span><i style="--c: var(--stale)"></i>silent for over 2 min</span>
    <span id="scale"></span>
  </div>
</div>
<aside>
  <input id="search" type="search" placeholder="Find a unit" aria-label="Find a unit">
  <ol id="list"></ol>
</aside>
<script>${MAP_SCRIPT}</script>
</body>
</html>
`;
