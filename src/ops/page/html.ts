/** The frames of the page and of the login form; what is in them is drawn by the scripts. */

const HEAD = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="same-origin">
<title>Waypost</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/page.css">
`;

const MARK = `<svg class="mark" viewBox="0 0 24 24" aria-hidden="true"><path d="M12 2v20"/><path d="M5 5h11l4 3.5L16 12H5z"/></svg>`;

export const PAGE_HTML = `${HEAD}<script type="module" src="/page.js"></script>
</head>
<body>
<header class="bar">
  <h1><a href="/">${MARK}Waypost</a></h1>
  <nav aria-label="Questions">
    <a href="#healthy">Healthy?</a>
    <a href="#now">Now</a>
    <a href="#lately">Lately</a>
    <a href="#settings">Switched on</a>
    <a href="/api/v1/docs">API</a>
  </nav>
  <p id="process"></p>
  <p id="freshness" class="freshness"></p>
  <form method="post" action="/logout"><button>Log out</button></form>
</header>
<noscript><p class="notice">This page needs JavaScript. The same facts are at /api/v1/status.</p></noscript>
<main id="main">
  <p id="where" class="where"></p>
  <section id="healthy" aria-labelledby="healthy-title">
    <h2 id="healthy-title">Is it healthy?</h2>
    <p id="headline" class="headline" role="status" aria-live="polite">Asking…</p>
    <ol id="problems" class="problems"></ol>
    <dl id="figures" class="figures"></dl>
  </section>
  <section id="now" aria-labelledby="now-title">
    <h2 id="now-title">Where is everything now?</h2>
    <div id="tenants"></div>
    <div id="lines"></div>
    <div id="accounting"></div>
  </section>
  <section id="lately" aria-labelledby="lately-title">
    <h2 id="lately-title">What happened lately?</h2>
    <div class="panel finder">
      <h3 id="find-title">Where is my ping?</h3>
      <form id="find" aria-labelledby="find-title">
        <label for="find-q">Unit, name, device, technician or externalId</label>
        <input id="find-q" name="q" required maxlength="300" autocomplete="off" spellcheck="false">
        <button>Look</button>
      </form>
      <div id="found" aria-live="polite"></div>
    </div>
    <div id="events" class="panels"></div>
    <div id="trail"></div>
  </section>
  <section id="settings" aria-labelledby="settings-title">
    <h2 id="settings-title">What is switched on?</h2>
    <div id="parts" class="panels"></div>
  </section>
</main>
</body>
</html>
`;

export const LOGIN_HTML = `${HEAD}</head>
<body class="login">
<main>
  <h1>${MARK}Waypost</h1>
  <!--notice-->
  <form method="post" action="/login">
    <label for="token">Ops token</label>
    <input name="username" autocomplete="username" value="ops" hidden>
    <input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
    <button>Open</button>
    <p class="note">It is ops.token, or one of ops.tokens, in the configuration.</p>
  </form>
</main>
</body>
</html>
`;

export const ICON_SVG = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="5" fill="#1f5fbf"/><path d="M9 4v16" stroke="#fff" stroke-width="2" stroke-linecap="round"/><path d="M6 6h9l3 3-3 3H6z" fill="#fff"/></svg>
`;
