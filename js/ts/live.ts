/**
 * A value that is always current.
 *
 * @module
 */
import { type Codec, decode } from "./codec.js";
import { asyncDispose, dispose } from "./dispose.js";
import type { Entry } from "./entry.js";
import { ClosedError, type ShizukuError, toError } from "./errors.js";
import type { Feed, News } from "./feed.js";
import { tell } from "./listeners.js";

/**
 * How a live value stands to the bucket: `"loading"` until the first answer, `"interrupted"` while
 * the connection is lost (the last value stands), `"ended"` when it follows no more: it was closed, or
 * can never go on, as the client was closed, the bucket is gone or it is not permitted.
 */
export type LiveStatus = "loading" | "current" | "interrupted" | "ended";

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
export class Live<T> {
  readonly key: string;
  /** Resolves when the first value, or the fact that there is none, is known. */
  readonly ready: Promise<void>;
  readonly #listeners = new Set<() => void>();
  readonly #codec: Codec<T, never>;
  #leave: (() => void) | undefined;
  /** What was told last has been dealt with. */
  #work = Promise.resolve();
  #isClosed = false;
  #value: T | undefined;
  #revision = 0;
  #status: LiveStatus = "loading";
  #error: ShizukuError | undefined;
  #settle: { resolve: () => void; reject: (error: unknown) => void } | undefined;

  /** @internal */
  constructor(feed: Feed, key: string, codec: Codec<T, never>) {
    this.key = key;
    this.#codec = codec;
    this.ready = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Whoever does not wait for it finds the error in `error`.
    this.ready.catch(() => undefined);
    // One after another, as decoding takes time.
    this.#leave = feed.follow((news) => {
      this.#work = this.#work.then(() => this.#hear(news));
    });
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

  get status(): LiveStatus {
    return this.#status;
  }

  /**
   * What went wrong last: a value that does not decode, until a good one follows it (`value` keeps
   * the last good one), what keeps it `"loading"` and is tried again, or what ended this.
   */
  get error(): ShizukuError | undefined {
    return this.#error;
  }

  /**
   * Calls `listener` after every change of anything here, until the answer is called. What it throws is
   * reported as an error that nobody caught.
   */
  readonly subscribe = (listener: () => void): (() => void) => {
    const own = (): void => {
      listener();
    };
    this.#listeners.add(own);
    return () => {
      this.#listeners.delete(own);
    };
  };

  /** `value`, as a function. The same object as long as nothing changed. */
  readonly getSnapshot = (): T | undefined => this.#value;

  /** Stops following. The last value stands. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#leave?.();
    this.#end(undefined);
  }

  [dispose](): void {
    this.close();
  }

  [asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  async #hear(news: News): Promise<void> {
    if (this.#isClosed) return;
    if ("entry" in news) await this.#apply(news.entry);
    else if ("status" in news) this.#turn(news.status);
    else if ("end" in news) this.#end(news.end);
    else {
      this.#error = news.error;
      this.#tell();
    }
  }

  async #apply(entry: Entry): Promise<void> {
    try {
      const value = entry.removed ? undefined : await decode(this.#codec, entry);
      if (this.#isClosed) return;
      this.#value = value;
      this.#revision = entry.revision;
      this.#error = undefined;
    } catch (error) {
      if (this.#isClosed) return;
      this.#error = toError(error);
    }
    // Of what was there before, only the last is news.
    if (this.#status !== "loading") this.#tell();
  }

  #turn(status: LiveStatus): void {
    if (status === this.#status) return;
    this.#status = status;
    if (status === "current") this.#settle?.resolve();
    this.#tell();
  }

  #end(error: ShizukuError | undefined): void {
    if (this.#status === "ended") return;
    this.#status = "ended";
    this.#error = error ?? this.#error;
    this.#settle?.reject(error ?? new ClosedError("the live value was closed"));
    this.#tell();
  }

  #tell(): void {
    tell(this.#listeners);
  }
}
