/**
 * Live maps.
 *
 * @module
 */
import type { Codec } from "./codec.js";
import type { Entry } from "./entry.js";
import type { Feed } from "./feed.js";
import { Following } from "./following.js";

/**
 * The values of all keys that match a filter, kept up to date like a {@link Live}. Live maps of the same
 * store and filter share one consumer on the server.
 *
 * ```ts
 * await store.put("flag.dark", "true");
 * await store.put("flag.beta", "false");
 * using flags = store.liveMap<boolean>("flag.>");
 * await flags.ready;
 * console.log(flags.size, flags.get("flag.dark")); // 2 true
 * for (const [key, isOn] of flags) if (isOn) showBanner(key);
 * ```
 */
export class LiveMap<T> extends Following<T> {
  readonly filter: string;
  readonly #values = new Map<string, T>();
  #snapshot: ReadonlyMap<string, T> | undefined;

  /** @internal */
  constructor(feed: Feed, filter: string, codec: Codec<T, never>) {
    super(feed, codec);
    this.filter = filter;
  }

  /** The number of keys that have a value. */
  get size(): number {
    return this.#values.size;
  }

  /** The value of a key; `undefined` if it has none. */
  get(key: string): T | undefined {
    return this.#values.get(key);
  }

  /** Keys and values, in no particular order. */
  entries(): IterableIterator<[string, T]> {
    return this.#values.entries();
  }

  [Symbol.iterator](): IterableIterator<[string, T]> {
    return this.entries();
  }

  /** Returns a copy: the same object as long as nothing has changed. */
  readonly getSnapshot = (): ReadonlyMap<string, T> => (this.#snapshot ??= new Map(this.#values));

  /** @internal */
  protected take({ key, removed }: Entry, value: T | undefined): void {
    if (removed) this.#values.delete(key);
    else this.#values.set(key, value as T);
    this.#snapshot = undefined;
  }
}
