// Builds dist/ from gen/ (wasm-pack's output, shrunk) and ts/: JavaScript with esbuild, declarations with tsc.
// Prints the download sizes, and fails if one exceeds its limit (JSON, the first argument).
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, "dist");
const limits = JSON.parse(process.argv[2] ?? "{}");
const wasm = (name) => join(root, "gen", name, "shizuku.wasm");

/** `#full` is wasm-bindgen's module, `#full-code` the wasm code as text: folded, gzipped, base64-encoded. */
const generated = {
  name: "generated",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^#(full|core)$/ }, ({ path }) => ({
      path: join(root, "gen", path.slice(1), "glue.js"),
      sideEffects: false,
    }));
    onResolve({ filter: /^#(full|core)-code$/ }, ({ path }) => ({
      path: join(root, "gen", path.slice(1, -"-code".length), "shizuku.folded.gz"),
      namespace: "code",
      sideEffects: false,
    }));
    onLoad({ filter: /./, namespace: "code" }, ({ path }) => ({
      contents: readFileSync(path).toString("base64"),
      loader: "text",
    }));
  },
};

rmSync(dist, { recursive: true, force: true });
const entries = ["index", "core", "web", "react"];
await build({
  absWorkingDir: root,
  entryPoints: entries.map((name) => `ts/${name}.ts`),
  outdir: "dist",
  // One file per entry point: nobody needs two of them, and pages without a bundler load faster.
  bundle: true,
  format: "esm",
  target: "es2022",
  platform: "browser",
  external: ["react"],
  minify: true,
  // Node prints the line that an uncaught error comes from; it must not contain the code.
  lineLimit: 2000,
  plugins: [generated],
  logLevel: "warning",
});
cpSync(wasm("full"), join(dist, "shizuku.wasm"));
for (const licence of ["LICENSE-APACHE", "LICENSE-MIT"]) {
  cpSync(join(root, "..", licence), join(dist, licence));
}
execFileSync(join(root, "node_modules/.bin/tsc"), ["-p", "."], { cwd: root, stdio: "inherit" });

// What ignores `exports` looks for folders: Parcel by default, and TypeScript's moduleResolution `node10`.
const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
for (const [path, target] of Object.entries(exports)) {
  if (path === "." || target.types === undefined) continue;
  const [main, types] = [target.default, target.types].map((file) => `.${file}`);
  mkdirSync(join(root, path), { recursive: true });
  const stub = { type: "module", main, types, sideEffects: false };
  writeFileSync(join(root, path, "package.json"), `${JSON.stringify(stub, null, 2)}\n`);
}

/** The files that a page downloads for an entry point. */
function files(entry) {
  return entry === "web" ? ["dist/web.js", "dist/shizuku.wasm"] : [`dist/${entry}.js`];
}

let failed = false;
const sizes = {};
for (const entry of entries) {
  let [plain, zipped] = [0, 0];
  for (const file of files(entry)) {
    const bytes = readFileSync(join(root, file));
    plain += bytes.length;
    zipped += gzipSync(bytes, { level: 9 }).length;
  }
  const name = `${entry}.js`;
  sizes[name] = zipped;
  const kb = (bytes) => `${(bytes / 1000).toFixed(1)} kB`.padStart(9);
  const limit = limits[name];
  const over = limit !== undefined && zipped > limit;
  failed ||= over;
  const note = over ? `  over the limit of ${limit} bytes` : "";
  console.log(`${name.padEnd(10)} ${kb(plain)}  ${kb(zipped)} gzip${note}`);
}
for (const name of ["full", "core"].filter((name) => existsSync(wasm(name)))) {
  const bytes = statSync(wasm(name)).size;
  console.log(`${name}.wasm ${(bytes / 1000).toFixed(1)} kB`);
}
writeFileSync(join(root, "gen", "sizes.json"), `${JSON.stringify(sizes, null, 2)}\n`);
process.exitCode = failed ? 1 : 0;
