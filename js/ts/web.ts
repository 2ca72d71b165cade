/**
 * shizuku-kv with the WebAssembly code in a separate file next to this module: for pages without a bundler,
 * and for bundlers that support `new URL(…, import.meta.url)`. Browsers compile it while it downloads, and
 * cache the compiled code.
 *
 * @module
 */
import { connect as dial, initSync } from "#full";
import { compile, Loader } from "./loader.js";
import { type Start, start } from "./start.js";

export * from "./api.js";

// Nothing is called at module level, so that bundlers can tree-shake: `/* @__PURE__ */` annotations would not
// survive our own minification.
let functions: Start | undefined;
const started = (): Start =>
  (functions ??= start(
    new Loader({ connect: dial, initSync }, () => compile(new URL("./shizuku.wasm", import.meta.url))),
  ));
export const connect: Start["connect"] = (...given: [never]) => started().connect(...given);
export const init: Start["init"] = (source) => started().init(source);
export const wsconnect: Start["wsconnect"] = (options) => started().wsconnect(options);
