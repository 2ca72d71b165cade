/**
 * What live values have in common.
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
 * How a live value stands to the bucket: `"loading"` until the first answer, `"interrupted"` while
 * the connection is lost (the last value stands), `"ended"` when it follows no more: it was closed, or
 * can never go on, as the client was closed, the bucket is gone or it is not permitted.
 */
export type LiveStatus = "loading" | "current" | "interrupted" | "ended";

/** Follows until it is closed: the base of {@link Live} and {@link LiveMap}. */
export abstract class Following<T> {
  /** Resolves when what is there, or the fact that there is nothing, is known. */
  readonly ready: Promise<void>;
  readonly #listeners = new Set<() => void>();
  readonly #codec: Codec<T, never>;
  readonly #leave: () => void;
  /** What was told last has been dealt with. */
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
    // Whoever does not wait for it finds the error in `error`.
    this.ready.catch(() => undefined);
    // One after another, as decoding takes time.
    this.#leave = feed.follow((news) => (this.#work = this.#work.then(() => this.#hear(news))));
  }

  /** @internal Keeps a value, or that there is none any more. */
  protected abstract take(entry: Entry, value: T | undefined): void;

  get status(): LiveStatus {
    return this.#status;
  }

  /**
   * What went wrong last: a value that does not decode, until a good one of its key follows it (the
   * last good one stands), what keeps it `"loading"` and is tried again, or what ended this.
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

  /** Stops following. What is known stands. */
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
      // Of another key a good value says nothing.
      if (this.#bad === undefined || this.#bad === entry.key) this.#bad = this.#error = undefined;
    } catch (error) {
      if (this.#isClosed) return;
      this.#bad = entry.key;
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
    this.#settle?.reject(error ?? new ClosedError("it was closed"));
    this.#tell();
  }

  #tell(): void {
    tell(this.#listeners);
  }
}
