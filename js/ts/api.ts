/**
 * The exports common to all entry points.
 *
 * @module
 */
export { Client, type ConnectionEvent, type ConnectOptions, type Credentials, type StoreOptions } from "./client.js";
export { type Codec, type StandardResult, type StandardSchema, text } from "./codec.js";
export type { Duration } from "./duration.js";
export { Entry, type Operation } from "./entry.js";
export {
  AbortedError,
  BucketError,
  ClosedError,
  ConflictError,
  ConnectError,
  ConnectionError,
  DecodeError,
  EncodeError,
  type ErrorCode,
  InvalidKeyError,
  InvalidOptionError,
  type Issue,
  OutcomeUnknownError,
  ServerError,
  ShizukuError,
  TooLargeError,
  UnsupportedError,
  ValidationError,
  WasmError,
} from "./errors.js";
export { LockLostError, type LockLostReason, LockTimeoutError } from "./lock_errors.js";
export { Kvm } from "./kvm.js";
export { Following, type LiveStatus } from "./following.js";
export { Live } from "./live.js";
export { LiveMap } from "./live_map.js";
export { Guard, type Holder, Lock, type LockOptions } from "./lock.js";
export type { WasmSource } from "./platform.js";
export type { ConnectionState } from "./raw.js";
export {
  type DeleteOptions,
  type GetOptions,
  KvWatchInclude,
  type Payload,
  type PurgeOptions,
  type PutOptions,
  Store,
  type StoreStatus,
  type WatchOptions,
} from "./store.js";
export { type TypedChange, type TypedEntry, TypedStore, type TypedWatchOptions } from "./typed.js";
export { Watch, type WatchHooks } from "./watch.js";
