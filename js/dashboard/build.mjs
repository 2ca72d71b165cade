// Builds the page into a folder: node dashboard/build.mjs <folder>
import { copyFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundlePage } from "../scripts/bundle.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "../../target/dashboard");
mkdirSync(out, { recursive: true });
await bundlePage(join(here, "src/main.ts"), join(out, "main.js"));
for (const file of ["index.html", "style.css"]) copyFileSync(join(here, file), join(out, file));
