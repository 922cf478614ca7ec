/** Preloaded into a gateway with `--import`: SIGUSR2 makes a promise fail that nobody waits for, as a bug would. */

process.on("SIGUSR2", () => {
  void Promise.reject(new Error("nobody waits for this"));
});
