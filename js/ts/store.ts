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
import { check, flag, invalid, named, whole } from "./given.js";
import { Live } from "./live.js";
import { LiveMap } from "./live_map.js";
import { Lock, type LockOptions } from "./lock.js";
import { Deliver, Expect, type RawStore, type RawWatch } from "./raw.js";
import { type Codec, json, type StandardSchema, validated } from "./codec.js";
import { call } from "./thrown.js";
import { TypedStore } from "./typed.js";
import { type Picker, Watch, type WatchHooks } from "./watch.js";

/** What can be written as it is; a typed view writes anything else. */
export type Payload = Uint8Array | string;

/** How to read. */
export interface GetOptions {
  /** This revision instead of the last one; none is 0. */
  readonly revision?: number | undefined;
  /**
   * Asks the leader, which sees every write that was acknowledged before. Any other replica may not
   * have it yet, by revision too.
   */
  readonly leader?: boolean | undefined;
}

/** How to write. */
export interface PutOptions {
  /** Only where the key's last revision is this one; 0 means that it has none. */
  readonly previousSeq?: number | undefined;
  /** Removes the value after this time: whole seconds, at least one. */
  readonly ttl?: Duration | undefined;
}

/** How to delete. */
export interface DeleteOptions {
  /** Only where the key's last revision is this one. */
  readonly previousSeq?: number | undefined;
}

/** How to purge. */
export interface PurgeOptions extends DeleteOptions {
  /** Lets the marker that is left behind go away by itself after this time. */
  readonly ttl?: Duration | undefined;
}

/**
 * What a watch delivers before it follows the changes.
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
  /** The last revision of every key. */
  LastValue: "",
  /** Every revision that the bucket still has. */
  AllHistory: "history",
  /** Nothing: changes from now on. */
  UpdatesOnly: "updates",
} as const;

/** One of the values of the constant of this name. */
export type KvWatchInclude = (typeof KvWatchInclude)[keyof typeof KvWatchInclude];

/** How to watch. */
export interface WatchOptions extends WatchHooks {
  /** Keys or filters: `*` stands for a token, `>` for the rest. Default: everything. */
  readonly key?: string | readonly string[] | undefined;
  /** Leaves values out. */
  readonly headers_only?: boolean | undefined;
  /** Leaves removals out. */
  readonly ignoreDeletes?: boolean | undefined;
  readonly include?: KvWatchInclude | undefined;
  /** Begins with this revision. */
  readonly resumeFromRevision?: number | undefined;
}

