// Makes gen/<name>/shizuku.wasm out of wasm-bindgen's gen/<name>/shizuku_bg.wasm: optimised for size,
// without the code that words a panic. A browser has nowhere to print it to, and what JavaScript sees
// is a RuntimeError with or without it.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import binaryen from "binaryen";

const gen = join(dirname(dirname(fileURLToPath(import.meta.url))), "gen");

for (const name of process.argv.slice(2)) {
  const module = binaryen.readBinary(readFileSync(join(gen, name, "shizuku_bg.wasm")));
  const silenced = silence(module);
  binaryen.setOptimizeLevel(2);
  binaryen.setShrinkLevel(2);
  module.optimize();
  // Alike next to alike: that compresses better.
  module.runPasses(["reorder-functions-by-name", "strip-debug", "strip-producers"]);
  writeFileSync(join(gen, name, "shizuku.wasm"), module.emitBinary());
  console.log(`${name}: ${silenced} functions that only panic`);
}

/** Has the standard library's functions that can only end in a panic end at once. */
function silence(module) {
  const functions = Array.from({ length: module.getNumFunctions() }, (_, index) =>
    binaryen.getFunctionInfo(module.getFunctionByIndex(index)),
  );
  const panics = functions.filter(
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

/** Nothing falls out of the end of such a body, and nothing in it returns. */
function neverReturns(body) {
  const falls = binaryen.getExpressionType(body) !== binaryen.unreachable;
  return !falls && !/\(return/.test(binaryen.emitText(body));
}
