/**
 * Live values.
 *
 * @module
 */
import type { Codec } from "./codec.js";
import type { Entry } from "./entry.js";
import type { Feed } from "./feed.js";
import { Following } from "./following.js";

/**
 * The value of one key, kept up to date. Reading {@link Live.value} sends no request. `subscribe` and
 * `getSnapshot` fit React's `useSyncExternalStore` and similar APIs.
 *
 * It updates until {@link Live.close}, which `using live = store.live("key")` calls automatically. All live
 * values of the same store and key share one consumer on the server.
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

  /** The current value; `undefined` if there is none, or if it is not known yet. */
  get value(): T | undefined {
    return this.#value;
  }

  /**
   * The revision of `value`, or of its removal; 0 if there never was one. The revision of a value that could
   * not be decoded is in `error`.
   */
  get revision(): number {
    return this.#revision;
  }

  /** Returns `value`: the same object as long as it has not changed. */
  readonly getSnapshot = (): T | undefined => this.#value;

  /** @internal */
  protected take({ revision }: Entry, value: T | undefined): void {
    this.#value = value;
    this.#revision = revision;
  }
}
