/**
 * A value that is always current.
 *
 * @module
 */
import { type Codec, decode } from "./codec.js";
import { asyncDispose, dispose } from "./dispose.js";
import type { Entry } from "./entry.js";
import { ClosedError, type ShizukuError, toError } from "./errors.js";
import { tell } from "./listeners.js";
import type { Watch, WatchHooks } from "./watch.js";

/**
 * How a live value stands to the bucket: `"loading"` until the first answer, `"interrupted"` while
 * the connection is lost (the last value stands), `"ended"` when it follows no more.
 */
export type LiveStatus = "loading" | "current" | "interrupted" | "ended";

/** What a live value follows. */
export interface Followed {
  watch(options: WatchHooks & { readonly key: string }): Promise<Watch<Entry>>;
}

/**
 * The value of one key, followed. Reading {@link Live.value} asks nobody. `subscribe` and
 * `getSnapshot` are what React's `useSyncExternalStore` takes, and what any other library can use.
 *
 * It follows until {@link Live.close}; `using live = store.live("key")` does that by itself.
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
  readonly #stop = new AbortController();
  #value: T | undefined;
  #revision = 0;
  #status: LiveStatus = "loading";
  #error: ShizukuError | undefined;
  #settle: { resolve: () => void; reject: (error: unknown) => void } | undefined;

  /** @internal */
  constructor(source: Followed, key: string, codec: Codec<T, never>) {
    this.key = key;
    this.#codec = codec;
    this.ready = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Whoever does not wait for it finds the error in `error`.
    this.ready.catch(() => undefined);
    void this.#follow(source);
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
   * the last good one), or what ended this.
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
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#end(undefined);
  }

  [dispose](): void {
    this.close();
  }

  [asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  async #follow(source: Followed): Promise<void> {
    const { signal } = this.#stop;
    try {
      const onCurrent = (): void => {
        this.#turn("current");
      };
      const onInterrupted = (): void => {
        this.#turn("interrupted");
      };
      const options = { key: this.key, signal, onCurrent, onInterrupted };
      for await (const entry of await source.watch(options)) await this.#apply(entry);
      this.#end(signal.aborted ? undefined : new ClosedError());
    } catch (error) {
      this.#end(signal.aborted ? undefined : toError(error));
    }
  }

  async #apply(entry: Entry): Promise<void> {
    try {
      const value = entry.removed ? undefined : await decode(this.#codec, entry);
      if (this.#stop.signal.aborted) return;
      this.#value = value;
      this.#revision = entry.revision;
      this.#error = undefined;
    } catch (error) {
      if (this.#stop.signal.aborted) return;
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
