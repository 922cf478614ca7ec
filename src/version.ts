/** Which version this is, and how requests of ours name themselves. */

/** Held equal to package.json by a test: a build that is copied somewhere has no package.json beside it. */
export const VERSION = "0.1.0";

/** In every request we make, so that who serves it can tell us apart and reach us by the name. */
export const USER_AGENT = `waypost/${VERSION}`;
