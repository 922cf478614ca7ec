/** Makes a fresh clone ready to run: checks Node, installs the packages, and finds or installs the programs asked for. */

import { spawnSync } from "node:child_process";
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const USAGE = `usage: node scripts/setup.mjs [--redis | --redis-server] [--mosquitto] [--chromium] [--promtool] [--quiet]
  --redis         a Redis of any kind: a program, REDIS_URL, or a container
  --redis-server  the program itself, for tests that start and kill servers of their own`;

/** Vite and undici need it: require() of ES modules came with 20.19. */
const LEAST_NODE = [20, 19];

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

const PROGRAMS = {
  redis: { names: ["redis-server", "valkey-server"], packages: ["redis-server", "valkey-server"] },
  mosquitto: { names: ["mosquitto"], packages: ["mosquitto"] },
  chromium: { names: ["chromium", "chromium-browser", "google-chrome"], packages: ["chromium"] },
  promtool: { names: ["promtool"], packages: ["prometheus"] },
};

/** One program out of a package lies here: the whole package would start a service and write its data for ever. */
const OWN_BIN = join(root, ".waypost", "bin");

/** Where a container's address is left for the demo. */
const REDIS_URL_FILE = join(root, ".waypost", "redis-url");
const CONTAINER = "waypost-redis";

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const flags = new Set(process.argv.slice(2));
  const known = ["--redis", "--redis-server", "--mosquitto", "--chromium", "--promtool", "--quiet"];
  if ([...flags].some((flag) => !known.includes(flag))) fail(USAGE);
  makeReady(flags);
}

/** Ends the process where something is missing and cannot be installed. */
export function makeReady(flags) {
  checkNode();
  installPackages();
  const ready = [`Node ${process.versions.node}`, "packages"];
  if (flags.has("--redis-server")) ready.push(program("redis") ?? fail(redisAdvice(["--redis-server"])));
  else if (flags.has("--redis")) ready.push(anyRedis() ?? fail(redisAdvice([])));
  if (flags.has("--mosquitto")) ready.push(program("mosquitto") ?? skip("mosquitto"));
  if (flags.has("--chromium")) ready.push(program("chromium") ?? skip("chromium"));
  if (flags.has("--promtool")) ready.push(promtool() ?? skip("promtool"));
  if (!flags.has("--quiet")) report(`ready: ${ready.join(", ")}`);
}

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  const [leastMajor, leastMinor] = LEAST_NODE;
  if (major > leastMajor || (major === leastMajor && minor >= leastMinor)) return;
  fail(
    `Node ${LEAST_NODE.join(".")} or newer is needed; this is ${process.versions.node}. See https://nodejs.org.`,
  );
}

function installPackages() {
  if (packagesAreInstalled()) return;
  report("installing packages (npm ci)");
  // A machine set up for production would leave out what runs TypeScript and the tests.
  const options = ["--include=dev", "--no-audit", "--no-fund"];
  if (run("npm", ["ci", ...options])) return;
  // A newer npm may refuse a lock file that an older one takes. Whatever it does name is installed in the version it names.
  report("************************************************************************************");
  report("WARNING: npm ci refused package-lock.json (see above). Installing with npm install");
  report("--no-save instead: what the lock file does not name is taken as the registry has it");
  report("today, unchecked. Do not build or deploy from this; find out why npm ci refused.");
  report("************************************************************************************");
  run("npm", ["install", "--no-save", ...options]) || fail("The packages could not be installed; see above.");
}

/** npm writes down what it installed, as its last step; a comparison with the lock file shows every difference. */
function packagesAreInstalled() {
  const wanted = readPackages("package-lock.json");
  const installed = readPackages(join("node_modules", ".package-lock.json"));
  if (!wanted || !installed) return false;
  return Object.entries(wanted).every(([path, { version, optional }]) => {
    if (path === "") return true;
    // Optional packages are those of other platforms.
    return installed[path] ? installed[path].version === version : optional === true;
  });
}

function readPackages(file) {
  try {
    return JSON.parse(readFileSync(join(root, file), "utf8")).packages;
  } catch {
    return null;
  }
}

/** Where the program is, installed now if need be and allowed; null when it cannot be had. */
function program(what) {
  const { names, packages } = PROGRAMS[what];
  const found = find(names);
  if (found) return found;
  const installer = packageInstaller();
  if (!installer) return null;
  report(`installing ${what}`);
  if (!installer.isFresh) installer.isFresh = apt(["update"]);
  for (const name of packages) {
    if (apt(["install", "-y", "--no-install-recommends", name]) && find(names)) return find(names);
  }
  return null;
}

