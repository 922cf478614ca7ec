/** Why a valid configuration cannot start on this machine, found before or while something is opened. */

import { errorCode } from "../untrusted.ts";

/** A configuration that is valid in itself but not on this machine: a file, a port. */
export class StartupError extends Error {
  readonly problems: string[];
  constructor(problems: string[], cause?: unknown) {
    super(`Cannot start: ${problems.join("; ")}`, { cause });
    this.name = "StartupError";
    this.problems = problems;
  }
}

/** A port that cannot be opened is the operator's to change, so the error names its setting. */
export async function explainListenError<T>(
  setting: string,
  { host, port }: { host: string; port: number },
  open: () => Promise<T>,
): Promise<T> {
  try {
    return await open();
  } catch (error) {
    const code = errorCode(error);
    switch (code) {
      case "EADDRINUSE":
        throw new StartupError([`${setting}.port ${port} is in use: something else listens there`], error);
      case "EACCES":
        throw new StartupError([`${setting}.port ${port} is not allowed to this user`], error);
      case "EADDRNOTAVAIL":
      case "ENOTFOUND":
        throw new StartupError([`${setting}.host ${host} is no address of this machine`], error);
      default:
        throw error;
    }
  }
}
