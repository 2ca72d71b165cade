/**
 * shizuku-kv without the locks: the smallest download.
 *
 * @module
 */
// First, so that it is at one end of the file, where gzip compresses it better.
import code from "#core-code";
import { connect as dial, initSync } from "#core";
import { compileEmbedded, Loader } from "./loader.js";
import { type Start, start } from "./start.js";

export * from "./api.js";

// Nothing is called at module level, so that bundlers can tree-shake: `/* @__PURE__ */` annotations would not
// survive our own minification.
let functions: Start | undefined;
const started = (): Start =>
  (functions ??= start(
    new Loader({ connect: dial, initSync }, () => compileEmbedded(code)),
  ));
export const connect: Start["connect"] = (...given: [never]) => started().connect(...given);
export const init: Start["init"] = (source) => started().init(source);
export const wsconnect: Start["wsconnect"] = (options) => started().wsconnect(options);
