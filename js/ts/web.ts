/**
 * All of shizuku-kv, with the WebAssembly code in a file of its own beside this module: for pages
 * without a bundler, and for bundlers that know `new URL(…, import.meta.url)`. A browser compiles
 * it while it loads, and keeps the compiled code.
 *
 * @module
 */
import { connect as dial, initSync } from "#full";
import { compile, Loader } from "./loader.js";
import { type Start, start } from "./start.js";

export * from "./api.js";

// Nothing is called before somebody connects: a bundler leaves out what an app does not use, and the
// annotations that would tell it so do not outlive our minifying.
let functions: Start | undefined;
const started = (): Start =>
  (functions ??= start(
    new Loader({ connect: dial, initSync }, () => compile(new URL("./shizuku.wasm", import.meta.url))),
  ));
export const connect: Start["connect"] = (...given: [never]) => started().connect(...given);
export const init: Start["init"] = (source) => started().init(source);
export const wsconnect: Start["wsconnect"] = (options) => started().wsconnect(options);
