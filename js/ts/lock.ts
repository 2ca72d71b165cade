/**
 * Locks between pages, services and machines.
 *
 * @module
 */
import { asyncDispose } from "./dispose.js";
import { type Duration, millis } from "./duration.js";
import { ShizukuError, UnsupportedError } from "./errors.js";
import { check, named, object } from "./given.js";
import { LockLostError } from "./lock_errors.js";
import type { AbortSignal } from "./platform.js";
import { Pull } from "./pull.js";
import type { RawGuard, RawHolder, RawHolders, RawStore } from "./raw.js";
import { call, toError } from "./thrown.js";

/** Options for acquiring a lock. */
export interface LockOptions {
  /**
   * How long the lock stays held after its holder dies: whole seconds, at least 3. Default 15 s. Browsers
   * throttle the timers of a page that has been hidden for minutes; it then renews only on the server's
   * heartbeats, every 5 s, so use at least 10 s for pages that may be hidden.
   */
  readonly lease?: Duration | undefined;
  /** The time-out for acquiring the lock. Default: none. */
  readonly timeout?: Duration | undefined;
  /** A human-readable name for the holder, shown in the list of holders. */
  readonly label?: string | undefined;
}

/** A client that holds a lock or waits for it. */
export interface Holder {
  readonly id: string;
  /**
   * The requested mode. `"permit"` is a permit of a semaphore with the same name (the Rust library has them).
   * `"unknown"` comes from a newer version, and is treated as a writer that holds the lock.
   */
  readonly mode: "read" | "write" | "permit" | "unknown";
  /** Its ticket while it waits; its fencing token once it holds the lock; `undefined` if `mode` is `"unknown"`. */
  readonly token: number | undefined;
  readonly holds: boolean;
  readonly since: Date;
  /** The lease in milliseconds. */
  readonly lease: number;
  readonly label: string | undefined;
}

/**
 * A held lock; `await using guard = await lock.write()` releases it at the end of the block.
 *
 * The lease is renewed in the background. If that fails for too long, the lock is lost: `signal` is aborted
 * and `lost` resolves, and the protected work must stop.
 *
 * A guard that is no longer referenced keeps the lock until the client is closed or the page is gone: the
 * protected work may still be using its `token` and `signal`, and a garbage collector cannot know.
 *
 * ```ts
 * await using guard = await store.lock("invoices").write();
 * // The payment service rejects tokens smaller than the largest it has seen.
 * await charge(customer, { fence: guard.token, signal: guard.signal });
 * console.log(guard.held); // true
 * ```
 */
export class Guard {
  /**
   * The fencing token, larger than that of every earlier conflicting holder. Pass it to the protected resource,
   * which should reject any token smaller than the largest it has seen.
   */
  readonly token: number;
  /** Aborted when the lock is lost, with the {@link LockLostError} as its reason. */
  readonly signal: AbortSignal;
  /** Resolves when the lock is lost; never if it is released first. */
  readonly lost: Promise<LockLostError>;
  readonly #raw: RawGuard;

  /** @internal */
  constructor(raw: RawGuard) {
    this.#raw = raw;
    this.token = raw.token();
    const abort = new AbortController();
    this.signal = abort.signal;
    this.lost = new Promise((resolve) => {
      raw
        .lost()
        .then((lost) => {
          const error = toError(lost);
          if (!(error instanceof LockLostError)) return;
          abort.abort(error);
          resolve(error);
        })
        .catch(() => undefined);
    });
  }

  /**
   * Whether the lock is held, as far as this client can know. It compares the clock with the lease, so it is
   * right immediately after a page was frozen for too long; `signal` and `lost` follow a few milliseconds later.
   */
  get held(): boolean {
    return this.#raw.isHeld();
  }

