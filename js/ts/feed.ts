/**
 * A watch shared by all live values of one key or filter.
 *
 * @module
 */
import type { Entry } from "./entry.js";
import { ClosedError, ServerError, type ShizukuError } from "./errors.js";
import type { AbortSignal } from "./platform.js";
import { toError } from "./thrown.js";
import type { Watch, WatchHooks } from "./watch.js";

/** An event: an entry, a status change, an error that keeps the watch from opening (or its end), or the end. */
export type News =
  | { readonly entry: Entry }
  | { readonly status: "current" | "interrupted" }
  | { readonly error: ShizukuError | undefined }
  | { readonly end: ShizukuError };

/** The source of a feed. */
export interface Followed {
  watch(options: WatchHooks & { readonly key: readonly string[] }): Promise<Watch<Entry>>;
}

/** Resolves once the event has been handled, and never rejects. */
type Listener = (news: News) => Promise<void>;

const FIRST_PAUSE = 500;
const LAST_PAUSE = 30_000;
/** The JetStream error code for too many consumers; others may be deleted. */
const MAXIMUM_CONSUMERS = 10026;

/** Watches a key or filter as long as it has listeners. */
export class Feed {
  readonly #source: Followed;
  readonly #key: string;
  readonly #onEnd: (feed: Feed) => void;
  readonly #listeners = new Set<Listener>();
  readonly #stop = new AbortController();
  /** Replayed to new listeners. */
  readonly #entries = new Map<string, News>();
  #state: News | undefined;

  constructor(source: Followed, key: string, onEnd: (feed: Feed) => void) {
    this.#source = source;
    this.#key = key;
    this.#onEnd = onEnd;
    void this.#run();
  }

  /** Replays the current state to `listener`, then calls it for every event until the returned function is called. */
  follow(listener: Listener): () => void {
    this.#listeners.add(listener);
    for (const news of [...this.#entries.values(), this.#state]) if (news !== undefined) void listener(news);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#stop.abort();
      this.#onEnd(this);
    };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const options = {
      // As a list, so that a missing key (in JavaScript) is rejected instead of meaning all keys.
      key: [this.#key],
      signal,
      onCurrent: () => {
        void this.#tell((this.#state = { status: "current" }));
      },
      onInterrupted: () => {
        void this.#tell((this.#state = { status: "interrupted" }));
      },
    };
    let error: ShizukuError = new ClosedError();
    try {
      const watch = await this.#open(options);
      for await (const entry of watch) {
        const { key, removed } = entry;
        // A live value shows the revision of a removal; a live map must not accumulate removed keys.
        if (removed && key !== this.#key) this.#entries.delete(key);
        else this.#entries.set(key, { entry });
        // Waits for slow decoders, or their backlog would grow without bound.
        await this.#tell({ entry });
      }
    } catch (thrown) {
      error = toError(thrown);
    }
    this.#onEnd(this);
    void this.#tell({ end: error });
  }

  /** Opens the watch, retrying after temporary errors. */
  async #open(options: WatchHooks & { readonly key: readonly string[] }): Promise<Watch<Entry>> {
    for (let pause = FIRST_PAUSE; ; pause = Math.min(2 * pause, LAST_PAUSE)) {
      try {
        const watch = await this.#source.watch(options);
        if (this.#state !== undefined) void this.#tell((this.#state = { error: undefined }));
        return watch;
      } catch (thrown) {
        const error = toError(thrown);
        if (!passes(error) || this.#stop.signal.aborted) throw error;
        void this.#tell((this.#state = { error }));
        // Jitter, so that feeds rejected at the same time do not retry at the same time.
        await sleep(pause * (0.5 + Math.random() / 2), this.#stop.signal);
      }
    }
  }

  async #tell(news: News): Promise<void> {
    await Promise.all([...this.#listeners].map((listener) => listener(news)));
  }
}

function passes(error: ShizukuError): boolean {
  return error.retryable || (error instanceof ServerError && error.apiCode === MAXIMUM_CONSUMERS);
}

function sleep(time: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", wake);
      resolve();
    };
    const timer = setTimeout(wake, time);
    signal.addEventListener("abort", wake);
  });
}
