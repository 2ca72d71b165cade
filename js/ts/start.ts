/**
 * The functions common to all entry points that can connect.
 *
 * @module
 */
import { type Client, connectWith, type ConnectOptions } from "./client.js";
import type { Loader } from "./loader.js";
import type { WasmSource } from "./platform.js";

/** The functions of an entry point. */
export interface Start {
  /**
   * Loads the WebAssembly code. `connect` does so automatically; call this to load it earlier, or from another
   * source, such as your own file or a compiled module.
   *
   * Rejects with {@link WasmError} if it cannot be loaded, or if it is already loaded from another source.
   *
   * ```ts
   * await init(); // in parallel with the first render
   * // await init("/assets/shizuku.wasm"), if a policy allows only that source
   * const client = await connect("wss://nats.example.com"); // the code is already loaded
   * ```
   */
  init(source?: WasmSource): Promise<void>;
  /**
   * Connects, to `wss://host` or `ws://host:port`; see {@link ConnectOptions.servers}.
   *
   * ```ts
   * const client = await connect("wss://nats.example.com", {
   *   name: "dashboard",
   *   authenticator: async () => ({ token: await freshToken() }), // also called on every reconnect
   * });
   * console.log(client.state); // connected
   * ```
   */
  connect(servers: string, options?: ConnectOptions): Promise<Client>;
  connect(options: ConnectOptions): Promise<Client>;
  /**
   * `connect`, under the name it has in `@nats-io/nats-core`.
   *
   * ```ts
   * const connection = await wsconnect({ servers: ["wss://nats.example.com"] });
   * console.log(connection.isClosed()); // false
   * ```
   */
  wsconnect(options: ConnectOptions): Promise<Client>;
}

/** The functions for one build of the code. */
export function start(loader: Loader): Start {
  const connect = (
    target: string | ConnectOptions,
    options: ConnectOptions = {},
  ): Promise<Client> => connectWith(() => loader.start(), target, options);
  return {
    connect,
    wsconnect: connect,
    init: async (source) => {
      await loader.start(source);
    },
  };
}
