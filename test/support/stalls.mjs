/** Preloaded into a gateway with `--import`: blocks its event loop again and again, as garbage collection or a busy host does. */

const [SHORTEST_MS, LONGEST_MS] = [60, 200];
/** Between stalls, on average. */
const EVERY_MS = 1000;

function stallLater() {
  const timer = setTimeout(
    () => {
      const until = performance.now() + SHORTEST_MS + Math.random() * (LONGEST_MS - SHORTEST_MS);
      while (performance.now() < until);
      stallLater();
    },
    Math.random() * 2 * EVERY_MS,
  );
  timer.unref();
}

stallLater();