/** Downloading a package and taking one file out of it changes nothing on the machine, so it needs no permission. */
function promtool() {
  const { names, packages } = PROGRAMS.promtool;
  const found = find(names);
  if (found || !find(["apt-get"]) || !find(["dpkg-deb"])) return found;
  report("fetching promtool");
  mkdirSync(OWN_BIN, { recursive: true });
  const dir = mkdtempSync(join(OWN_BIN, "package-"));
  // apt's own user could not write there, and says so.
  const download = () =>
    run("apt-get", ["-q", "-o", "APT::Sandbox::User=root", "download", ...packages], {}, dir);
  const installer = packageInstaller();
  const isThere = download() || (installer !== null && apt(["update"]) && download());
  const taken =
    isThere &&
    run("sh", ["-c", "dpkg-deb --fsys-tarfile ./*.deb | tar -xf - ./usr/bin/promtool"], {}, dir) &&
    run("mv", [join(dir, "usr", "bin", "promtool"), join(OWN_BIN, "promtool")]);
  rmSync(dir, { recursive: true, force: true });
  return taken ? find(names) : null;
}

function find(names) {
  // Debian keeps daemons in sbin, which is not on every user's PATH.
  const dirs = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", OWN_BIN];
  return names.flatMap((name) => dirs.map((dir) => join(dir, name))).find(isExecutable) ?? null;
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A machine is not changed unasked: only a root shell and CI count as permission to install. */
function packageInstaller() {
  packageInstaller.found ??= (() => {
    if (!find(["apt-get"])) return { command: null };
    if (process.getuid?.() === 0) return { command: ["apt-get"], isFresh: false };
    if (process.env.CI === "true" && find(["sudo"]))
      return { command: ["sudo", "-n", "apt-get"], isFresh: false };
    return { command: null };
  })();
  return packageInstaller.found.command ? packageInstaller.found : null;
}

function apt(args) {
  const [command, ...before] = packageInstaller().command;
  const options = ["-q", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3"];
  return run(command, [...before, ...options, ...args], { DEBIAN_FRONTEND: "noninteractive" });
}

function anyRedis() {
  // A user who names a Redis wants that one, and wants nothing installed.
  if (process.env.REDIS_URL) return "REDIS_URL";
  const found = program("redis");
  if (!found) return redisContainer();
  // Otherwise the demo looks for a container that an earlier run started.
  rmSync(REDIS_URL_FILE, { force: true });
  return found;
}

/** The last resort: a container that stays for the next time. */
function redisContainer() {
  if (!find(["docker"]) || !succeeds("docker", ["info"])) return null;
  if (!succeeds("docker", ["start", CONTAINER])) {
    report(`starting a container, ${CONTAINER} (docker rm -f ${CONTAINER} removes it)`);
    const image = ["redis:7", "redis-server", "--appendonly", "yes", "--maxmemory-policy", "noeviction"];
    if (!run("docker", ["run", "-d", "--name", CONTAINER, "-p", "127.0.0.1::6379", ...image])) return null;
  }
  const { stdout } = spawnSync("docker", ["port", CONTAINER, "6379/tcp"], { encoding: "utf8" });
  const address = stdout?.trim().split("\n")[0];
  if (!address) return null;
  mkdirSync(dirname(REDIS_URL_FILE), { recursive: true });
  writeFileSync(REDIS_URL_FILE, `redis://${address}\n`);
  return `a Redis container at ${address}`;
}

function redisAdvice(flagsGiven) {
  const others = [
    "  or name one:     REDIS_URL=redis://host:6379 npm run demo",
    "  or start Docker: redis:7 is then run in a container",
  ];
  return [
    "Redis is needed and is not on this machine.",
    "  Debian, Ubuntu:  sudo apt-get install redis-server",
    "  Fedora:          sudo dnf install valkey",
    "  macOS:           brew install redis",
    ...(flagsGiven.includes("--redis-server") ? [] : others),
  ].join("\n");
}

function skip(what) {
  const { packages } = PROGRAMS[what];
  report(
    `${what} is not on this machine (sudo apt-get install ${packages[0]}); tests that need it are skipped`,
  );
  return `no ${what}`;
}

/** Standard output belongs to the command that runs after the set-up, so everything goes to standard error. */
function run(command, args, env = {}, cwd = root) {
  const { status } = spawnSync(command, args, {
    cwd,
    stdio: ["ignore", 2, 2],
    env: { ...process.env, ...env },
  });
  return status === 0;
}

function succeeds(command, args) {
  return spawnSync(command, args, { stdio: "ignore", timeout: 20_000 }).status === 0;
}

function report(line) {
  process.stderr.write(`setup: ${line}\n`);
}

function fail(text) {
  process.stderr.write(`${text}\n`);
  process.exit(1);
}
