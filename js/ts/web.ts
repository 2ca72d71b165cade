/**
 * All of shizuku-kv, with the WebAssembly code in a file of its own beside this module: for pages
 * without a bundler, and for bundlers that know `new URL(…, import.meta.url)`. A browser compiles
 * it while it loads, and keeps the compiled code.
 *
 * @module
 */
import { connect as dial, initSync } from "#full";
import { compile, Loader } from "./loader.js";
import { start } from "./start.js";

export * from "./api.js";

const { connect, init, wsconnect } = /* @__PURE__ */ start(
  /* @__PURE__ */ new Loader({ connect: dial, initSync }, () => compile(new URL("./shizuku.wasm", import.meta.url))),
);
export { connect, init, wsconnect };
