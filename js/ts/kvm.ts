/**
 * The manager of buckets under the name that `@nats-io/kv` gives it.
 *
 * @module
 */
import type { Client, StoreOptions } from "./client.js";
import type { Store } from "./store.js";

/** Makes, opens and lists buckets, as `Kvm` of `@nats-io/kv` does. {@link Client} does the same. */
export class Kvm {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  create(bucket: string, options: StoreOptions = {}): Promise<Store> {
    return this.#client.create(bucket, options);
  }

  open(bucket: string): Promise<Store> {
    return this.#client.open(bucket);
  }

  /** The names of all buckets. */
  list(): Promise<string[]> {
    return this.#client.list();
  }
}
