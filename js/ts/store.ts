/**
 * A bucket: keys, values and revisions.
 *
 * @module
 */
import { Batch } from "./batch.js";
import { type Duration, millis } from "./duration.js";
import { Entry } from "./entry.js";
import { ConflictError, EncodeError, InvalidKeyError, ServerError } from "./errors.js";
import { Feed } from "./feed.js";
import { check, flag, invalid, kind, named, object, whole } from "./given.js";
import { Live } from "./live.js";
import { LiveMap } from "./live_map.js";
import { Lock, type LockOptions } from "./lock.js";
import { Deliver, Expect, type RawStore, type RawWatch } from "./raw.js";
import { type Codec, json, type StandardSchema, validated } from "./codec.js";
import { call } from "./thrown.js";
import { TypedStore } from "./typed.js";
import { type Picker, Watch, type WatchHooks } from "./watch.js";

/** A raw value; use a typed view to write anything else. */
export type Payload = Uint8Array | string;

/** Options for reading. */
export interface GetOptions {
  /** Reads this revision instead of the latest; there is no revision 0. */
  readonly revision?: number | undefined;
  /**
   * Reads from the leader, which has every acknowledged write. Other replicas may lag behind, also for reads
   * by revision.
   */
  readonly leader?: boolean | undefined;
}

/** Options for writing. */
export interface PutOptions {
  /** Writes only if this is the key's latest revision; 0 means that the key has none. */
  readonly previousSeq?: number | undefined;
  /** Removes the value after this time: whole seconds, at least one. */
  readonly ttl?: Duration | undefined;
}

/** Options for deleting. */
export interface DeleteOptions {
  /** Deletes only if this is the key's latest revision. */
  readonly previousSeq?: number | undefined;
}

/** Options for purging. */
export interface PurgeOptions extends DeleteOptions {
  /** Removes the purge marker after this time. */
  readonly ttl?: Duration | undefined;
}

/**
 * What a watch delivers before live updates.
 *
 * ```ts
 * const stop = new AbortController();
 * await store.put("color", "blue");
 * const watch = await store.watch({ include: KvWatchInclude.UpdatesOnly, signal: stop.signal });
 * await store.put("color", "green");
 * for await (const entry of watch) {
 *   console.log(entry.string()); // green
 *   stop.abort();
 * }
 * ```
 */
export const KvWatchInclude = {
  /** The latest revision of every key. */
  LastValue: "",
  /** Every revision that is still kept. */
  AllHistory: "history",
  /** Nothing: only changes from now on. */
  UpdatesOnly: "updates",
} as const;

/** One of the values of the constant of the same name. */
export type KvWatchInclude = (typeof KvWatchInclude)[keyof typeof KvWatchInclude];

/** Options for watching. */
export interface WatchOptions extends WatchHooks {
  /** Keys or filters: `*` matches one token, `>` one or more at the end. Default: all keys. */
  readonly key?: string | readonly string[] | undefined;
  /** Omits values. */
  readonly headers_only?: boolean | undefined;
  /** Omits removals. */
  readonly ignoreDeletes?: boolean | undefined;
  readonly include?: KvWatchInclude | undefined;
  /** Starts at this revision. */
  readonly resumeFromRevision?: number | undefined;
}

/** A bucket's settings and state. */
export interface StoreStatus {
  readonly bucket: string;
  /** The number of revisions, delete markers included. */
  readonly values: number;
  readonly keys: number;
  /** The size in bytes, as reported by the server. */
  readonly size: number;
  readonly lastRevision: number;
  readonly created: Date;
  readonly description: string;
  readonly history: number;
  /** The maximum age of a revision in milliseconds; 0 if unlimited. */
  readonly ttl: number;
  /** How long delete markers of expired values are kept, in milliseconds; 0 if per-key TTLs are disabled. */
  readonly markerTTL: number;
  /** In bytes, headers included; `undefined` for the server's limit. */
  readonly maxValueSize: number | undefined;
  /** In bytes; `undefined` for no limit. */
  readonly max_bytes: number | undefined;
  /** The number of replicas. */
  readonly replicas: number;
  readonly storage: "file" | "memory";
  readonly compression: boolean;
  readonly metadata: Readonly<Record<string, string>>;
}

