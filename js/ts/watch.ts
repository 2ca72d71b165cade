/**
 * Watches and listings, as async iterables.
 *
 * @module
 */
import { Batch } from "./batch.js";
import type { Entry } from "./entry.js";
import { tell } from "./listeners.js";
import type { AbortSignal } from "./platform.js";
import type { RawWatch } from "./raw.js";
import { toError } from "./thrown.js";

/**
 * Callbacks of a watch, and a signal to stop it. Whatever a callback throws is reported as an uncaught error,
 * and the watch continues.
 */
export interface WatchHooks {
  /**
   * Stops the watch when aborted, and a loop over it ends without an error, as on `break`. If the signal is
   * already aborted, the call rejects with an {@link AbortedError}, as `fetch` does.
   */
  readonly signal?: AbortSignal | undefined;
  /** Called when all initial values have been delivered; immediately for an empty bucket. */
  readonly onCurrent?: (() => void) | undefined;
  /** Called when the connection is lost; after the reconnect, missed changes follow, then `onCurrent` again. */
  readonly onInterrupted?: (() => void) | undefined;
}

/** Converts an entry to what the watch yields; an asynchronous one may resolve to `undefined` to skip it. */
export type Picker<E> = (entry: Entry) => E | Promise<E | undefined>;

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

/**
 * A watch: `for await (const entry of watch)`. It survives reconnects without missing or repeating an entry.
 * Leaving the loop ends it, on the server too; so do {@link Watch.stop} and the `signal` it was created with.
 *
 * ```ts
 * await store.put("app.color", "blue");
 * const stop = new AbortController();
 * const watch = await store.watch({
 *   key: "app.>",
 *   signal: stop.signal,
 *   // Stop after the initial values; most watches run as long as the page shows them.
 *   onCurrent: () => { stop.abort(); },
 * });
 * for await (const entry of watch) console.log(entry.key, entry.string()); // app.color blue
 * ```
 */
export class Watch<E> implements AsyncIterableIterator<E, undefined> {
  readonly #raw: RawWatch;
  readonly #bucket: string;
  readonly #hooks: WatchHooks;
  readonly #pick: Picker<E>;
  #batch: Batch | undefined;
  #loading: Promise<void> | undefined;
  #isCurrent = false;
  #isUpdate = false;
  #isOver = false;
  readonly #stop = (): void => {
    this.stop();
  };

  /** @internal */
  constructor(raw: RawWatch, bucket: string, hooks: WatchHooks, pick: Picker<E>) {
    this.#raw = raw;
    this.#bucket = bucket;
    this.#hooks = hooks;
    this.#pick = pick;
    hooks.signal?.addEventListener("abort", this.#stop, { once: true });
    if (hooks.signal?.aborted === true) this.stop();
  }

  /** Whether everything known so far has been delivered. */
  get isCurrent(): boolean {
    return this.#isCurrent;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next entry. */
  next(): Promise<IteratorResult<E, undefined>> {
    // Fast path: an entry of the current batch costs a single promise.
    const entry = this.#take();
    if (entry === undefined) return this.#wait();
    const value = this.#pick(entry);
    return value instanceof Promise ? this.#picked(value) : Promise.resolve({ done: false, value });
  }

  /** Ends the watch. */
  return(): Promise<IteratorReturnResult<undefined>> {
    this.stop();
    return Promise.resolve(DONE);
  }

  /** Ends the watch; a loop over it ends too. */
  stop(): void {
    this.#isOver = true;
    this.#batch = undefined;
    this.#hooks.signal?.removeEventListener("abort", this.#stop);
    this.#raw.close();
  }

  async #wait(): Promise<IteratorResult<E, undefined>> {
    for (;;) {
      const entry = this.#take();
      if (entry !== undefined) {
        const value = this.#pick(entry);
        return value instanceof Promise ? this.#picked(value) : { done: false, value };
      }
      if (this.#isOver) return DONE;
      // Concurrent readers share one request; the first to wake takes the first entry.
      await (this.#loading ??= this.#load());
    }
  }

  async #picked(picking: Promise<E | undefined>): Promise<IteratorResult<E, undefined>> {
    try {
      const value = await picking;
      if (this.#isOver) return DONE;
      return value === undefined ? await this.next() : { done: false, value };
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  async #load(): Promise<void> {
    try {
      const bytes = await this.#raw.next();
      if (this.#isOver) return;
      if (bytes === undefined) this.stop();
      else this.#batch = new Batch(this.#bucket, bytes);
    } catch (error) {
      this.stop();
      throw toError(error);
    } finally {
      this.#loading = undefined;
    }
  }

  #take(): Entry | undefined {
    for (;;) {
      const next = this.#batch?.next(this.#isUpdate);
      if (next === undefined || typeof next === "object") return next;
      this.#isCurrent = next === "current";
      this.#isUpdate ||= this.#isCurrent;
      const { onCurrent, onInterrupted } = this.#hooks;
      const hook = this.#isCurrent ? onCurrent : onInterrupted;
      if (hook !== undefined) tell([hook]);
    }
  }
}
