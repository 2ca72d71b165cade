// The download size of a wasm-bindgen module: <folder>/<name>.js and <name>_bg.wasm.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const [path] = process.argv.slice(2);
const { outputFiles } = await build({
  entryPoints: [`${path}.js`],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  write: false,
  logLevel: "error",
});
const sizes = { code: readFileSync(`${path}_bg.wasm`), glue: outputFiles[0].contents };
let total = 0;
for (const [name, bytes] of Object.entries(sizes)) {
  const zipped = gzipSync(bytes, { level: 9 }).length;
  total += zipped;
  console.log(`${name.padEnd(6)} ${(bytes.length / 1000).toFixed(1).padStart(6)} kB  ${(zipped / 1000).toFixed(1).padStart(6)} kB gzip`);
}
console.log(`a minimal app (connect, open, get, put, watch): ${(total / 1000).toFixed(1)} kB gzip`);
