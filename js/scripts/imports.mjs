// Fails where a module of wasm-bindgen's imports anything but the functions that wasm-bindgen wrote
// beside it: <name>_bg.wasm from <name>.js, and <name>.js from nowhere.
import { readFileSync } from "node:fs";
import { basename } from "node:path";

for (const file of process.argv.slice(2)) {
  const own = `./${basename(file).replace(/\.wasm$/, ".js")}`;
  const imports = WebAssembly.Module.imports(new WebAssembly.Module(readFileSync(file)));
  if (imports.length === 0) throw new Error(`${file} imports nothing, so this is not what a page loads`);
  const strange = imports.filter(({ module }) => module !== own);
  const glue = readFileSync(file.replace(/_bg\.wasm$/, ".js"), "utf8");
  const snippets = glue.match(/^\s*import\s.*$/gm) ?? [];
  if (strange.length + snippets.length > 0) {
    const names = [...strange.map(({ module, name }) => `${name} of ${module}`), ...snippets];
    throw new Error(`${file} needs what wasm-bindgen does not bring: ${names.join(", ")}`);
  }
}
