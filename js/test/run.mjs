// Compiles the tests and runs them with Node's test runner. `npm test -- store watch` runs only the files with
// these names; flags that start with `--` are passed to the runner.
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundleForNode } from "../scripts/bundle.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const js = dirname(here);
const wanted = process.argv.slice(2).filter((word) => !word.startsWith("-"));
const flags = process.argv.slice(2).filter((word) => word.startsWith("--") && word !== "--");
const names = readdirSync(here)
  .filter((file) => file.endsWith(".test.ts"))
  .map((file) => file.slice(0, -".test.ts".length))
  .filter((name) => wanted.length === 0 || wanted.includes(name));
if (names.length === 0) throw new Error(`no such tests: ${wanted.join(", ")}`);

// Inside js/, so that package imports resolve.
const out = join(js, "node_modules", ".cache", `tests-${process.pid}`);
try {
  await bundleForNode({
    entryPoints: names.map((name) => join(here, `${name}.test.ts`)),
    outdir: out,
    outExtension: { ".js": ".mjs" },
  });
  // Some tests use the package in Node; Node 20 has WebSocket behind a flag.
  const options = "WebSocket" in globalThis ? "" : "--experimental-websocket";
  const files = names.map((name) => join(out, `${name}.test.mjs`));
  const { status } = spawnSync(
    process.execPath,
    ["--test", "--test-concurrency=1", "--test-reporter=spec", ...flags, ...files],
    { stdio: "inherit", env: { ...process.env, SHIZUKU_JS: js, NODE_OPTIONS: options } },
  );
  process.exitCode = status ?? 1;
} finally {
  rmSync(out, { recursive: true, force: true });
}
