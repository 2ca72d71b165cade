/**
 * What every entry point that can connect has in common.
 *
 * @module
 */
import { type Client, connectWith, type ConnectOptions } from "./client.js";
import type { Loader, WasmSource } from "./loader.js";

/** The functions of an entry point. */
export interface Start {
  /**
   * Starts the WebAssembly code. `connect` does that by itself; call this to do it early, or with
   * code that comes from elsewhere: a file of your own, a compiled module.
   *
   * Rejects with {@link WasmError} where it does not load, or is loaded from another source already.
   *
   * ```ts
   * await init(); // while the page shows its first picture
   * // await init("/assets/shizuku.wasm"), where the page may load code only from there
   * const client = await connect("wss://nats.example.com"); // need not wait for the code
   * ```
   */
  init(source?: WasmSource): Promise<void>;
  /**
   * Connects, to `wss://host` or `ws://host:port`; see {@link ConnectOptions.servers}.
   *
   * ```ts
   * const client = await connect("wss://nats.example.com", {
   *   name: "dashboard",
   *   authenticator: async () => ({ token: await freshToken() }), // asked at every reconnect too
   * });
   * console.log(client.state); // connected
   * ```
   */
  connect(servers: string, options?: ConnectOptions): Promise<Client>;
  connect(options: ConnectOptions): Promise<Client>;
  /**
   * `connect` under the name that `@nats-io/nats-core` gives it.
   *
   * ```ts
   * const connection = await wsconnect({ servers: ["wss://nats.example.com"] });
   * console.log(connection.isClosed()); // false
   * ```
   */
  wsconnect(options: ConnectOptions): Promise<Client>;
}

/** The functions over one build of the code. */
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
