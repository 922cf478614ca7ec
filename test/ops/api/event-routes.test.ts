/** The stream of live changes over a real socket's worth of bytes: what it says, when it ends, and how many there may be. */

import { afterEach, describe, expect, it } from "vitest";
import type { EndedSessions } from "../../../src/queue/redis/ended-sessions.ts";
import { until } from "../../support/wait.ts";
import { BEARER, OURS, opsApp, TOKEN } from "../ops-app.ts";
import { healthy, troubled } from "../sample.ts";

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

/** Everything the stream has said so far, as it is read. */
function read(answer: Response) {
  const reader = answer.body?.getReader();
  const said = { text: "", ended: false, close: async () => reader?.cancel() };
  open.push(said);
  void (async () => {
    for (;;) {
      const { value, done } = (await reader?.read()) ?? { done: true, value: undefined };
      said.text += new TextDecoder().decode(value);
      if (done) break;
    }
    said.ended = true;
  })();
  return said;
}

describe("events", () => {
  it("tell the status at once, then only changes, and problems as they begin and end", async () => {
    const { app, state } = opsApp();
    const said = read(await app.request("/api/v1/events", BEARER));
    const count = (event: string) => said.text.split(`event: ${event}\n`).length - 1;
    await until(() => count("status") === 1, { what: "the first status" });
    const asked = state.asked;
    await until(() => state.asked > asked + 1, { what: "two more looks" });
    expect(count("status")).toBe(1);
    state.status = troubled();
    await until(() => count("status") === 2 && count("problem_began") > 3, { what: "the problems" });
    expect(said.text).toContain('"kind":"sending_blocked"');
    const began = count("problem_began");
    state.status = healthy();
    await until(() => count("problem_ended") === began, { what: "their end" });
  });

  it("end with the session", async () => {
    const ended = new Set<string>();
    const endedSessions: EndedSessions = {
      end: async (id) => void ended.add(id),
      isEnded: async (id) => ended.has(id),
    };
    const { app } = opsApp({ endedSessions });
    const login = await app.request("/login", {
      method: "POST",
      headers: OURS,
      body: new URLSearchParams({ token: TOKEN }),
    });
    const cookie = (login.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
    const said = read(await app.request("/api/v1/events", { headers: { cookie } }));
    await until(() => said.text.includes("event: status"), { what: "the first status" });
    expect(said.ended).toBe(false);
    await app.request("/logout", { method: "POST", headers: { ...OURS, cookie } });
    await until(() => said.ended, { what: "the end of the stream" });
  });

  it("are bounded for each token, and free again when one is closed", async () => {
    const { app } = opsApp();
    const ask = () => app.request("/api/v1/events", BEARER);
    const streams = [];
    for (let i = 0; i < 20; i += 1) streams.push(read(await ask()));
    const refused = await ask();
    expect(refused.status).toBe(429);
    expect(await refused.json()).toMatchObject({ type: "urn:waypost:error:too_many_streams" });
    await streams[0]?.close();
    await until(
      async () => {
        const answer = await ask();
        if (answer.status === 200) read(answer);
        return answer.status === 200;
      },
      { what: "a free place" },
    );
  });
});
