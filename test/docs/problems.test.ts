/** Every kind of problem has a heading that says when it appears and when it is gone, and no heading is left over. */

import { expect, test } from "vitest";
import { PROBLEM_KINDS } from "../../src/ops/diagnose/problem.ts";
import { pageAt } from "./pages.ts";

test("docs/problems.md explains every kind of problem, and nothing else", () => {
  const headings = [...pageAt("docs/problems.md").text.matchAll(/^### (\S+)$/gm)].map(([, kind]) => kind);
  expect(headings.toSorted()).toEqual(Object.keys(PROBLEM_KINDS).toSorted());
});
