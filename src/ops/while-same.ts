/** Works out again only what has been replaced: for what follows from the configuration in force. */

/** `workOut` is called where `from` gives another object than the time before. */
export function whileSame<From extends object, To>(from: () => From, workOut: (from: From) => To): () => To {
  let known: { from: From; to: To } | null = null;
  return () => {
    const now = from();
    if (known?.from !== now) known = { from: now, to: workOut(now) };
    return known.to;
  };
}
