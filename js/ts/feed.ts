/**
 * One watch of a key or filter, shared by all that is live of it.
 *
 * @module
 */
import type { Entry } from "./entry.js";
import { ClosedError, ServerError, type ShizukuError } from "./errors.js";
import { toError } from "./thrown.js";
import type { Watch, WatchHooks } from "./watch.js";

/** What happens: an entry, how the watch stands, what keeps it from opening, or its end. */
export type News =
  | { readonly entry: Entry }
  | { readonly status: "current" | "interrupted" }
  | { readonly error: ShizukuError | undefined }
  | { readonly end: ShizukuError };

/** What a feed follows. */
export interface Followed {
  watch(options: WatchHooks & { readonly key: readonly string[] }): Promise<Watch<Entry>>;
}

/** Answers when it has dealt with the news, and never rejects. */
type Listener = (news: News) => Promise<void>;

const FIRST_PAUSE = 500;
const LAST_PAUSE = 30_000;
/** JetStream's code for no more consumers; others may end theirs. */
const MAXIMUM_CONSUMERS = 10026;

/** Follows a key or filter as long as somebody listens. */
export class Feed {
  readonly #source: Followed;
  readonly #key: string;
  readonly #onEnd: (feed: Feed) => void;
  readonly #listeners = new Set<Listener>();
  readonly #stop = new AbortController();
  /** What whoever comes later is told first. */
  readonly #entries = new Map<string, News>();
  #state: News | undefined;

  constructor(source: Followed, key: string, onEnd: (feed: Feed) => void) {
    this.#source = source;
    this.#key = key;
    this.#onEnd = onEnd;
    void this.#run();
  }

  /** Tells what is known, and then what happens, until the answer is called. */
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
      // As a list: a key that JavaScript leaves out is refused then, and does not stand for all.
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
        // A live value shows the revision of a removal; keys that come and go must not add up.
        if (removed && key !== this.#key) this.#entries.delete(key);
        else this.#entries.set(key, { entry });
        // Those who take long to decode are waited for, or what they have not seen would add up.
        await this.#tell({ entry });
      }
    } catch (thrown) {
      error = toError(thrown);
    }
    this.#onEnd(this);
    void this.#tell({ end: error });
  }

  /** Tries again where it is refused for a reason that may pass. */
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
        // Many that were refused at once do not come back at once.
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
