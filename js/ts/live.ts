/**
 * A value that is always current.
 *
 * @module
 */
import type { Codec } from "./codec.js";
import type { Entry } from "./entry.js";
import type { Feed } from "./feed.js";
import { Following } from "./following.js";

/**
 * The value of one key, followed. Reading {@link Live.value} asks nobody. `subscribe` and
 * `getSnapshot` are what React's `useSyncExternalStore` takes, and what any other library can use.
 *
 * It follows until {@link Live.close}; `using live = store.live("key")` does that by itself. All live
 * values of one store and key share one watch on the server.
 *
 * ```ts
 * await store.put("app.limits", '{"max":5}');
 * using limits = store.live<{ max: number }>("app.limits");
 * await limits.ready;
 * console.log(limits.value?.max, limits.status); // 5 current
 * limits.subscribe(() => { showBanner(`at most ${limits.value?.max}`); });
 * ```
 */
export class Live<T> extends Following<T> {
  readonly key: string;
  #value: T | undefined;
  #revision = 0;

  /** @internal */
  constructor(feed: Feed, key: string, codec: Codec<T, never>) {
    super(feed, codec);
    this.key = key;
  }

  /** The value now; `undefined` where there is none, and before it is known. */
  get value(): T | undefined {
    return this.#value;
  }

  /**
   * The revision that `value` comes from, or the removal's where there is none any more; 0 where there
   * never was one. The revision of a value that does not decode is in `error`.
   */
  get revision(): number {
    return this.#revision;
  }

  /** `value`, as a function. The same object as long as nothing changed. */
  readonly getSnapshot = (): T | undefined => this.#value;

  /** @internal */
  protected take({ revision }: Entry, value: T | undefined): void {
    this.#value = value;
    this.#revision = revision;
  }
}
