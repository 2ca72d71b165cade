/**
 * All of shizuku-kv but the locks: the smallest download.
 *
 * @module
 */
// First, so that it lies at one end of the file: gzip makes less of it there.
import code from "#core-code";
import { connect as dial, initSync } from "#core";
import { compileEmbedded, Loader } from "./loader.js";
import { type Start, start } from "./start.js";

export * from "./api.js";

// Nothing is called before somebody connects: a bundler leaves out what an app does not use, and the
// annotations that would tell it so do not outlive our minifying.
let functions: Start | undefined;
const started = (): Start =>
  (functions ??= start(
    new Loader({ connect: dial, initSync }, () => compileEmbedded(code)),
  ));
export const connect: Start["connect"] = (...given: [never]) => started().connect(...given);
export const init: Start["init"] = (source) => started().init(source);
export const wsconnect: Start["wsconnect"] = (options) => started().wsconnect(options);
