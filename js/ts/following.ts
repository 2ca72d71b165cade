/**
 * The base of live values and live maps.
 *
 * @module
 */
import { type Codec, decode } from "./codec.js";
import { asyncDispose, dispose } from "./dispose.js";
import type { Entry } from "./entry.js";
import { ClosedError, type ShizukuError } from "./errors.js";
import type { Feed, News } from "./feed.js";
import { tell } from "./listeners.js";
import { toError } from "./thrown.js";

/**
 * The status of a live value: `"loading"` until its initial value is known, `"interrupted"` while the
 * connection is lost (the last value is kept), `"ended"` when it no longer updates: it was closed, or it
 * cannot continue because the client was closed, the bucket is gone or permission is denied.
 */
export type LiveStatus = "loading" | "current" | "interrupted" | "ended";

/** The base of {@link Live} and {@link LiveMap}, which update until they are closed. */
export abstract class Following<T> {
  /** Resolves when the initial state is known, even if there is no value. */
  readonly ready: Promise<void>;
  readonly #listeners = new Set<() => void>();
  readonly #codec: Codec<T, never>;
  readonly #leave: () => void;
  /** Settles once the latest event has been handled. */
  #work = Promise.resolve();
  #isClosed = false;
  #status: LiveStatus = "loading";
  #error: ShizukuError | undefined;
  /** The key of the value that `#error` is about. */
  #bad: string | undefined;
  #settle: { resolve: () => void; reject: (error: unknown) => void } | undefined;

  /** @internal */
  constructor(feed: Feed, codec: Codec<T, never>) {
    this.#codec = codec;
    this.ready = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Not an unhandled rejection if nobody awaits it: the error is in `error` too.
    this.ready.catch(() => undefined);
    // In sequence, as decoding is asynchronous.
    this.#leave = feed.follow((news) => (this.#work = this.#work.then(() => this.#hear(news))));
  }

  /** @internal Stores a value, or a removal. */
  protected abstract take(entry: Entry, value: T | undefined): void;

  get status(): LiveStatus {
    return this.#status;
  }

  /**
   * The latest error: a value that could not be decoded (the last good one is kept) until a good one for that
   * key follows, an error that is being retried while `"loading"`, or the one that ended this.
   */
  get error(): ShizukuError | undefined {
    return this.#error;
  }

  /**
   * Calls `listener` after every change until the returned function is called. Whatever it throws is reported
   * as an uncaught error.
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

  /** Stops updating. The last state is kept. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#leave();
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
      this.take(entry, value);
      // A good value of another key does not clear the error.
      if (this.#bad === undefined || this.#bad === entry.key) this.#bad = this.#error = undefined;
    } catch (error) {
      if (this.#isClosed) return;
      this.#bad = entry.key;
      this.#error = toError(error);
    }
    // While loading, listeners are notified once, at the end.
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
    this.#settle?.reject(error ?? new ClosedError("it was closed"));
    this.#tell();
  }

  #tell(): void {
    tell(this.#listeners);
  }
}
