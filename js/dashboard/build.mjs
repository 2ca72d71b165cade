// Builds the page into a folder: node dashboard/build.mjs <folder>
import { copyFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "../../target/dashboard");
mkdirSync(out, { recursive: true });
await build({
  entryPoints: [join(here, "src/main.ts")],
  outfile: join(out, "main.js"),
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  logLevel: "warning",
  plugins: [
    {
      name: "published",
      // Uses the built package, not its sources.
      setup: ({ onResolve }) => {
        onResolve({ filter: /ts\/index\.js$/ }, () => ({ path: join(here, "../dist/index.js") }));
      },
    },
  ],
});
for (const file of ["index.html", "style.css"]) copyFileSync(join(here, file), join(out, file));
