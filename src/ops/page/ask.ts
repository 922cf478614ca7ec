/** Browser script: asks the API; a session that has ended leads to the login. */

export const ASK_JS = `
/** The gateway answers within 4 s even when Redis hangs. */
const ANSWER_WITHIN_MS = 8000;
let leftAt = -Infinity;

/** Resolves with the answer's JSON; null where it is an error. */
export async function ask(path) {
  const answer = await answerTo(path);
  return answer.ok ? await answer.json() : null;
}

/** Resolves with the answer, whatever its status. */
export async function answerTo(path, withinMs = ANSWER_WITHIN_MS) {
  const answer = await fetch("/api/v1" + path, { cache: "no-store", signal: AbortSignal.timeout(withinMs) });
  if (answer.status === 401) goToLogin();
  return answer;
}

/** Every question of an ended session is refused, and each new navigation would abort the one under way. */
function goToLogin() {
  if (performance.now() - leftAt < ANSWER_WITHIN_MS) return;
  leftAt = performance.now();
  location.assign("/login");
}
`;