  /**
   * Releases the lock and waits for the acknowledgement; a second call does nothing.
   *
   * @throws {@link LockLostError} if it was already lost.
   */
  async release(): Promise<void> {
    await call(() => this.#raw.release());
  }

  [asyncDispose](): Promise<void> {
    return this.release();
  }
}

/**
 * A named read-write lock: many readers, or one writer. Made by {@link Store.lock}.
 *
 * ```ts
 * const lock = store.lock("invoices", { label: "billing", lease: "10s" });
 * await lock.with(async (guard) => {
 *   await charge(customer, { fence: guard.token, signal: guard.signal });
 *   // Every client can list the holders.
 *   for (const one of await lock.holders()) console.log(one.label, one.mode, one.holds); // billing write true
 * });
 * const guard = await lock.tryRead(); // `null` if there is a writer
 * await guard?.release();
 * ```
 */
export class Lock {
  readonly name: string;
  readonly #raw: RawStore;
  readonly #options: LockOptions;

  /** @internal */
  constructor(raw: RawStore, name: string, options: LockOptions) {
    if (raw.acquire === undefined) {
      const message = "shizuku-kv/core has no locks: import shizuku-kv";
      throw new UnsupportedError(message, { feature: "locks" });
    }
    this.#raw = raw;
    this.name = named(name);
    this.#options = object(options);
  }

  /** Acquires the lock for writing: exclusive, in FIFO order. */
  async write(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<Guard> {
    return this.#wait(true, options);
  }

  /** Acquires the lock for reading: shared with other readers, after writers that hold it or queued earlier. */
  async read(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<Guard> {
    return this.#wait(false, options);
  }

  /** Like {@link Lock.write}, but returns `null` if any client holds the lock or waits for it. */
  tryWrite(): Promise<Guard | null> {
    return this.#acquire(true, true, undefined);
  }

  /** Like {@link Lock.read}, but returns `null` if a writer holds the lock or waits for it. */
  tryRead(): Promise<Guard | null> {
    return this.#acquire(false, true, undefined);
  }

  /** Runs `work` while holding the lock for writing, and releases it in any case. */
  async with<T>(work: (guard: Guard) => T | Promise<T>): Promise<T> {
    const guard = await this.write();
    try {
      return await work(guard);
    } finally {
      // Must not hide the outcome of `work`; the loss of the lock is reported by `signal` and `lost`.
      await guard.release().catch(() => undefined);
    }
  }

  /** The holders and waiters, in queue order. */
  async holders(): Promise<Holder[]> {
    for await (const holders of this.watchHolders()) return holders;
    return [];
  }

  /**
   * The holders and waiters, now and whenever they change, until `signal` is aborted. The signal works like
   * that of a watch: see {@link WatchHooks.signal}.
   */
  watchHolders(
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): AsyncIterableIterator<Holder[], undefined> {
    let signal: AbortSignal | undefined;
    let raw: RawHolders | undefined;
    const close = (): void => raw?.close();
    const pull = (): Promise<Holder[] | undefined> =>
      call(async () => {
        if (raw === undefined) {
          signal = check(object(options).signal);
          raw = this.#raw.holders?.(this.name);
          signal?.addEventListener("abort", close, { once: true });
        }
        return (await raw?.next())?.map(holder);
      });
    return new Pull(pull, () => {
      signal?.removeEventListener("abort", close);
      close();
    });
  }

  async #wait(write: boolean, options: { readonly signal?: AbortSignal | undefined }): Promise<Guard> {
    const { signal } = object(options);
    const guard = await this.#acquire(write, false, signal);
    if (guard !== null) return guard;
    check(signal);
    throw new ShizukuError("internal", `lock ${this.name} was not acquired`);
  }

  async #acquire(
    write: boolean,
    onlyTry: boolean,
    until: AbortSignal | undefined,
  ): Promise<Guard | null> {
    const signal = check(until);
    const { lease, timeout, label } = this.#options;
    const options = { lease: millis("lease", lease), timeout: millis("timeout", timeout), label };
    let stop = (): void => undefined;
    const cancelled =
      signal &&
      new Promise<void>((resolve) => {
        stop = resolve;
        signal.addEventListener("abort", stop, { once: true });
      });
    try {
      const raw = await this.#raw.acquire?.(this.name, write, onlyTry, options, cancelled);
      return raw === undefined ? null : new Guard(raw);
    } catch (error) {
      throw toError(error);
    } finally {
      signal?.removeEventListener("abort", stop);
      // The bindings no longer need the promise; settling it lets it be collected.
      stop();
    }
  }
}

function holder(raw: RawHolder): Holder {
  return { ...raw, since: new Date(raw.since) };
}
