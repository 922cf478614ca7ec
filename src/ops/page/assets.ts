/** The files a browser gets, held in memory; they are text in this folder, so that the build stays one step. */

import { ASK_JS } from "./ask.ts";
import { PAGE_CSS } from "./css.ts";
import { DOM_JS } from "./dom.ts";
import { FIND_JS } from "./find.ts";
import { ICON_SVG, LOGIN_HTML, PAGE_HTML } from "./html.ts";
import { LATELY_JS } from "./lately.ts";
import { LINE_JS } from "./line.ts";
import { MAIN_JS } from "./main.ts";
import { SETTINGS_JS } from "./settings.ts";
import { STREAM_JS } from "./stream.ts";
import { TENANTS_JS } from "./tenants.ts";
import { TRAIL_JS } from "./trail.ts";
import { WORDS_JS } from "./words.ts";

export interface Asset {
  path: string;
  contentType: string;
  body: string;
}

const JS = "text/javascript; charset=utf-8";

/** Needed to draw the login form, and telling nothing. */
export const LOGIN_ASSETS: readonly Asset[] = [
  { path: "/page.css", contentType: "text/css; charset=utf-8", body: PAGE_CSS },
  { path: "/icon.svg", contentType: "image/svg+xml", body: ICON_SVG },
];

export const PAGE_ASSETS: readonly Asset[] = [
  { path: "/", contentType: "text/html; charset=utf-8", body: PAGE_HTML },
  { path: "/tenants/:tenant", contentType: "text/html; charset=utf-8", body: PAGE_HTML },
  { path: "/page.js", contentType: JS, body: MAIN_JS },
  { path: "/page/ask.js", contentType: JS, body: ASK_JS },
  { path: "/page/dom.js", contentType: JS, body: DOM_JS },
  { path: "/page/words.js", contentType: JS, body: WORDS_JS },
  { path: "/page/find.js", contentType: JS, body: FIND_JS },
  { path: "/page/line.js", contentType: JS, body: LINE_JS },
  { path: "/page/lately.js", contentType: JS, body: LATELY_JS },
  { path: "/page/settings.js", contentType: JS, body: SETTINGS_JS },
  { path: "/page/stream.js", contentType: JS, body: STREAM_JS },
  { path: "/page/tenants.js", contentType: JS, body: TENANTS_JS },
  { path: "/page/trail.js", contentType: JS, body: TRAIL_JS },
];

/** `notice` is one of our own sentences; nothing a visitor typed is repeated. */
export function loginPage(notice: string | null): string {
  return LOGIN_HTML.replace(
    "<!--notice-->",
    notice === null ? "" : `<p class="notice" role="alert">${notice}</p>`,
  );
}
