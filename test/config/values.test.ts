/** Which texts of a configuration are hidden, by the schema, their names and their places. */

import { expect, test } from "vitest";
import { tenantSchema } from "../../src/config/tenant-schema.ts";
import { hideSecrets } from "../../src/config/values.ts";

test("a polled vendor's request hides what its place makes secret, and shows placeholders of ours", () => {
  const hide = (pull: object) => hideSecrets({ sources: { vans: { pull } } }, tenantSchema);
  const shown = (pull: object) => ({ sources: { vans: { pull } } });
  const open = {
    path: "/positions",
    headers: { Accept: "application/json", "X-Session": "{token}" },
    login: { path: "/login", form: { grant_type: "password", password: "{secret}" }, token: "access_token" },
    query: { fields: "id,at" },
  };
  expect(hide(open)).toEqual(shown({ ...open, login: { ...open.login, token: "(set)" } }));
  expect(
    hide({
      headers: { "X-Own": "abc", Authorization: "ApiKey abc" },
      query: { apiKey: "abc" },
      login: { json: { inner: { b: "abc" } }, keep: { refresh: { at: "r", first: "abc" } } },
    }),
  ).toEqual(
    shown({
      headers: { "X-Own": "(set)", Authorization: "(set)" },
      query: { apiKey: "(set)" },
      login: { json: { inner: { b: "(set)" } }, keep: { refresh: { at: "(set)", first: "(set)" } } },
    }),
  );
});
