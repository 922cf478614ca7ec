/** Decides whether a text is on the lists of guessers: words, runs of the alphabet or the keyboard, repetitions. */

/** What people write where a secret is required, and what examples put in its place. Longer words first. */
const WORDS = [
  ...["servicetitan", "placeholder", "credential", "undefined", "password", "changeme", "passwort"],
  ...["webhook", "waypost", "letmein", "welcome", "default", "example", "replace", "iloveyou"],
  ...["secret", "passwd", "apikey", "change", "sample", "insert", "monkey", "dragon", "master", "summer"],
  ...["winter", "please", "device", "token", "admin", "guest", "dummy", "hello", "login", "value"],
  ...["pass", "test", "demo", "user", "root", "mqtt", "here", "your", "this", "that", "null", "none"],
];
const ROWS = [
  "01234567890123456789",
  "abcdefghijklmnopqrstuvwxyz",
  "qwertyuiopasdfghjklzxcvbnm",
  "qwertzuiopasdfghjklyxcvbnm",
  "azertyuiopqsdfghjklmwxcvbn",
  "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
  "qazwsxedcrfvtgbyhnujmikolp",
];
const RUNS = [...ROWS, ...ROWS.map((row) => [...row].reverse().join(""))];
/** Three in a row occur by chance. */
const MIN_RUN = 4;
/** A guesser tries combinations of a few words, runs and single characters first. */
const MIN_PARTS = 5;

const LEET: Readonly<Record<string, string>> = {
  "@": "a",
  "4": "a",
  "0": "o",
  "1": "i",
  "3": "e",
  $: "s",
  "5": "s",
};

/** `p4ssw0rd-123456` has two parts, a random text of 16 characters has 16. */
export function isGuessable(text: string): boolean {
  const plain = text.toLowerCase();
  const spelled = [...plain].map((character) => LEET[character] ?? character).join("");
  let parts = 0;
  for (let at = 0; at < plain.length && parts < MIN_PARTS; ) {
    const length = Math.max(runAt(plain, at), wordAt(plain, at), wordAt(spelled, at), repeatAt(plain, at));
    // What separates words adds nothing.
    if (length > 0 || !/[\s._-]/.test(plain.charAt(at))) parts++;
    at += Math.max(1, length);
  }
  return parts < MIN_PARTS;
}

/** The text without its repetitions: `abcabcabc` is no better than `abc`. */
export function withoutRepetition(text: string): string {
  for (let period = 1; period <= text.length / 2; period++) {
    if (text.slice(period) === text.slice(0, -period)) return text.slice(0, period);
  }
  return text;
}

function runAt(text: string, at: number): number {
  let length = 0;
  for (const run of RUNS) {
    for (let next = Math.max(MIN_RUN, length + 1); at + next <= text.length; next++) {
      if (!run.includes(text.slice(at, at + next))) break;
      length = next;
    }
  }
  return length;
}

function wordAt(text: string, at: number): number {
  return WORDS.find((word) => text.startsWith(word, at))?.length ?? 0;
}

function repeatAt(text: string, at: number): number {
  let end = at + 1;
  while (end < text.length && text[end] === text[at]) end++;
  return end - at >= MIN_RUN ? end - at : 0;
}
