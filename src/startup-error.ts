/** Says in the operator's words why a right configuration cannot be started on this machine. */

/** A configuration that is right in itself, but not for this machine: a file, a port. */
export class CannotStart extends Error {
  readonly problems: string[];
  constructor(problems: string[], cause?: unknown) {
    super(`Cannot start: ${problems.join("; ")}`, { cause });
    this.name = "CannotStart";
    this.problems = problems;
  }
}

/** A port that cannot be had is the operator's to change, and named as the setting it is. */
export async function orCannotStart<T>(
  setting: string,
  { host, port }: { host: string; port: number },
  open: () => Promise<T>,
): Promise<T> {
  try {
    return await open();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : null;
    switch (code) {
      case "EADDRINUSE":
        throw new CannotStart([`${setting}.port ${port} is in use: something else listens there`], error);
      case "EACCES":
        throw new CannotStart([`${setting}.port ${port} is not allowed to this user`], error);
      case "EADDRNOTAVAIL":
      case "ENOTFOUND":
        throw new CannotStart([`${setting}.host ${host} is no address of this machine`], error);
      default:
        throw error;
    }
  }
}
