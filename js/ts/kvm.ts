/**
 * The bucket manager, under the name it has in `@nats-io/kv`.
 *
 * @module
 */
import { type Client, known, type StoreOptions } from "./client.js";
import { object } from "./given.js";
import type { Store } from "./store.js";

/**
 * Creates, opens and lists buckets, like `Kvm` of `@nats-io/kv`. {@link Client} has the same methods.
 *
 * ```ts
 * // Code written for @nats-io/kv works unchanged.
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

  /** Creates a bucket, or opens an existing one unless a given setting differs. */
  create(bucket: string, options: StoreOptions = {}): Promise<Store> {
    return this.#client.create(bucket, options);
  }

  /** Opens an existing bucket. Options of `@nats-io/kv` are ignored, or rejected if they would change what is stored. */
  async open(bucket: string, options: object = {}): Promise<Store> {
    known({ ...object(options), bindOnly: false });
    return this.#client.open(bucket);
  }

  /** The names of all buckets. */
  list(): Promise<string[]> {
    return this.#client.list();
  }
}
