/**
 * Locks between pages, services and machines.
 *
 * @module
 */
import { asyncDispose } from "./dispose.js";
import { type Duration, millis } from "./duration.js";
import { LockLostError, ShizukuError, UnsupportedError } from "./errors.js";
import { check, named } from "./given.js";
import { Pull } from "./pull.js";
import type { RawGuard, RawHolder, RawHolders, RawStore } from "./raw.js";
import { call, toError } from "./thrown.js";

/** How to acquire a lock. */
export interface LockOptions {
  /**
   * How long a hold outlives a holder that died: whole seconds from 3. Default 15 s. A page that is hidden for
   * minutes renews only when the server's heartbeats come, every 5 s, as browsers hold its timers back: give 10 s
   * at least where that may be.
   */
  readonly lease?: Duration | undefined;
  /** Gives up acquiring after this time. Default: never. */
  readonly timeout?: Duration | undefined;
  /** Who holds, for people who look at the list of holders. */
  readonly label?: string | undefined;
}

/** Somebody who holds a lock or waits for it. */
export interface Holder {
  readonly id: string;
  /**
   * What it asks for. Others than locks of this package may use the name: `"permit"` is one of a
   * semaphore's. `"unknown"` comes from a newer version, and is treated as a writer that holds.
   */
  readonly mode: "read" | "write" | "permit" | "unknown";
  /** Its ticket while it waits, and its fencing token once it holds. */
  readonly token: number;
  readonly holds: boolean;
  readonly since: Date;
  /** Milliseconds that its entry outlives it. */
  readonly lease: number;
  readonly label: string | undefined;
}

/**
 * A held lock; `await using guard = await lock.write()` releases it at the end of the block.
 *
 * It is renewed in the background. Where that fails for too long it is lost: `signal` is aborted
 * and `lost` resolves, and work under it has to stop.
 *
 * One that nobody refers to any more is held on, until the client is closed or the page is gone: work
 * under it may have kept its `token` and `signal`, and no garbage collector knows when that ends.
 *
 * ```ts
 * await using guard = await store.lock("invoices").write();
 * // Whoever takes the money refuses a token smaller than one that it has seen.
 * await charge(customer, { fence: guard.token, signal: guard.signal });
 * console.log(guard.held); // true
 * ```
 */
export class Guard {
  /**
   * The fencing token, larger than that of every conflicting hold before. Hand it to whatever the
   * lock protects, and let that refuse what comes with a smaller one than it has seen.
   */
  readonly token: number;
  /** Aborted when the lock is lost, with the {@link LockLostError} as its reason. */
  readonly signal: AbortSignal;
  /** Resolves when the lock is lost; never, where it is released before. */
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
   * Whether it is held, as far as can be known here. It asks the clock, and so is right at once where a page was
   * frozen for longer than a lease; `signal` and `lost` tell a few milliseconds later.
   */
  get held(): boolean {
    return this.#raw.isHeld();
  }

  /**
   * Releases it, and waits until that has arrived; a second call does nothing.
   *
   * @throws {@link LockLostError} where it was not held any more.
   */
  async release(): Promise<void> {
    await call(() => this.#raw.release());
  }

  [asyncDispose](): Promise<void> {
    return this.release();
  }
}

/**
 * A lock by its name: many readers, or one writer. Made by {@link Store.lock}.
 *
 * ```ts
 * const lock = store.lock("invoices", { label: "billing", lease: "10s" });
 * await lock.with(async (guard) => {
 *   await charge(customer, { fence: guard.token, signal: guard.signal });
 *   // Anybody who looks sees who is at it.
 *   for (const one of await lock.holders()) console.log(one.label, one.mode, one.holds); // billing write true
 * });
 * const guard = await lock.tryRead(); // `null` where somebody writes
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
    this.#options = options;
  }

  /** Waits until nobody else holds it. Whoever came first is first. */
  async write(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<Guard> {
    return this.#wait(true, options.signal);
  }

  /** Waits until no writer holds it or waits before us; shared with other readers. */
  async read(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<Guard> {
    return this.#wait(false, options.signal);
  }

  /** `null` where somebody else holds it, or waits for it. */
  tryWrite(): Promise<Guard | null> {
    return this.#acquire(true, true, undefined);
  }

  /** `null` where a writer holds it, or waits for it. */
  tryRead(): Promise<Guard | null> {
    return this.#acquire(false, true, undefined);
  }

  /** Does something while nobody else can, and releases the lock whatever happens. */
  async with<T>(work: (guard: Guard) => T | Promise<T>): Promise<T> {
    const guard = await this.write();
    try {
      return await work(guard);
    } finally {
      // The work was done or not; a lock that was lost meanwhile is in `signal` and `lost`.
      await guard.release().catch(() => undefined);
    }
  }

  /** Who holds it and who waits, in their order. */
  async holders(): Promise<Holder[]> {
    for await (const holders of this.watchHolders()) return holders;
    return [];
  }

  /**
   * Who holds it and who waits, now and whenever that changes, until `signal` is aborted. The signal
   * is as that of a watch: see {@link WatchHooks.signal}.
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
          signal = check(options.signal);
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

  async #wait(write: boolean, signal: AbortSignal | undefined): Promise<Guard> {
    const guard = await this.#acquire(write, false, signal);
    if (guard !== null) return guard;
    check(signal);
    throw new ShizukuError("internal", `lock ${this.name} was not granted`);
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
      // The bindings wait for it no more, and it must not be kept for that.
      stop();
    }
  }
}

function holder(raw: RawHolder): Holder {
  return { ...raw, since: new Date(raw.since) };
}
