/**
 * The manager of buckets under the name that `@nats-io/kv` gives it.
 *
 * @module
 */
import { type Client, known, type StoreOptions } from "./client.js";
import type { Store } from "./store.js";

/**
 * Makes, opens and lists buckets, as `Kvm` of `@nats-io/kv` does. {@link Client} does the same.
 *
 * ```ts
 * // What was written for @nats-io/kv goes on as it is.
 * const connection = await wsconnect({ servers: "wss://nats.example.com" });
 * const kv = await new Kvm(connection).create("settings");
 * await kv.put("color", "blue");
 * for await (const key of await kv.keys()) console.log(key); // color
 * ```
 */
export class Kvm {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Makes a bucket, or opens the one that exists, unless a setting that is given differs. */
  create(bucket: string, options: StoreOptions = {}): Promise<Store> {
    return this.#client.create(bucket, options);
  }

  /** Opens a bucket that exists. No option of `@nats-io/kv` is needed here, and some are refused. */
  async open(bucket: string, options: object = {}): Promise<Store> {
    known({ ...options, bindOnly: false });
    return this.#client.open(bucket);
  }

  /** The names of all buckets. */
  list(): Promise<string[]> {
    return this.#client.list();
  }
}