/** A bucket's settings and state. */
export interface StoreStatus {
  readonly bucket: string;
  /** Revisions and markers. */
  readonly values: number;
  readonly keys: number;
  /** Bytes, as the server counts them. */
  readonly size: number;
  readonly lastRevision: number;
  readonly created: Date;
  readonly description: string;
  readonly history: number;
  /** Milliseconds that a revision lives; 0 for ever. */
  readonly ttl: number;
  /** Milliseconds that markers of expired values stand; 0 where keys cannot have a time to live. */
  readonly markerTTL: number;
  /** Bytes, with headers; `undefined` for the server's own limit. */
  readonly maxValueSize: number | undefined;
  /** Bytes; `undefined` for no limit. */
  readonly max_bytes: number | undefined;
  /** How many servers hold a copy. */
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
 * await store.update("color", "green", first); // rejects where somebody else was first
 * console.log((await store.get("color"))?.string()); // green
 * ```
 */
export class Store {
  /** The bucket's name. */
  readonly bucket: string;
  readonly #raw: RawStore;
  readonly #destroy: (bucket: string) => Promise<void>;
  /** By schema or codec; the one of no argument by this store. */
  readonly #views = new WeakMap<object, unknown>();
  /** By key or filter, as long as somebody follows it: a server has only so many consumers. */
  readonly #feeds = new Map<string, Feed>();

  /** @internal */
  constructor(raw: RawStore, destroy: (bucket: string) => Promise<void>) {
    this.#raw = raw;
    this.#destroy = destroy;
    this.bucket = raw.bucket();
  }

  /**
   * The last revision of a key, or the one asked for; `null` where there is none. As in
   * `@nats-io/kv` this may be a removal: see {@link Entry.removed}.
   *
   * @throws {@link InvalidKeyError} before anything is sent.
   */
  async get<T = unknown>(key: string, options: GetOptions = {}): Promise<Entry<T> | null> {
    const revision = options.revision === undefined ? undefined : whole("revision", options.revision);
    const leader = flag("leader", options.leader);
    const bytes = await call(() => this.#raw.get(named(key), revision, leader));
    if (bytes === undefined) return null;
    const entry = new Batch(this.bucket, bytes).next<T>(false);
    return entry instanceof Entry ? entry : null;
  }

  /** The values of many keys in one request. Takes filters too. Keys without a value are left out. */
  async getMany<T = unknown>(keys: string | readonly string[]): Promise<Entry<T>[]> {
    const bytes = await call(() => this.#raw.getMany(list(keys)));
    return new Batch(this.bucket, bytes).entries<T>();
  }

  /**
   * Writes a value and answers its revision.
   *
   * @throws {@link OutcomeUnknownError} where no answer came: it may have happened or not.
   */
  async put(key: string, value: Payload, options: PutOptions = {}): Promise<number> {
    const ttl = millis("ttl", options.ttl) ?? 0;
    const expect = expected(options);
    return call(() => this.#raw.put(named(key), bytesOf(key, value), expect, ttl));
  }

  /**
   * Writes a value where there is none: the key was never written, or was removed.
   *
   * @throws {@link ConflictError} where there is one.
   */
  async create(
    key: string,
    value: Payload,
    options: Duration | Pick<PutOptions, "ttl"> = {},
  ): Promise<number> {
    const ttl = millis("ttl", typeof options === "object" ? options.ttl : options) ?? 0;
    return call(() => this.#raw.put(named(key), bytesOf(key, value), Expect.absent, ttl));
  }

  /**
   * Writes a value where the key's last revision is this one.
   *
   * @throws {@link ConflictError} where it is another.
   */
  async update(
    key: string,
    value: Payload,
    revision: number,
    options: Pick<PutOptions, "ttl"> = {},
  ): Promise<number> {
    // Here a revision that is left out must not mean any.
    return this.put(key, value, { ...options, previousSeq: whole("revision", revision) });
  }

  /**
   * Makes a new value out of the current one, again until no other write came in between, and
   * answers its revision. `change` sees `null` where there is no value, and answers `undefined` to
   * leave things as they are. What it sees first may come from a replica that is behind: it is asked again
   * where the leader has another revision.
   */
  async updateWith<T = unknown>(
    key: string,
    change: (current: Entry<T> | null) => Payload | undefined | Promise<Payload | undefined>,
  ): Promise<number | undefined> {
    // A replica may be behind. For a write that costs one lost race, but a refusal would stand; so after
    // either only the leader is asked.
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
      // Once may be chance. Who loses again has company, and should get out of its way.
      if (races > 1) await pause(Math.random() * 2 ** Math.min(races - 1, 6));
    }
  }

  /** Whether this is the revision that the leader has, as far as it may be asked. */
  async #isLast(key: string, revision: number): Promise<boolean> {
    try {
      return ((await this.get(key, { leader: true }))?.revision ?? 0) === revision;
    } catch (error) {
      if (error instanceof ServerError && error.code === "permission_denied") return true;
      throw error;
    }
  }

  /** Deletes a key, keeping its history, and answers the revision of the removal. */
  async delete(key: string, options: DeleteOptions = {}): Promise<number> {
    const expect = expected(options);
    return call(() => this.#raw.remove(named(key), false, expect, 0));
  }

  /** Deletes a key together with its history, and answers the revision of the removal. */
  async purge(key: string, options: PurgeOptions = {}): Promise<number> {
    const ttl = millis("ttl", options.ttl) ?? 0;
    const expect = expected(options);
    return call(() => this.#raw.remove(named(key), true, expect, ttl));
  }

  /**
   * Clears away the markers of keys that were removed longer ago than this, and answers how many keys. Half an
   * hour where it is not given, for those who are behind or offline and learn of a removal by its marker; 0
   * means all.
   */
  async purgeDeletes(olderMillis: Duration = 30 * 60_000): Promise<number> {
    const age = millis("olderMillis", olderMillis) ?? 0;
    return call(() => this.#raw.purgeDeletes(age));
  }

  /** The keys that have a value, in no certain order. */
  async keys(filter: string | readonly string[] = ">"): Promise<Watch<string>> {
    const raw = await this.#watch(filter, Deliver.latest, true, true, true);
    return new Watch(raw, this.bucket, {}, (entry) => entry.key);
  }

  /** Every revision that is kept, oldest first, removals included. */
  history<T = unknown>(options: Pick<WatchOptions, "key"> = {}): Promise<Watch<Entry<T>>> {
    return this.historyAs(options, (entry) => entry as Entry<T>);
  }

  /** @internal */
  async historyAs<E>({ key = ">" }: Pick<WatchOptions, "key">, pick: Picker<E>): Promise<Watch<E>> {
    const raw = await this.#watch(key, Deliver.history, false, false, true);
    return new Watch(raw, this.bucket, {}, pick);
  }

  /**
   * Follows keys: their last revisions first, then every change.
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
    const signal = check(options.signal);
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
   * A value that is always current: JSON under a key, read without asking anybody. It follows from
   * now on, until it is closed. All of one key share a watch.
   */
  live<T = unknown>(key: string): Live<T> {
    return new Live(this.feedOf(key), key, json<T>());
  }

  /** The values of all keys that pass a filter, always current: JSON, as with {@link Store.live}. */
  liveMap<T = unknown>(filter = ">"): LiveMap<T> {
    return new LiveMap(this.feed(filter), filter, json<T>());
  }

  /** @internal Of one key: a filter is refused, as all else is that is no key. */
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
   * This bucket with values of one type: JSON, unchecked. The same argument answers the same view, so
   * that `useLive(store.typed(schema), key)` goes on with what it follows.
   */
  typed<T>(): TypedStore<T>;
  /** This bucket with values that a validator has checked: zod, valibot and all of Standard Schema. */
  typed<In, Out>(schema: StandardSchema<In, Out>): TypedStore<Out, In>;
  /** This bucket with values that a codec makes. */
  typed<T>(codec: Codec<T>): TypedStore<T>;
  typed<T>(how?: StandardSchema<T, T> | Codec<T>): TypedStore<T> {
    const known = this.#views.get(how ?? this) as TypedStore<T> | undefined;
    if (known !== undefined) return known;
    const view = new TypedStore<T>(this, how === undefined ? json() : "~standard" in how ? validated(how) : how);
    this.#views.set(how ?? this, view);
    return view;
  }

  /**
   * A lock between everybody who uses this bucket: pages, services, machines. Needs a bucket whose
   * keys can have a time to live (server 2.11 and newer), which is the default.
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

/** What a write is conditional on, as the bindings take it. */
function expected({ previousSeq }: DeleteOptions): number {
  return previousSeq === undefined ? Expect.any : whole("previousSeq", previousSeq);
}

/** What a watch begins with, as the bindings take it. */
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
      throw invalid("include", include, "KvWatchInclude");
  }
}

function bytesOf(key: string, value: Payload): Uint8Array {
  if (typeof value === "string") return encoder.encode(value);
  if (value instanceof Uint8Array) return value;
  const what = value === null ? "null" : typeof value;
  throw new EncodeError(
    `the value for key ${key} must be a string or a Uint8Array, not ${what}; a typed view takes others`,
    key,
  );
}
