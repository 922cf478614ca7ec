/** The looks of the page: calm, dense, light and dark; colour only where something wants attention. */

export const PAGE_CSS = `
:root {
  color-scheme: light dark;
  --ground: light-dark(#f4f5f7, #0d1116);
  --sheet: light-dark(#ffffff, #151a21);
  --sunk: light-dark(#f0f2f5, #10151b);
  --ink: light-dark(#161b22, #e3e8ee);
  --soft: light-dark(#56616d, #97a3b0);
  --edge: light-dark(#dfe3e8, #262e38);
  --rail: light-dark(#1f5fbf, #6aa5f8);
  --good: light-dark(#17693f, #56c48b);
  --warn: light-dark(#8a5a00, #e5b04a);
  --bad: light-dark(#b3202a, #ff8078);
  --warn-ground: light-dark(#fdf6e6, #221c10);
  --bad-ground: light-dark(#fdeeee, #26151a);
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums;
}
* { box-sizing: border-box; margin: 0; }
body { background: var(--ground); color: var(--ink); }
a { color: inherit; }
code { font: 0.93em/1 var(--mono); }
ul, ol { list-style: none; padding: 0; }
:focus-visible { outline: 2px solid var(--rail); outline-offset: 2px; border-radius: 3px; }

.bar {
  position: sticky; top: 0; z-index: 1; display: flex; align-items: center; gap: 4px 20px; flex-wrap: wrap;
  padding: 8px max(20px, calc(50vw - 660px)); background: var(--sheet); border-bottom: 1px solid var(--edge);
  color: var(--soft); font-size: 13px;
}
h1 a { display: flex; align-items: center; gap: 8px; text-decoration: none; }
h1 { display: flex; align-items: center; gap: 8px; font-size: 16px; font-weight: 650; letter-spacing: -0.01em; color: var(--ink); }
.mark { width: 20px; fill: var(--rail); stroke: var(--rail); stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
nav { display: flex; gap: 2px; margin-right: auto; }
nav a { padding: 3px 9px; border-radius: 5px; text-decoration: none; }
nav a:hover { background: var(--sunk); color: var(--ink); }
.freshness { display: flex; align-items: center; gap: 7px; color: var(--ink); }
.freshness::before { content: ""; width: 8px; height: 8px; border-radius: 50%; background: var(--good); }
.stale .freshness { color: var(--bad); font-weight: 600; }
.stale .freshness::before { background: none; border: 2px solid var(--bad); border-radius: 1px; }
.stale :is(#figures, #now, #lately, #settings) { filter: grayscale(1); opacity: 0.7; }
button {
  font: inherit; color: var(--ink); background: var(--sheet); border: 1px solid var(--edge); border-radius: 6px;
  padding: 3px 11px; cursor: pointer;
}
button:hover { border-color: var(--soft); }

main { max-width: 1360px; margin: 0 auto; padding: 8px 20px 56px; }
section { scroll-margin-top: 52px; padding-top: 18px; }
h2 { font-size: 12px; font-weight: 650; letter-spacing: 0.06em; text-transform: uppercase; color: var(--soft); margin-bottom: 8px; }
.note { color: var(--soft); font-size: 13px; }
.note b { font-weight: 600; color: var(--ink); }
.empty { color: var(--soft); }
.big { font-size: 24px; line-height: 1.2; font-weight: 600; letter-spacing: -0.02em; }
.good { color: var(--good); }
.bad { color: var(--bad); font-weight: 600; }
.notice { padding: 10px 14px; border-radius: 8px; background: var(--bad-ground); color: var(--bad); }

.sign { width: 22px; height: 22px; flex: none; fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
.headline { display: flex; align-items: center; gap: 10px; font-size: 22px; font-weight: 600; letter-spacing: -0.015em; }
.headline .sign { width: 28px; height: 28px; }
.headline span { color: var(--ink); }
.headline.ok, .ok .sign { color: var(--good); }
.headline.warning, .warning .sign { color: var(--warn); }
.headline.error, .error .sign { color: var(--bad); }
.problems:not(:empty) { margin-top: 12px; display: grid; gap: 6px; }
.problem { display: grid; grid-template-columns: 22px 5fr 4fr; gap: 2px 12px; padding: 9px 14px; border: 1px solid var(--edge); border-left: 3px solid var(--warn); border-radius: 7px; background: var(--warn-ground); }
.problem.error { border-left-color: var(--bad); background: var(--bad-ground); }
.problem strong { font-weight: 650; }
.problem strong::after { content: "."; }
.problem p { overflow-wrap: anywhere; }
.next { color: var(--soft); padding-left: 14px; border-left: 1px solid color-mix(in srgb, var(--soft) 30%, transparent); }
.next b { font-weight: 600; color: var(--ink); }

.about { color: var(--soft); font-size: 13px; grid-column: 2 / -1; }
.where:empty { display: none; }
.where { padding-top: 12px; font-weight: 600; }
.tenants form { display: flex; align-items: center; gap: 8px; flex-wrap: wrap; margin-bottom: 8px; }
.tenants input { font: inherit; padding: 3px 8px; color: var(--ink); background: var(--ground); border: 1px solid var(--edge); border-radius: 6px; min-width: 0; }
.choices { display: flex; gap: 6px; flex-wrap: wrap; }

.figures { display: grid; grid-template-columns: repeat(5, 1fr); margin-top: 14px; background: var(--sheet); border: 1px solid var(--edge); border-radius: 9px; overflow: hidden; }
.figures > div { padding: 10px 16px; border-left: 1px solid var(--edge); margin-left: -1px; min-width: 0; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; display: flex; align-items: baseline; gap: 4px 12px; flex-wrap: wrap; }
.curve { width: 120px; height: 24px; }
.curve path { stroke: var(--edge); }
.curve polyline { fill: none; stroke: var(--rail); stroke-width: 1.5; vector-effect: non-scaling-stroke; stroke-linejoin: round; }

#lines { display: grid; gap: 10px; }
.line, .panel { background: var(--sheet); border: 1px solid var(--edge); border-radius: 9px; min-width: 0; }
.line { --track: var(--rail); padding: 12px 18px 14px; }
.line > header { display: flex; align-items: baseline; gap: 2px 14px; flex-wrap: wrap; margin-bottom: 10px; }
.line > header p { color: var(--soft); font-size: 13px; }
h3 { font-size: 15px; font-weight: 650; }
.silent { color: var(--warn); text-decoration: underline dotted; cursor: help; }
.track { display: grid; grid-template-columns: minmax(230px, 1.15fr) 1fr 1.35fr 1fr; }
.sources { display: flex; min-width: 0; }
.sources ul { flex: 1; min-width: 0; }
.sources li { height: 30px; display: flex; align-items: center; justify-content: space-between; gap: 10px; border-bottom: 1px solid var(--edge); }
.sources li:last-child { border: 0; }
.sources .name { font-weight: 550; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.sources .note { white-space: nowrap; }
.joins { flex: none; align-self: flex-start; margin-left: 8px; }
.joins path { fill: none; stroke: var(--track); stroke-width: 3; }
.station { min-width: 0; padding-right: 14px; }
.rail { position: relative; height: 30px; display: flex; align-items: center; margin-bottom: 4px; }
.rail::before { content: ""; position: absolute; left: 0; right: -14px; height: 3px; background: var(--track); }
.last .rail::before { right: auto; width: 0; }
.stop { position: relative; width: 17px; height: 17px; border: 4px solid var(--track); border-radius: 50%; background: var(--sheet); }
.last .stop { background: var(--track); }
.station > .name { color: var(--soft); font-size: 13px; }
.old .big, .old .note b { color: var(--warn); }
.old .stop { border-color: var(--warn); }
.signal { position: absolute; right: calc(100% + 10px); transform: translateX(0); padding: 1px 9px; border-radius: 99px; font-size: 12px; font-weight: 600; background: var(--sheet); border: 1.5px solid var(--rail); color: var(--rail); }
:is(.paused, .probing) .signal { border-color: var(--bad); color: var(--bad); }
.ramping .signal { border-color: var(--warn); color: var(--warn); }
:is(.paused, .probing) .station:nth-child(3) .rail::before { background: repeating-linear-gradient(90deg, var(--bad) 0 7px, transparent 7px 13px); }
.ramping .station:nth-child(3) .rail::before { background: repeating-linear-gradient(90deg, var(--warn) 0 7px, transparent 7px 11px); }
meter { width: 74px; height: 9px; vertical-align: 0; }

.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 540px), 1fr)); gap: 10px; align-items: start; }
.column { display: grid; gap: 10px; min-width: 0; }
.panel { padding: 12px 16px; }
.panel > .note { margin-top: 8px; }
.panel h3, caption { font-size: 14px; font-weight: 650; text-align: left; padding-bottom: 6px; }
.finder { margin-bottom: 10px; }
.finder form { display: flex; align-items: center; gap: 8px; flex-wrap: wrap; }
.finder :is(input, select) { font: inherit; padding: 3px 8px; color: var(--ink); background: var(--ground); border: 1px solid var(--edge); border-radius: 6px; min-width: 0; }
#found:not(:empty) { margin-top: 10px; display: grid; gap: 8px; min-width: 0; }
#found .panel { padding: 0; border: 0; }
.scroll { overflow-x: auto; }
#lately .scroll, #settings .scroll { max-height: 400px; overflow-y: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: left; padding: 4px 14px 4px 0; vertical-align: baseline; white-space: nowrap; }
thead th { color: var(--soft); font-weight: 500; border-bottom: 1px solid var(--edge); }
tbody th { font-weight: 500; }
tbody tr + tr > * { border-top: 1px solid color-mix(in srgb, var(--edge) 60%, transparent); }
th:last-child, td:last-child { padding-right: 2px; }
.wide { white-space: normal; overflow-wrap: anywhere; min-width: 180px; }
td.number, th.number { text-align: right; }
.zero { color: var(--soft); font-weight: 400; }
.big.zero { font-weight: 500; }
.lanes { width: auto; font-size: 12.5px; }
.lanes th, .lanes td { padding: 1px 12px 1px 0; border: 0 !important; }
.lanes thead th:not(:first-child) { text-align: right; }
.lanes th { color: var(--soft); font-weight: 400; }
.share { width: 30%; }
progress { appearance: none; width: 100%; height: 7px; border: 0; background: none; }
progress::-webkit-progress-bar { background: none; }
progress::-webkit-progress-value { background: var(--rail); border-radius: 2px; opacity: 0.75; }
progress::-moz-progress-bar { background: var(--rail); border-radius: 2px; opacity: 0.75; }
.policy { display: inline-block; margin-right: 16px; }
.policy code { color: var(--soft); }
.accounting { margin-top: 10px; }
.accounting thead th { white-space: normal; vertical-align: bottom; line-height: 1.2; }
.accounting table { font-size: 12.5px; }
.accounting :is(th, td) { padding-right: 7px; }
.accounting :is(th, td):last-child { padding-left: 10px; }
.accounting .first { font-weight: 650; border-left: 1px solid var(--edge); padding-left: 7px; color: var(--ink); }
.accounting tfoot > tr > * { border-top: 1px solid var(--edge); font-weight: 600; }

.login { min-height: 100vh; display: grid; place-items: center; }
.login main { width: min(360px, 100%); display: grid; gap: 16px; padding: 28px; background: var(--sheet); border: 1px solid var(--edge); border-radius: 12px; }
.login form { display: grid; gap: 8px; }
.login input { font: inherit; padding: 8px 10px; color: var(--ink); background: var(--ground); border: 1px solid var(--soft); border-radius: 6px; }
.login button { padding: 8px; margin-top: 6px; background: var(--rail); border-color: var(--rail); color: var(--sheet); font-weight: 600; }

@media (max-width: 1000px) {
  .track { grid-template-columns: 1fr 1.3fr 1fr; gap: 14px 0; }
  .sources { grid-column: 1 / -1; }
  .joins { display: none; }
  #process { display: none; }
  .figures > div { padding: 9px 12px; }
  .problem { grid-template-columns: 22px 1fr; }
  .next { grid-column: 2; padding: 0; border: 0; }
}
@media (max-width: 620px) {
  .bar { padding: 7px 12px; }
  .bar nav { display: none; }
  .freshness { margin-left: auto; }
  main { padding: 0 12px 40px; }
  .line, .panel { padding: 10px 12px; }
  .figures { grid-template-columns: 1fr 1fr; }
  .figures > div { border-top: 1px solid var(--edge); margin-top: -1px; }
  .figures > div:last-child { grid-column: 1 / -1; }
  .sources .note { font-size: 12px; }
  .track { display: block; }
  .sources { margin-bottom: 12px; }
  .station { position: relative; padding: 0 0 14px 30px; }
  .rail { position: absolute; inset: 0 auto 0 0; width: 17px; height: auto; margin: 0; align-items: flex-start; }
  .rail::before { left: 7px; right: auto; top: 2px; bottom: -4px; width: 3px; height: auto; }
  .signal { right: auto; left: 116px; top: -1px; }
  :is(.paused, .probing) .station:nth-child(3) .rail::before { background: repeating-linear-gradient(var(--bad) 0 7px, transparent 7px 13px); }
  .ramping .station:nth-child(3) .rail::before { background: repeating-linear-gradient(var(--warn) 0 7px, transparent 7px 11px); }
}
@media (prefers-contrast: more) {
  :root { --soft: var(--ink); --edge: var(--ink); }
}
`;
