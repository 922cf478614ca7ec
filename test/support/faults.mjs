/** Preloaded into a gateway with `--import`: SIGUSR2 makes a promise fail that no code awaits, as a bug does. */

process.on("SIGUSR2", () => {
  void Promise.reject(new Error("nobody waits for this"));
});
