// Compiles the benchmark and runs it. The arguments select the cases.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundleForNode, bundlePage } from "../scripts/bundle.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const js = dirname(here);
const file = join(js, "node_modules/.cache/bench-main.mjs");
await bundleForNode({ entryPoints: [join(here, "main.ts")], outfile: file });
await bundlePage(join(here, "page.ts"), join(js, "node_modules/.cache/bench.js"));
const { status } = spawnSync(process.execPath, [file, ...process.argv.slice(2)], {
  stdio: "inherit",
  env: { ...process.env, SHIZUKU_JS: js },
});
process.exitCode = status ?? 1;
