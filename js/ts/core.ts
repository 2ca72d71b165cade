/**
 * All of shizuku-kv but the locks: the smallest download.
 *
 * @module
 */
import { connect as dial, initSync } from "#core";
import code from "#core-code";
import { compileEmbedded, Loader } from "./loader.js";
import { start } from "./start.js";

export * from "./api.js";

const { connect, init, wsconnect } = /* @__PURE__ */ start(
  /* @__PURE__ */ new Loader({ connect: dial, initSync }, () => compileEmbedded(code)),
);
export { connect, init, wsconnect };
