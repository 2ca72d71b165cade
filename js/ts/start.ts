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
   */
  init(source?: WasmSource): Promise<void>;
  /** Connects, to `wss://host`, `ws://host:port`, or `memory:` for a service inside this page. */
  connect(servers: string, options?: ConnectOptions): Promise<Client>;
  connect(options: ConnectOptions): Promise<Client>;
  /** `connect` under the name that `@nats-io/nats-core` gives it. */
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
