/**
 * Typed views of a bucket.
 *
 * @module
 */
import { type Codec, decode, encode } from "./codec.js";
import type { Duration } from "./duration.js";
import type { Entry, Operation } from "./entry.js";
import type { ShizukuError } from "./errors.js";
import { object } from "./given.js";
import { Live } from "./live.js";
import { LiveMap } from "./live_map.js";
import { tell } from "./listeners.js";
import type { Lock, LockOptions } from "./lock.js";
import type {
  DeleteOptions,
  GetOptions,
  PurgeOptions,
  PutOptions,
  Store,
  StoreStatus,
  WatchOptions,
} from "./store.js";
import { toError } from "./thrown.js";
import type { Watch } from "./watch.js";

/** A value with its revision. */
export interface TypedEntry<T> {
  readonly bucket: string;
  readonly key: string;
  readonly value: T;
  readonly revision: number;
  readonly created: Date;
}

/** A change, as delivered by a typed watch: there is a value if `operation` is `"PUT"`. */
export type TypedChange<T> = {
  readonly bucket: string;
  readonly key: string;
  readonly revision: number;
  readonly created: Date;
  /** Whether this came after the watch's initial values. */
  readonly isUpdate: boolean;
} & (
  | { readonly operation: "PUT"; readonly value: T }
  | { readonly operation: Exclude<Operation, "PUT">; readonly value: undefined }
);

/** Options for watching typed values. */
export interface TypedWatchOptions extends Omit<WatchOptions, "headers_only"> {
  /**
   * Called for values that cannot be decoded, and the watch continues; without it, they end the watch. Whatever
   * it throws is reported as an uncaught error.
   */
  readonly onInvalid?: ((error: ShizukuError) => void) | undefined;
}

/**
 * A view of a bucket with values of one type. Made by {@link Store.typed}.
 *
 * ```ts
 * import { z } from "zod";
 *
 * const limits = store.typed(z.object({ max: z.number(), note: z.string().default("none") }));
 * await limits.put("app.limits", { max: 5 });
 * await limits.updateWith("app.limits", (now) => ({ max: (now?.max ?? 0) + 1 }));
 * const entry = await limits.get("app.limits");
 * console.log(entry?.value.max, entry?.value.note, entry?.revision); // 6 none 2
 * ```
 *
 * @typeParam T - the type of values read.
 * @typeParam In - the type of values written, if different.
 */
export class TypedStore<T, In = T> {
  readonly #store: Store;
  readonly #codec: Codec<T, In>;

  /** @internal */
  constructor(store: Store, codec: Codec<T, In>) {
    this.#store = store;
    this.#codec = codec;
  }

  get bucket(): string {
    return this.#store.bucket;
  }

  /**
   * The value of a key with its revision; `null` if it has none.
   *
   * @throws {@link ValidationError} or {@link DecodeError} if it is not of this type.
   */
  async get(key: string, options: GetOptions = {}): Promise<TypedEntry<T> | null> {
    const entry = await this.#store.get(key, options);
    return entry === null || entry.removed ? null : this.#typed(entry);
  }

  /** The values of many keys or filters in one request. Keys without a value are omitted. */
  async getMany(keys: string | readonly string[]): Promise<TypedEntry<T>[]> {
    const entries = await this.#store.getMany(keys);
    return Promise.all(entries.map((entry) => this.#typed(entry)));
  }

  /** Writes a value and returns its revision. */
  async put(key: string, value: In, options: PutOptions = {}): Promise<number> {
    return this.#store.put(key, await encode(this.#codec, key, value), options);
  }

  /** Writes a value if the key has none. */
  async create(
    key: string,
    value: In,
    options: Duration | Pick<PutOptions, "ttl"> = {},
  ): Promise<number> {
    return this.#store.create(key, await encode(this.#codec, key, value), options);
  }

  /** Writes a value if `revision` is the key's latest. */
  async update(
    key: string,
    value: In,
    revision: number,
    options: Pick<PutOptions, "ttl"> = {},
  ): Promise<number> {
    return this.#store.update(key, await encode(this.#codec, key, value), revision, options);
  }

  /**
   * Computes a new value from the current one, retrying if another write came in between. Return `undefined` to
   * leave the key as it is. See {@link Store.updateWith}.
   */
  async updateWith(
    key: string,
    change: (current: T | undefined) => In | undefined | Promise<In | undefined>,
  ): Promise<number | undefined> {
    return this.#store.updateWith(key, async (entry) => {
      const current = entry === null ? undefined : await decode(this.#codec, entry);
      const value = await change(current);
      return value === undefined ? undefined : encode(this.#codec, key, value);
    });
  }

  /** Deletes a key but keeps its history. */
  delete(key: string, options: DeleteOptions = {}): Promise<number> {
    return this.#store.delete(key, options);
  }

  /** Deletes a key and its history. */
  purge(key: string, options: PurgeOptions = {}): Promise<number> {
    return this.#store.purge(key, options);
  }

  /** The keys that have a value, valid or not, in no particular order. */
  keys(filter: string | readonly string[] = ">"): Promise<Watch<string>> {
    return this.#store.keys(filter);
  }

  /** All kept revisions, oldest first, removals included. */
  async history(options: Pick<TypedWatchOptions, "key" | "onInvalid"> = {}): Promise<Watch<TypedChange<T>>> {
    return this.#store.historyAs(options, this.#changes(options));
  }

  /** Watches keys: `for await (const change of await settings.watch({ key: "app.>" }))`. */
  async watch(options: TypedWatchOptions = {}): Promise<Watch<TypedChange<T>>> {
    return this.#store.watchAs(options, this.#changes(options));
  }

  /** The live value of a key. */
  live(key: string): Live<T> {
    return new Live(this.#store.feedOf(key), key, this.#codec);
  }

  /** The live values of all keys that match a filter. */
  liveMap(filter = ">"): LiveMap<T> {
    return new LiveMap(this.#store.feed(filter), filter, this.#codec);
  }

  /** A lock shared by all clients of this bucket: see {@link Store.lock}. */
  lock(name: string, options: LockOptions = {}): Lock {
    return this.#store.lock(name, options);
  }

  /** The bucket's settings and state. */
  status(): Promise<StoreStatus> {
    return this.#store.status();
  }

  /** A function that converts entries to changes. */
  #changes(options: TypedWatchOptions): (entry: Entry) => Promise<TypedChange<T> | undefined> {
    const { onInvalid } = object(options);
    return async (entry) => {
      const { bucket, key, revision, created, operation, isUpdate } = entry;
      const change = { bucket, key, revision, created, isUpdate };
      if (operation !== "PUT") return { ...change, operation, value: undefined };
      try {
        return { ...change, operation, value: await decode(this.#codec, entry) };
      } catch (error) {
        if (onInvalid === undefined) throw error;
        tell([onInvalid], toError(error));
        return undefined;
      }
    };
  }

  async #typed(entry: Entry): Promise<TypedEntry<T>> {
    const { bucket, key, revision, created } = entry;
    return { bucket, key, revision, created, value: await decode(this.#codec, entry) };
  }
}
