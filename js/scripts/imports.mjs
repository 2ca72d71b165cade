// Fails if wasm-bindgen's output has imports other than its own: <name>_bg.wasm may import only from <name>.js,
// and <name>.js from nowhere.
import { readFileSync } from "node:fs";
import { basename } from "node:path";

for (const file of process.argv.slice(2)) {
  const own = `./${basename(file).replace(/\.wasm$/, ".js")}`;
  const imports = WebAssembly.Module.imports(new WebAssembly.Module(readFileSync(file)));
  if (imports.length === 0) throw new Error(`${file} imports nothing, so it is not wasm-bindgen's module`);
  const strange = imports.filter(({ module }) => module !== own);
  const glue = readFileSync(file.replace(/_bg\.wasm$/, ".js"), "utf8");
  const snippets = glue.match(/^\s*import\s.*$/gm) ?? [];
  if (strange.length + snippets.length > 0) {
    const names = [...strange.map(({ module, name }) => `${name} from ${module}`), ...snippets];
    throw new Error(`${file} has unexpected imports: ${names.join(", ")}`);
  }
}
