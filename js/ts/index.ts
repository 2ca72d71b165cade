/**
 * Typed key-value, live configuration and distributed locks on NATS JetStream.
 *
 * ```ts
 * import { connect } from "shizuku-kv";
 *
 * const client = await connect("wss://nats.example.com");
 * const store = await client.create("settings");
 * await store.put("color", "blue");
 * for await (const entry of await store.watch()) console.log(entry.key, entry.string());
 * ```
 *
 * The WebAssembly code is embedded in this module, compressed, so that it works in every bundler, Node and
 * Deno without configuration. `shizuku-kv/web` loads it from a separate file, `shizuku-kv/core` omits the
 * locks.
 *
 * @module
 */
// First, so that it is at one end of the file, where gzip compresses it better.
import code from "#full-code";
import { connect as dial, initSync } from "#full";
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
