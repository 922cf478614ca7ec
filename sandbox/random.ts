/** Pseudo-random numbers that are the same for the same seed, in streams that do not disturb each other. */

export interface Random {
  /** [0, 1). */
  next(): number;
  between(min: number, max: number): number;
  /** Whole number from min to max, both included. */
  integer(min: number, max: number): number;
  chance(probability: number): boolean;
  pick<T>(list: readonly [T, ...T[]]): T;
  /** Normally distributed around 0. */
  normal(deviation: number): number;
  /** A stream of its own: what is drawn from it changes nothing here. */
  fork(label: string): Random;
}

export function createRandom(seed: string | number): Random {
  const origin = String(seed);
  // FNV-1a, to make 32 bits of any text.
  let state = 0x811c9dc5;
  for (const byte of Buffer.from(origin)) state = Math.imul(state ^ byte, 0x01000193);

  /** mulberry32: small, fast, and even enough for traffic. */
  function next(): number {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  const between = (min: number, max: number) => min + next() * (max - min);
  const integer = (min: number, max: number) => Math.floor(between(min, max + 1));
  return {
    next,
    between,
    integer,
    chance: (probability) => next() < probability,
    pick: (list) => list[integer(0, list.length - 1)] ?? list[0],
    // Box and Muller; 1 - next() is never 0, whose logarithm would be infinite.
    normal: (deviation) => deviation * Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    fork: (label) => createRandom(`${origin}/${label}`),
  };
}
