/**
 * The bindings, as this package sees them: what `src/` exports.
 *
 * @module
 */

/** A connection. */
export interface RawClient {
  create(name: string, options: object, update: boolean): Promise<RawStore>;
  open(name: string): Promise<RawStore>;
  destroy(name: string): Promise<void>;
  names(): Promise<string[]>;
  state(): [state: ConnectionState, epoch: number, reason: string | undefined];
  changed(): Promise<boolean>;
  close(): Promise<void>;
}

/** Whether there is a connection. */
export type ConnectionState = "connected" | "disconnected" | "closed";

/** A bucket. `expect` is a revision, or one of {@link Expect}. */
export interface RawStore {
  bucket(): string;
  get(
    key: string,
    revision: number | undefined,
    leader: boolean,
  ): Promise<Uint8Array | undefined>;
  getMany(keys: string[]): Promise<Uint8Array>;
  put(key: string, value: Uint8Array, expect: number, ttl: number): Promise<number>;
  remove(key: string, purge: boolean, expect: number, ttl: number): Promise<number>;
  watch(
    filters: string[],
    deliver: number,
    ignoreRemovals: boolean,
    metadataOnly: boolean,
    once: boolean,
  ): Promise<RawWatch>;
  purgeDeletes(olderThan: number): Promise<number>;
  status(): Promise<RawStatus>;
  /** Missing where the locks were left out, as is `holders`. */
  acquire?(
    name: string,
    write: boolean,
    onlyTry: boolean,
    options: object,
    cancelled: Promise<void> | undefined,
  ): Promise<RawGuard | undefined>;
  holders?(name: string): RawHolders;
}

/** A held lock. */
export interface RawGuard {
  token(): number;
  isHeld(): boolean;
  /** What {@link toError} takes, once it is lost; `undefined` once it is released. */
  lost(): Promise<unknown>;
  release(): Promise<boolean>;
}

/** Who holds and who waits, as it changes. */
export interface RawHolders {
  next(): Promise<RawHolder[] | undefined>;
  close(): void;
}

/** Somebody who holds a lock or waits for it. */
export interface RawHolder {
  id: string;
  mode: "read" | "write" | "permit" | "unknown";
  token: number;
  holds: boolean;
  since: number;
  lease: number;
  label: string | undefined;
}

/** A bucket's settings and state. */
export interface RawStatus {
  bucket: string;
  values: number;
  keys: number;
  size: number;
  lastRevision: number;
  created: number;
  description: string;
  history: number;
  ttl: number;
  markerTTL: number;
  maxValueSize: number | undefined;
  max_bytes: number | undefined;
  replicas: number;
  storage: "file" | "memory";
  compression: boolean;
  metadata: Record<string, string>;
}

/** A watch or listing, batch by batch. */
export interface RawWatch {
  next(): Promise<Uint8Array | undefined>;
  close(): void;
}

/** What a write is conditional on where it is no revision. */
export const Expect = { any: -1, absent: -2 } as const;

/** What a watch begins with where it is no revision. */
export const Deliver = { latest: -1, history: -2, updates: -3 } as const;

/** The functions of the bindings. */
export interface Engine {
  connect(
    url: string,
    options: object,
    credentials: (() => unknown) | undefined,
  ): Promise<RawClient>;
}

/** What `wasm-bindgen` generates. */
export interface Glue {
  initSync(source: { module: WebAssembly.Module }): unknown;
  connect(url: string, options: unknown, credentials?: never): Promise<unknown>;
}
