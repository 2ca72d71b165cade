/**
 * Types of the bindings that `src/` exports.
 *
 * @module
 */
import type { WasmModule } from "./platform.js";

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

/** The state of a connection. */
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
  /** Missing in builds without locks, as is `holders`. */
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
  /** Resolves to an argument for {@link toError} when it is lost, to `undefined` when it is released. */
  lost(): Promise<unknown>;
  release(): Promise<boolean>;
}

/** Holders and waiters, as they change. */
export interface RawHolders {
  next(): Promise<RawHolder[] | undefined>;
  close(): void;
}

/** A client that holds a lock or waits for it. */
export interface RawHolder {
  id: string;
  mode: "read" | "write" | "permit" | "unknown";
  token: number | undefined;
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

/** Preconditions of a write other than a revision. */
export const Expect = { any: -1, absent: -2 } as const;

/** Starting points of a watch other than a revision. */
export const Deliver = { latest: -1, history: -2, updates: -3 } as const;

/** The functions of the bindings. */
export interface Engine {
  connect(
    url: string,
    options: object,
    credentials: (() => unknown) | undefined,
  ): Promise<RawClient>;
}

/** The module that `wasm-bindgen` generates. */
export interface Glue {
  initSync(source: { module: WasmModule }): unknown;
  connect(url: string, options: unknown, credentials?: never): Promise<unknown>;
}
