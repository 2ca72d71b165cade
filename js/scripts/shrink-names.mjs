// Makes gen/<name>/shizuku.wasm and gen/<name>/glue.js out of wasm-bindgen's shizuku_bg.wasm and
// shizuku.js: optimised for size, without the code that words a panic, without where it happened, and
// with short names between the two. A browser has nowhere to print a panic to, and what JavaScript
// sees is a RuntimeError with or without it.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import binaryen from "binaryen";
import { fold } from "./fold.mjs";

const gen = join(dirname(dirname(fileURLToPath(import.meta.url))), "gen");

for (const name of process.argv.slice(2)) {
  const folder = join(gen, name);
  const code = readFileSync(join(folder, "shizuku_bg.wasm"));
  const places = forgetPlaces(code);
  const module = binaryen.readBinary(code);
  const silenced = silence(module);
  writeFileSync(join(folder, "glue.js"), rename(module, readFileSync(join(folder, "shizuku.js"), "utf8")));
  binaryen.setDebugInfo(true); binaryen.setOptimizeLevel(2);
  binaryen.setShrinkLevel(2);
  // Rust's stack comes first and grows down: nothing lies at the lowest addresses.
  binaryen.setLowMemoryUnused(true);
  binaryen.setGenerateStackIR(true);
  binaryen.setOptimizeStackIR(true);
  // Of what is called once, only the small is better off inside of its caller.
  binaryen.setOneCallerInlineMaxSize(20);
  module.optimize();
  // Alike next to alike: that compresses better.
  module.runPasses(["reorder-functions-by-name", "strip-producers", "strip-target-features"]);
  const shrunk = Buffer.from(module.emitBinary());
  writeFileSync(join(folder, "shizuku.wasm"), shrunk);
  // What is embedded in a module, and zipped for that.
  writeFileSync(join(folder, "shizuku.folded"), fold(shrunk));
  console.log(`${name}: ${silenced} functions that only panic, at ${places} places`);
}

/** Has the standard library's functions that can only end in a panic end at once. */
function silence(module) {
  const panics = functions(module).filter(
    ({ name, module: imported, body }) =>
      !imported && /^<?(core|alloc|std|__rustc|hashbrown|bytes)\b/.test(name) && neverReturns(body),
  );
  for (const { name, params, results } of panics) {
    module.removeFunction(name);
    module.addFunction(name, params, results, [], module.unreachable());
  }
  if (panics.length === 0) throw new Error("no panics found: are the functions' names gone?");
  return panics.length;
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

/**
 * Empties the places in the source that panics would name (`core::panic::Location`: address and
 * length of a path, line, column), and the paths. Only what `silence` takes out would read them.
 */
function forgetPlaces(code) {
  const module = binaryen.readBinary(code);
  let places = 0;
  const segments = Array.from({ length: module.getNumDataSegments() }, (_, index) =>
    module.getDataSegmentInfo(module.getDataSegmentByIndex(index)),
  );
  const paths = new Map();
  for (const segment of segments) {
    const bytes = Buffer.from(segment.data);
    for (const { 0: path, index } of bytes.toString("latin1").matchAll(/(\/rustc?\/|\b[\w-]+-\d[\w.+-]*\/|\b(js\/)?src\/)[\w/.+-]+?\.rs/g)) {
      paths.set(segment.offset + index, path.length);
    }
  }
  for (const segment of segments) {
    const at = code.indexOf(Buffer.from(segment.data));
    const bytes = code.subarray(at, at + segment.data.byteLength);
    for (let index = 0; index + 16 <= bytes.length; index += 4) {
      if (paths.get(bytes.readUInt32LE(index)) !== bytes.readUInt32LE(index + 4)) continue;
      bytes.fill(0, index, index + 16);
      bytes.writeUInt32LE(1, index); // an empty text has an address too
      places += 1;
    }
    for (const [address, length] of paths) {
      const index = address - segment.offset;
      if (index >= 0 && index < bytes.length) bytes.fill(0, index, index + length);
    }
  }
  return places;
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
  const short = (names, name) => {
    if (!names.has(name)) throw new Error(`${name} is not what the code has`);
    return names.get(name);
  };
  return glue
    .replace('"./shizuku_bg.js": import0', "i: import0")
    .replace(/^ {8}(\w+): function/gm, (_, name) => `${short(imports, name)}: function`)
    .replace(/\bwasm\.(\w+)/g, (_, name) => `wasm.${short(exports, name)}`);
}
