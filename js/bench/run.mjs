// Compiles the benchmark and runs it, with what cases to measure.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const js = dirname(here);
const file = join(js, "node_modules/.cache/bench-main.mjs");
await build({
  entryPoints: [join(here, "main.ts")],
  outfile: file,
  bundle: true,
  packages: "external",
  platform: "node",
  format: "esm",
  target: "node20",
  logLevel: "warning",
});
const { status } = spawnSync(process.execPath, [file, ...process.argv.slice(2)], {
  stdio: "inherit",
  env: { ...process.env, SHIZUKU_JS: js },
});
process.exitCode = status ?? 1;
