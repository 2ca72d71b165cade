/**
 * All of shizuku-kv but the locks: the smallest download.
 *
 * @module
 */
// First, so that it lies at one end of the file: gzip makes less of it there.
import code from "#core-code";
import { connect as dial, initSync } from "#core";
import { compileEmbedded, Loader } from "./loader.js";
import { start } from "./start.js";

export * from "./api.js";

const { connect, init, wsconnect } = /* @__PURE__ */ start(
  /* @__PURE__ */ new Loader({ connect: dial, initSync }, () => compileEmbedded(code)),
);
export { connect, init, wsconnect };
