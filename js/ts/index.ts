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
 * The WebAssembly code is inside of this module, compressed, so that every bundler, Node and Deno
 * take it without a setting. `shizuku-kv/web` has it in a file of its own, `shizuku-kv/core` leaves
 * the locks out.
 *
 * @module
 */
// First, so that it lies at one end of the file: gzip makes less of it there.
import code from "#full-code";
import { connect as dial, initSync } from "#full";
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