const encoder = new TextEncoder();
const ATTEMPTS = 256;
const pause = (millis: number): Promise<void> => new Promise((wake) => setTimeout(wake, millis));

/**
 * A handle on a bucket. Made by {@link Client.create} and {@link Client.open}.
 *
 * ```ts
 * const first = await store.create("color", "blue");
 * await store.update("color", "green", first); // rejects if another write came first
 * console.log((await store.get("color"))?.string()); // green
 * ```
 */
export class Store {
  /** The bucket's name. */
  readonly bucket: string;
  readonly #raw: RawStore;
  readonly #destroy: (bucket: string) => Promise<void>;
  /** By schema or codec; the view without either is keyed by this store. */
  readonly #views = new WeakMap<object, unknown>();
  /** By key or filter, while in use: servers limit the number of consumers. */
  readonly #feeds = new Map<string, Feed>();

  /** @internal */
  constructor(raw: RawStore, destroy: (bucket: string) => Promise<void>) {
    this.#raw = raw;
    this.#destroy = destroy;
    this.bucket = raw.bucket();
  }

  /**
   * The latest or the requested revision of a key; `null` if there is none. As in `@nats-io/kv`, it may be a
   * removal: see {@link Entry.removed}.
   *
   * @throws {@link InvalidKeyError} before anything is sent.
   */
  async get<T = unknown>(key: string, options: GetOptions = {}): Promise<Entry<T> | null> {
    const { revision, leader } = object(options);
    const at = revision === undefined ? undefined : whole("revision", revision);
    const fromLeader = flag("leader", leader);
    const bytes = await call(() => this.#raw.get(named(key), at, fromLeader));
    if (bytes === undefined) return null;
    const entry = new Batch(this.bucket, bytes).next<T>(false);
    return entry instanceof Entry ? entry : null;
  }

  /** The values of many keys or filters in one request. Keys without a value are omitted. */
  async getMany<T = unknown>(keys: string | readonly string[]): Promise<Entry<T>[]> {
    const bytes = await call(() => this.#raw.getMany(list(keys)));
    return new Batch(this.bucket, bytes).entries<T>();
  }

  /**
   * Writes a value and returns its revision.
   *
   * @throws {@link OutcomeUnknownError} if the write was not acknowledged: it may or may not have been applied.
   */
  async put(key: string, value: Payload, options: PutOptions = {}): Promise<number> {
    const expect = expected(options);
    const ttl = millis("ttl", options.ttl) ?? 0;
    return call(() => this.#raw.put(named(key), bytesOf(key, value), expect, ttl));
  }

  /**
   * Writes a value if the key has none: it was never written, or was removed.
   *
   * @throws {@link ConflictError} if it has one.
   */
  async create(
    key: string,
    value: Payload,
    options: Duration | Pick<PutOptions, "ttl"> = {},
  ): Promise<number> {
    const ttl = millis("ttl", typeof options === "object" ? object(options).ttl : options) ?? 0;
    return call(() => this.#raw.put(named(key), bytesOf(key, value), Expect.absent, ttl));
  }

  /**
   * Writes a value if `revision` is the key's latest.
   *
   * @throws {@link ConflictError} if it is not.
   */
  async update(
    key: string,
    value: Payload,
    revision: number,
    options: Pick<PutOptions, "ttl"> = {},
  ): Promise<number> {
    // Here a missing revision must not make the write unconditional.
    return this.put(key, value, { ...object(options), previousSeq: whole("revision", revision) });
  }

  /**
   * Computes a new value from the current one, retrying if another write came in between, and returns its
   * revision. `change` gets `null` if there is no value, and may return `undefined` to leave the key as it is.
   * The first read may come from a replica that lags behind: before such a result stands, `change` is called
   * again if the leader has another revision.
   */
  async updateWith<T = unknown>(
    key: string,
    change: (current: Entry<T> | null) => Payload | undefined | Promise<Payload | undefined>,
  ): Promise<number | undefined> {
    // A replica may lag behind. A write then costs one conflict, but a refusal would be final; so after either,
    // only the leader is read.
    let leader = false;
    for (let races = 0; ; ) {
      const last = await this.get<T>(key, { leader });
      const revision = last?.revision ?? 0;
      let value: Payload | undefined;
      let refuse = (): undefined => undefined;
      try {
        value = await change(last === null || last.removed ? null : last);
      } catch (error) {
        refuse = () => {
          throw error;
        };
      }
      if (value === undefined) {
        if (leader || (await this.#isLast(key, revision))) return refuse();
        leader = true;
        continue;
      }
      try {
        return await this.update(key, value, revision);
      } catch (error) {
        races += 1;
        if (!(error instanceof ConflictError) || races >= ATTEMPTS) throw error;
      }
      leader = true;
      // Once may be chance; a second conflict means contention, so back off.
      if (races > 1) await pause(Math.random() * 2 ** Math.min(races - 1, 6));
    }
  }

  /** Whether the leader has this revision; assumed if permissions do not allow asking it. */
  async #isLast(key: string, revision: number): Promise<boolean> {
    try {
      return ((await this.get(key, { leader: true }))?.revision ?? 0) === revision;
    } catch (error) {
      if (error instanceof ServerError && error.code === "permission_denied") return true;
      throw error;
    }
  }

  /** Deletes a key but keeps its history, and returns the revision of the removal. */
  async delete(key: string, options: DeleteOptions = {}): Promise<number> {
    const expect = expected(options);
    return call(() => this.#raw.remove(named(key), false, expect, 0));
  }

  /** Deletes a key and its history, and returns the revision of the removal. */
  async purge(key: string, options: PurgeOptions = {}): Promise<number> {
    const expect = expected(options);
    const ttl = millis("ttl", options.ttl) ?? 0;
    return call(() => this.#raw.remove(named(key), true, expect, ttl));
  }

  /**
   * Purges the delete markers of keys removed longer ago than this, and returns the number of keys. 0 means all.
   * The default of half an hour gives clients that lag behind or are offline, and learn of a removal from its
   * marker, time to catch up.
   */
  async purgeDeletes(olderMillis: Duration = 30 * 60_000): Promise<number> {
    const age = millis("olderMillis", olderMillis) ?? 0;
    return call(() => this.#raw.purgeDeletes(age));
  }

  /** The keys that have a value, in no particular order. */
  async keys(filter: string | readonly string[] = ">"): Promise<Watch<string>> {
    const raw = await this.#watch(filter, Deliver.latest, true, true, true);
    return new Watch(raw, this.bucket, {}, (entry) => entry.key);
  }

  /** All kept revisions, oldest first, removals included. */
  history<T = unknown>(options: Pick<WatchOptions, "key"> = {}): Promise<Watch<Entry<T>>> {
    return this.historyAs(options, (entry) => entry as Entry<T>);
  }

  /** @internal */
  async historyAs<E>(options: Pick<WatchOptions, "key">, pick: Picker<E>): Promise<Watch<E>> {
    const { key = ">" } = object(options);
    const raw = await this.#watch(key, Deliver.history, false, false, true);
    return new Watch(raw, this.bucket, {}, pick);
  }

  /**
   * Watches keys: their latest revisions first, then every change.
   *
   * ```ts
   * for await (const entry of await store.watch({ key: "app.>" })) {
   *   console.log(entry.key, entry.operation, entry.string());
   * }
   * ```
   */
  watch<T = unknown>(options: WatchOptions = {}): Promise<Watch<Entry<T>>> {
    return this.watchAs(options, (entry) => entry as Entry<T>);
  }

  /** @internal */
  async watchAs<E>(options: WatchOptions, pick: Picker<E>): Promise<Watch<E>> {
    const signal = check(object(options).signal);
    const raw = await this.#watch(
      options.key ?? ">",
      start(options),
      flag("ignoreDeletes", options.ignoreDeletes),
      flag("headers_only", options.headers_only),
      false,
    );
    return new Watch(raw, this.bucket, { ...options, signal }, pick);
  }

  /**
   * The live value of a key, parsed as JSON and read without a request. It updates until it is closed. All live
   * values of a key share one watch. For values other than JSON use {@link Store.typed}: `store.typed(text).live(key)`.
   */
  live<T = unknown>(key: string): Live<T> {
    return new Live(this.feedOf(key), key, json<T>());
  }

  /** The live values of all keys that match a filter, parsed as JSON like {@link Store.live}. */
  liveMap<T = unknown>(filter = ">"): LiveMap<T> {
    return new LiveMap(this.feed(filter), filter, json<T>());
  }

  /** @internal The feed of a single key; a filter is rejected like any other invalid key. */
  feedOf(key: string): Feed {
    if (!/[*>]/.test(String(key))) return this.feed(key);
    const error = new InvalidKeyError(`invalid key "${key}": a wildcard is not allowed`, { key });
    return new Feed({ watch: () => Promise.reject(error) }, key, () => undefined);
  }

  /** @internal */
  feed(filter: string): Feed {
    const known = this.#feeds.get(filter);
    if (known !== undefined) return known;
    const feed = new Feed(this, filter, (ended) => {
      if (this.#feeds.get(filter) === ended) this.#feeds.delete(filter);
    });
    this.#feeds.set(filter, feed);
    return feed;
  }

  /**
   * A view of this bucket with values of one type: JSON without validation. The same argument returns the same
   * view, so that `useLive(store.typed(schema), key)` keeps its subscription.
   */
  typed<T>(): TypedStore<T>;
  /** A view with values checked by a validator: zod, valibot or any other Standard Schema. */
  typed<In, Out>(schema: StandardSchema<In, Out>): TypedStore<Out, In>;
  /** A view with values encoded by a codec. */
  typed<T>(codec: Codec<T>): TypedStore<T>;
  typed<T>(how?: StandardSchema<T, T> | Codec<T>): TypedStore<T> {
    const by = how === undefined ? this : object(how, "schema or codec");
    const known = this.#views.get(by) as TypedStore<T> | undefined;
    if (known !== undefined) return known;
    const view = new TypedStore<T>(this, how === undefined ? json() : "~standard" in how ? validated(how) : how);
    this.#views.set(by, view);
    return view;
  }

  /**
   * A lock shared by all clients of this bucket: pages, services, machines. It requires per-key TTLs, which
   * are enabled by default (server 2.11 and newer).
   *
   * ```ts
   * await using guard = await store.lock("invoices").write();
   * await charge(customer, { fence: guard.token, signal: guard.signal });
   * ```
   */
  lock(name: string, options: LockOptions = {}): Lock {
    return new Lock(this.#raw, name, options);
  }

  /** The bucket's settings and state. */
  async status(): Promise<StoreStatus> {
    const status = await call(() => this.#raw.status());
    return { ...status, created: new Date(status.created) };
  }

  /** Deletes the bucket and everything in it. */
  async destroy(): Promise<boolean> {
    await this.#destroy(this.bucket);
    return true;
  }

  #watch(
    key: string | readonly string[],
    from: number,
    ignoreRemovals: boolean,
    metadataOnly: boolean,
    once: boolean,
  ): Promise<RawWatch> {
    return call(() => this.#raw.watch(list(key), from, ignoreRemovals, metadataOnly, once));
  }
}

function list(keys: string | readonly string[]): string[] {
  return Array.isArray(keys) ? keys.map(named) : [named(keys)];
}

/** The precondition of a write, for the bindings. */
function expected(options: DeleteOptions): number {
  const { previousSeq } = object(options);
  return previousSeq === undefined ? Expect.any : whole("previousSeq", previousSeq);
}

/** The starting point of a watch, for the bindings. */
function start({ include = "", resumeFromRevision }: WatchOptions): number {
  if (resumeFromRevision !== undefined) return whole("resumeFromRevision", resumeFromRevision);
  switch (include) {
    case "history":
      return Deliver.history;
    case "updates":
      return Deliver.updates;
    case "":
      return Deliver.latest;
    default:
      throw invalid("include", include, "a KvWatchInclude");
  }
}

function bytesOf(key: string, value: Payload): Uint8Array {
  if (typeof value === "string") return encoder.encode(value);
  if (value instanceof Uint8Array) return value;
  const message = `the value for key ${key} must be a string or a Uint8Array, not ${kind(value)}: use a typed view`;
  throw new EncodeError(message, key);
}
