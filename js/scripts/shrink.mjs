// Builds gen/<name>/shizuku.wasm and gen/<name>/glue.js from wasm-bindgen's shizuku_bg.wasm and shizuku.js:
// optimised for size, without panic messages and `Debug` formatting, and with short import and export names. A
// browser has nowhere to print a panic, and JavaScript sees a RuntimeError either way. Error messages do not use
// `Debug` (src/words.rs).
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import binaryen from "binaryen";
import { emptyUnused, withoutLinking } from "./data.mjs";
import { fold } from "./fold.mjs";

const gen = join(dirname(dirname(fileURLToPath(import.meta.url))), "gen");

binaryen.setOptimizeLevel(2);
binaryen.setShrinkLevel(2);
// Rust's stack comes first and grows down: the lowest addresses are unused.
binaryen.setLowMemoryUnused(true);
binaryen.setGenerateStackIR(true);
binaryen.setOptimizeStackIR(true);
// Of functions with a single caller, only small ones are worth inlining.
binaryen.setOneCallerInlineMaxSize(20);

for (const name of process.argv.slice(2)) {
  const folder = join(gen, name);
  const code = readFileSync(join(folder, "shizuku_bg.wasm"));
  // Optimises first to find out which data is still used: panic messages and locations, and strings for `Debug`,
  // no longer are.
  const emptied = emptyUnused(code, constants(optimized(code)));
  const module = optimized(code);
  writeFileSync(join(folder, "glue.js"), rename(module, readFileSync(join(folder, "shizuku.js"), "utf8")));
  // Similar functions next to each other compress better.
  module.runPasses(["reorder-functions-by-name", "strip-debug", "strip-producers", "strip-target-features"]);
  const shrunk = Buffer.from(module.emitBinary());
  writeFileSync(join(folder, "shizuku.wasm"), shrunk);
  // Embedded in the JavaScript modules, gzipped.
  writeFileSync(join(folder, "shizuku.folded"), fold(shrunk));
  console.log(`${name}: ${emptied} bytes of unused data zeroed`);
}

/** Every constant in the code that may be an address. */
function constants(module) {
  const code = module.emitText().replace(/^ \(data .*/gm, "");
  return new Set(Array.from(code.matchAll(/i32\.const (\d+)|offset=(\d+)/g), ([, value, offset]) => Number(value ?? offset)));
}

/** The optimised module, without panic messages and `Debug` formatting. */
function optimized(code) {
  const module = binaryen.readBinary(withoutLinking(code));
  const named = functions(module).filter(({ module: imported }) => !imported);
  const panics = named.filter(
    ({ name, body }) => /^<?(core|alloc|std|__rustc|hashbrown|bytes)\b/.test(name) && neverReturns(body),
  );
  const debugs = named.filter(({ name }) => /\bfmt::Debug>::fmt\b/.test(name));
  if (panics.length === 0 || debugs.length === 0) throw new Error("the module has no function names");
  const replace = ({ name, params, results }, body) => {
    module.removeFunction(name);
    module.addFunction(name, params, results, [], body);
  };
  for (const panic of panics) replace(panic, module.unreachable());
  // `Ok(())`.
  for (const debug of debugs) replace(debug, module.i32.const(0));
  module.optimize();
  return module;
}

function functions(module) {
  return Array.from({ length: module.getNumFunctions() }, (_, index) =>
    binaryen.getFunctionInfo(module.getFunctionByIndex(index)),
  );
}

/** Whether control never leaves a function body normally. */
function neverReturns(body) {
  const falls = binaryen.getExpressionType(body) !== binaryen.unreachable;
  return !falls && !/\(return/.test(binaryen.emitText(body));
}

/** Shortens the names of imports and exports, and returns wasm-bindgen's JavaScript adapted to them. */
function rename(module, glue) {
  const imports = new Map();
  for (const { name, module: imported, base, params, results } of functions(module)) {
    if (!imported) continue;
    imports.set(base, `i${imports.size.toString(36)}`);
    module.removeFunction(name);
    module.addFunctionImport(name, "i", imports.get(base), params, results);
  }
  const exports = new Map();
  const add = {
    [binaryen.ExternalFunction]: module.addFunctionExport,
    [binaryen.ExternalTable]: module.addTableExport,
    [binaryen.ExternalMemory]: module.addMemoryExport,
    [binaryen.ExternalGlobal]: module.addGlobalExport,
  };
  const exported = Array.from({ length: module.getNumExports() }, (_, index) =>
    binaryen.getExportInfo(module.getExportByIndex(index)),
  );
  for (const { name, kind, value } of exported) {
    exports.set(name, `e${exports.size.toString(36)}`);
    module.removeExport(name);
    add[kind](value, exports.get(name));
  }
  const missing = new Set(imports.keys());
  const renamed = glue
    .replace('"./shizuku_bg.js": import0', "i: import0")
    // Nothing is freed explicitly, and module-level side effects would defeat tree-shaking.
    .replace(/^if \(Symbol\.dispose\).*\n/gm, "")
    .replace(/^ {4}(?:__destroy_into_raw|free)\(\) \{\n[^]*?^ {4}\}\n/gm, "")
    // Imports that only `Debug` used are gone.
    .replace(/^ {8}(\w+): function[^]*?^ {8}\}.*,\n/gm, (text, name) => {
      missing.delete(name);
      return imports.has(name) ? text.replace(name, imports.get(name)) : "";
    })
    .replace(/\bwasm\.(\w+)/g, (_, name) => {
      if (!exports.has(name)) missing.add(name);
      return `wasm.${exports.get(name)}`;
    });
  if (missing.size > 0) throw new Error(`the wasm code and its JavaScript do not match: ${[...missing].join(", ")}`);
  return renamed;
}
