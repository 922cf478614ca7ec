/** Checks every Lua script as Redis gets it: syntax, undefined globals, unused locals, and includes that nothing uses. */

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import luaparse from "luaparse";
import { assemble } from "../src/queue/redis/script.ts";

/** What Redis gives a script; see "Redis Lua API reference". */
const GLOBALS = new Set(
  "KEYS ARGV redis cjson cmsgpack struct bit table string math tonumber tostring ipairs pairs next unpack type error pcall select".split(
    " ",
  ),
);

const folder = fileURLToPath(new URL("../src/queue/lua/", import.meta.url));
const luaFilesIn = (path) => readdirSync(path).filter((file) => file.endsWith(".lua"));
const problems = new Set();
/** Functions of includes by place, and whether any script uses them. */
const offered = new Map();

for (const file of luaFilesIn(folder)) check(file);
for (const [place, { name, isUsed }] of offered) {
  if (!isUsed) problems.add(`${place}: no script uses ${name}`);
}
const included = new Set([...offered.keys()].map((place) => place.split(":")[0]));
for (const file of luaFilesIn(`${folder}include/`)) {
  if (!included.has(`include/${file}`)) problems.add(`include/${file}: no script includes it`);
}
for (const problem of problems) process.stderr.write(`${problem}\n`);
if (problems.size > 0) process.exit(1);

function check(file) {
  const { lua, lines } = assemble(file, readFileSync(folder + file, "utf8"));
  const placeOf = (line) => `${lines[line - 1].file}:${lines[line - 1].line}`;
  let ast;
  try {
    ast = luaparse.parse(lua, { luaVersion: "5.1", scope: true, locations: true });
  } catch (error) {
    problems.add(`${placeOf(error.line ?? 1)}: ${error.message.replace(/^\[[\d:]+\] /, "")}`);
    return;
  }
  for (const { name, loc } of ast.globals) {
    if (!GLOBALS.has(name)) problems.add(`${placeOf(loc.start.line)}: ${name} is not defined`);
  }
  for (const { name, line, isUsed, isTopLevel } of localsOf(ast)) {
    const place = placeOf(line);
    const isGenerated = !place.includes(".lua:");
    if (isGenerated || name.startsWith("_")) continue;
    if (isTopLevel && place.startsWith("include/")) {
      offered.set(place, { name, isUsed: isUsed || offered.get(place)?.isUsed === true });
    } else if (!isUsed) problems.add(`${place}: ${name} is never used`);
  }
}

/** Every local of a script, with whether it is read anywhere in its scope. */
function localsOf(ast) {
  const found = [];
  const scopes = [new Map()];
  const declare = (identifier) => {
    const local = {
      name: identifier.name,
      line: identifier.loc.start.line,
      isUsed: false,
      isTopLevel: scopes.length === 1,
    };
    found.push(local);
    scopes.at(-1).set(identifier.name, local);
  };
  const use = (name) => {
    const local = scopes.findLast((scope) => scope.has(name))?.get(name);
    if (local) local.isUsed = true;
  };
  const inScope = (names, body) => {
    scopes.push(new Map());
    for (const name of names) if (name.type === "Identifier") declare(name);
    visit(body);
    scopes.pop();
  };
  function visit(node) {
    if (Array.isArray(node)) {
      for (const each of node) visit(each);
      return;
    }
    if (typeof node !== "object" || node === null || typeof node.type !== "string") return;
    switch (node.type) {
      case "Identifier":
        return use(node.name);
      case "LocalStatement":
        visit(node.init);
        return node.variables.forEach(declare);
      case "AssignmentStatement":
        // Writing to a local is no use of it.
        visit(node.variables.filter(({ type }) => type !== "Identifier"));
        return visit(node.init);
      case "FunctionDeclaration":
        if (node.identifier && node.isLocal) declare(node.identifier);
        return inScope(node.parameters, node.body);
      case "ForNumericStatement":
        visit([node.start, node.end, node.step]);
        return inScope([], node.body);
      case "ForGenericStatement":
        visit(node.iterators);
        // The loop's own names are not declared: `for i, name` often needs only one of them.
        return inScope([], node.body);
      case "RepeatStatement":
        return inScope([], [...node.body, node.condition]);
      case "MemberExpression":
        return visit(node.base);
      case "TableKeyString":
        return visit(node.value);
      case "WhileStatement":
        visit(node.condition);
        return inScope([], node.body);
      case "IfClause":
      case "ElseifClause":
        visit(node.condition);
        return inScope([], node.body);
      case "ElseClause":
      case "DoStatement":
        return inScope([], node.body);
      default:
        for (const child of Object.values(node)) visit(child);
    }
  }
  visit(ast.body);
  return found;
}
