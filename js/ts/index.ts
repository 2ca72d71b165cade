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
import { start } from "./start.js";

export * from "./api.js";

const { connect, init, wsconnect } = /* @__PURE__ */ start(
  /* @__PURE__ */ new Loader({ connect: dial, initSync }, () => compileEmbedded(code)),
);
export { connect, init, wsconnect };
