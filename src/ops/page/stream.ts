/** Browser script: brings the status, once by asking and then by the stream of events, or by asking while there is none. */

export const STREAM_JS = `
import { ask } from "./ask.js";

/** While the stream is away. */
const EVERY_MS = 2000;
/** A quiet gateway sends nothing; a dead line or an ended session does neither, and must be noticed. */
const QUIET_MS = 4000;

/** \`onStatus\` gets every new status, \`onSilence\` is called while nothing answers. */
export function follow(onStatus, onSilence) {
  let stream = null;
  let timer = null;
  let heardAt = 0;

  async function refresh() {
    clearTimeout(timer);
    timer = null;
    try {
      const status = await ask("/status");
      if (status !== null && !document.hidden) heard(status);
    } catch {
      onSilence();
    }
    plan();
  }

  function heard(status) {
    heardAt = performance.now();
    onStatus(status);
  }

  function plan() {
    clearTimeout(timer);
    timer = document.hidden ? null : setTimeout(next, EVERY_MS);
  }

  function next() {
    const isLive = stream?.readyState === EventSource.OPEN && performance.now() - heardAt < QUIET_MS;
    if (isLive) return plan();
    if (stream === null || stream.readyState === EventSource.CLOSED) open();
    refresh();
  }

  function open() {
    stream = new EventSource("/api/v1/events");
    stream.addEventListener("status", ({ data }) => heard(JSON.parse(data)));
  }

  function close() {
    clearTimeout(timer);
    timer = null;
    stream?.close();
    stream = null;
  }

  document.addEventListener("visibilitychange", () => {
    close();
    if (!document.hidden) start();
  });
  // A stream that stays open keeps the page out of the browser's memory of pages, and holds a connection.
  addEventListener("pagehide", close);

  async function start() {
    await refresh();
    if (!document.hidden && stream === null) open();
  }
  start();
}
`;
