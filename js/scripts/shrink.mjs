// Makes gen/<name>/shizuku.wasm and gen/<name>/glue.js out of wasm-bindgen's shizuku_bg.wasm and
// shizuku.js: optimised for size, without what words a panic or prints for debugging, and with short
// names between the two. A browser has nowhere to print a panic to, and what JavaScript sees is a
// RuntimeError with or without it. Messages are worded without `Debug` (src/words.rs).
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import binaryen from "binaryen";
import { emptyUnused, withoutLinking } from "./data.mjs";
import { fold } from "./fold.mjs";

const gen = join(dirname(dirname(fileURLToPath(import.meta.url))), "gen");

binaryen.setOptimizeLevel(2);
binaryen.setShrinkLevel(2);
// Rust's stack comes first and grows down: nothing lies at the lowest addresses.
binaryen.setLowMemoryUnused(true);
binaryen.setGenerateStackIR(true);
binaryen.setOptimizeStackIR(true);
// Of what is called once, only the small is better off inside of its caller.
binaryen.setOneCallerInlineMaxSize(20);

for (const name of process.argv.slice(2)) {
  const folder = join(gen, name);
  const code = readFileSync(join(folder, "shizuku_bg.wasm"));
  // Only what is optimised tells what data it needs: the words of panics and where they happen, and
  // what debugging prints, are still there.
  const emptied = emptyUnused(code, constants(optimized(code)));
  const module = optimized(code);
  writeFileSync(join(folder, "glue.js"), rename(module, readFileSync(join(folder, "shizuku.js"), "utf8")));
  // Alike next to alike: that compresses better.
  module.runPasses(["reorder-functions-by-name", "strip-debug", "strip-producers", "strip-target-features"]);
  const shrunk = Buffer.from(module.emitBinary());
  writeFileSync(join(folder, "shizuku.wasm"), shrunk);
  // What is embedded in a module, and zipped for that.
  writeFileSync(join(folder, "shizuku.folded"), fold(shrunk));
  console.log(`${name}: ${emptied} bytes of data that nothing uses`);
}

/** Every number in the code that may be an address. */
function constants(module) {
  const code = module.emitText().replace(/^ \(data .*/gm, "");
  return new Set(Array.from(code.matchAll(/i32\.const (\d+)|offset=(\d+)/g), ([, value, offset]) => Number(value ?? offset)));
}

/** The code as small as it gets, without what words a panic or prints for debugging. */
function optimized(code) {
  const module = binaryen.readBinary(withoutLinking(code));
  const named = functions(module).filter(({ module: imported }) => !imported);
  const panics = named.filter(
    ({ name, body }) => /^<?(core|alloc|std|__rustc|hashbrown|bytes)\b/.test(name) && neverReturns(body),
  );
  const debugs = named.filter(({ name }) => /\bfmt::Debug>::fmt\b/.test(name));
  if (panics.length === 0 || debugs.length === 0) throw new Error("are the functions' names gone?");
  const replace = ({ name, params, results }, body) => {
    module.removeFunction(name);
    module.addFunction(name, params, results, [], body);
  };
  for (const panic of panics) replace(panic, module.unreachable());
  // As if all was written.
  for (const debug of debugs) replace(debug, module.i32.const(0));
  module.optimize();
  return module;
}

function functions(module) {
  return Array.from({ length: module.getNumFunctions() }, (_, index) =>
    binaryen.getFunctionInfo(module.getFunctionByIndex(index)),
  );
}

/** Nothing falls out of the end of such a body, and nothing in it returns. */
function neverReturns(body) {
  const falls = binaryen.getExpressionType(body) !== binaryen.unreachable;
  return !falls && !/\(return/.test(binaryen.emitText(body));
}

/** Gives imports and exports short names, and answers with wasm-bindgen's JavaScript that uses them. */
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
    // Nothing is freed by hand, and what runs while a module loads stays in every bundle.
    .replace(/^if \(Symbol\.dispose\).*\n/gm, "")
    .replace(/^ {4}(?:__destroy_into_raw|free)\(\) \{\n[^]*?^ {4}\}\n/gm, "")
    // What only debugging called is not imported any more.
    .replace(/^ {8}(\w+): function[^]*?^ {8}\}.*,\n/gm, (text, name) => {
      missing.delete(name);
      return imports.has(name) ? text.replace(name, imports.get(name)) : "";
    })
    .replace(/\bwasm\.(\w+)/g, (_, name) => {
      if (!exports.has(name)) missing.add(name);
      return `wasm.${exports.get(name)}`;
    });
  if (missing.size > 0) throw new Error(`code and JavaScript do not fit: ${[...missing].join(", ")}`);
  return renamed;
}
