/**
 * The error classes. Everything this package rejects with is a {@link ShizukuError} with a `code` that is
 * stable across versions; the subclasses carry the details.
 *
 * @module
 */
import type { AbortSignal } from "./platform.js";

/** Stable error codes. */
export type ErrorCode =
  | "aborted"
  | "authentication"
  | "bucket_mismatch"
  | "bucket_not_found"
  | "closed"
  | "conflict"
  | "decode"
  | "disconnected"
  | "encode"
  | "internal"
  | "invalid_key"
  | "invalid_option"
  | "invalid_url"
  | "invalid_value"
  | "jetstream_unavailable"
  | "lock_lost"
  | "lock_timeout"
  | "outcome_unknown"
  | "permission_denied"
  | "refused"
  | "timeout"
  | "too_large"
  | "unreachable"
  | "unsupported"
  | "wasm";

/** Details of an error beyond its code and message. */
export type ErrorFields = Readonly<Record<string, unknown>>;

/** The cause of an error. Declared here because an app may compile without `lib: es2022`. */
export interface Cause {
  readonly cause?: unknown;
}

/** @internal */
export const text = (value: unknown): string => (typeof value === "string" ? value : "");
/** @internal */
export const count = (value: unknown): number => (typeof value === "number" ? value : 0);

/**
 * The base class of everything this package throws or rejects with.
 *
 * ```ts
 * try {
 *   await client.open("settings");
 * } catch (error) {
 *   if (!(error instanceof ShizukuError)) throw error;
 *   console.log(error.code, error.retryable); // bucket_not_found false
 * }
 * ```
 */
export class ShizukuError extends Error {
  /** What went wrong, in machine-readable form. */
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: Cause) {
    super(message, options);
    // A literal, because class names are minified in the shipped code.
    this.name = "ShizukuError";
    this.code = code;
  }

  /** Whether the same call may succeed if repeated later, with nothing else changed. */
  get retryable(): boolean {
    return this.code === "timeout" || this.code === "disconnected" || this.code === "unreachable";
  }
}

/**
 * An invalid key, filter or bucket name. Nothing was sent.
 *
 * ```ts
 * const error: unknown = await store.put("user.ann@example.com", "").catch((error) => error);
 * if (error instanceof InvalidKeyError) console.log(error.key); // user.ann@example.com
 * ```
 */
export class InvalidKeyError extends ShizukuError {
  declare readonly code: "invalid_key";
  /** The name as passed in. */
  readonly key: string;

  constructor(message: string, fields: ErrorFields = {}) {
    super("invalid_key", message);
    this.name = "InvalidKeyError";
    this.key = text(fields["key"]);
  }
}

/**
 * An option of the wrong type or out of range. Nothing was sent.
 *
 * ```ts
 * const error: unknown = await store.put("session", "", { ttl: "1.5s" }).catch((error) => error);
 * if (error instanceof InvalidOptionError) console.log(error.option); // ttl
 * ```
 */
export class InvalidOptionError extends ShizukuError {
  declare readonly code: "invalid_option";
  /** The option's name, such as `"ttl"`. */
  readonly option: string;

  constructor(message: string, fields: ErrorFields = {}) {
    super("invalid_option", message);
    this.name = "InvalidOptionError";
    this.option = text(fields["option"]);
  }
}

/**
 * Another writer was first: the key is not at the revision that a conditional write expected.
 *
 * ```ts
 * const read = await store.put("color", "blue");
 * await store.put("color", "green"); // somebody else
 * const error: unknown = await store.update("color", "red", read).catch((error) => error);
 * if (error instanceof ConflictError) console.log(error.expected, error.actual); // 1 2
 * ```
 */
export class ConflictError extends ShizukuError {
  declare readonly code: "conflict";
  readonly key: string;
  /** The expected revision; 0 for no value. */
  readonly expected: number;
  /** The key's latest revision, if the server reports it. */
  readonly actual: number | undefined;

  constructor(message: string, fields: ErrorFields = {}) {
    super("conflict", message);
    this.name = "ConflictError";
    this.key = text(fields["key"]);
    this.expected = count(fields["expected"]);
    this.actual = fields["actual"] as number | undefined;
  }
}

/**
 * The message exceeds the limit of the server or the bucket. Nothing was written.
 *
 * ```ts
 * const picture = new Uint8Array(2_000_000);
 * const error: unknown = await store.put("picture", picture).catch((error) => error);
 * if (error instanceof TooLargeError) console.log(error.key, error.limit); // picture 1048576
 * ```
 */
export class TooLargeError extends ShizukuError {
  declare readonly code: "too_large";
  readonly key: string;
  /** Size of value and headers in bytes. */
  readonly size: number;
  /** The limit in bytes, if the server reports it. */
  readonly limit: number | undefined;

  constructor(message: string, fields: ErrorFields = {}) {
    super("too_large", message);
    this.name = "TooLargeError";
    this.key = text(fields["key"]);
    this.size = count(fields["size"]);
    this.limit = fields["limit"] as number | undefined;
  }
}

/**
 * A write was sent but not acknowledged: it may or may not have been applied, and may still be. It is never
 * resent automatically. Read the key to find out.
 *
 * ```ts
 * try {
 *   await store.put("order.7", "paid");
 * } catch (error) {
 *   if (!(error instanceof OutcomeUnknownError)) throw error;
 *   const now = await store.get(error.key, { leader: true });
 *   if (now?.string() !== "paid") throw error;
 * }
 * ```
 */
export class OutcomeUnknownError extends ShizukuError {
  declare readonly code: "outcome_unknown";
  readonly key: string;

  constructor(message: string, fields: ErrorFields = {}) {
    super("outcome_unknown", message);
    this.name = "OutcomeUnknownError";
    this.key = text(fields["key"]);
  }
}

/**
 * The bucket does not exist, or exists with different settings.
 *
 * ```ts
 * await client.create("settings");
 * const error: unknown = await client.create("settings", { history: 5 }).catch((error) => error);
 * if (error instanceof BucketError) console.log(error.code, error.settings); // bucket_mismatch history
 * ```
 */
export class BucketError extends ShizukuError {
  declare readonly code: "bucket_not_found" | "bucket_mismatch";
  readonly bucket: string;
  /** The settings that differ in the existing bucket, named as in {@link StoreOptions}. */
  readonly settings: readonly string[];

  constructor(code: "bucket_not_found" | "bucket_mismatch", message: string, fields: ErrorFields) {
    super(code, message);
    this.name = "BucketError";
    this.bucket = text(fields["bucket"]);
    const settings = fields["settings"];
    this.settings = Array.isArray(settings) ? settings.map(text) : [];
  }
}

/**
 * Connecting failed. If an `authenticator` threw, its error is the `cause`.
 *
 * ```ts
 * const error: unknown = await connect("http://nats.example.com").catch((error) => error);
 * if (error instanceof ConnectError) console.log(error.code); // invalid_url
 * ```
 */
export class ConnectError extends ShizukuError {
  declare readonly code: "invalid_url" | "authentication" | "unreachable";

  constructor(code: ConnectError["code"], message: string, options?: Cause) {
    super(code, message, options);
    this.name = "ConnectError";
  }
}

/**
 * The connection was lost, or the request timed out. A read can simply be retried.
 *
 * ```ts
 * const color = await store.get("color").catch((error) => {
 *   if (error instanceof ConnectionError) return store.get("color");
 *   throw error;
 * });
 * ```
 */
export class ConnectionError extends ShizukuError {
  declare readonly code: "disconnected" | "timeout";

  constructor(code: "disconnected" | "timeout", message: string) {
    super(code, message);
    this.name = "ConnectionError";
  }
}

/**
 * The client, or the object the call was made on, is closed.
 *
 * ```ts
 * const color = store.live("color");
 * await color.ready;
 * await client.close(); // and later the page reads once more
 * const error: unknown = await store.get("color").catch((error) => error);
 * console.log(error instanceof ClosedError, color.status); // true ended
 * ```
 */
export class ClosedError extends ShizukuError {
  declare readonly code: "closed";

  constructor(message = "the client is closed") {
    super("closed", message);
    this.name = "ClosedError";
  }
}

/**
 * The server rejected the request.
 *
 * ```ts
 * const error: unknown = await client.create("copies", { replicas: 3 }).catch((error) => error);
 * // A single server cannot hold three replicas.
 * if (error instanceof ServerError) console.log(error.code, error.apiCode); // refused 10074
 * ```
 */
export class ServerError extends ShizukuError {
  declare readonly code: "refused" | "permission_denied" | "jetstream_unavailable";
  /** The HTTP-like status of a `"refused"` request. */
  readonly status: number | undefined;
  /** The JetStream API error code, if JetStream refused. */
  readonly apiCode: number | undefined;
  /** The subject (or a description of it) that the user may not publish or subscribe to. */
  readonly subject: string | undefined;
  readonly #retryable: boolean;

  constructor(code: ServerError["code"], message: string, fields: ErrorFields = {}) {
    super(code, message);
    this.name = "ServerError";
    this.status = fields["status"] as number | undefined;
    this.apiCode = fields["apiCode"] as number | undefined;
    this.subject = fields["subject"] as string | undefined;
    this.#retryable = fields["retryable"] === true;
  }

  /** Also true if the server is temporarily out of a resource. */
  override get retryable(): boolean {
    return this.#retryable;
  }
}

/**
 * Not supported by the server, by the bucket's settings or by this entry point of the package.
 *
 * ```ts
 * const plain = await client.create("plain", { markerTTL: 0 });
 * const error: unknown = await plain.put("session", "", { ttl: "5s" }).catch((error) => error);
 * if (error instanceof UnsupportedError) console.log(error.feature); // a time to live per key
 * ```
 */
export class UnsupportedError extends ShizukuError {
  declare readonly code: "unsupported";
  /** The requested feature; `"locks"` for anything to do with locks. */
  readonly feature: string;

  constructor(message: string, fields: ErrorFields) {
    super("unsupported", message);
    this.name = "UnsupportedError";
    this.feature = text(fields["feature"]);
  }
}

/**
 * A stored value that could not be decoded: not JSON, or rejected by a codec.
 *
 * ```ts
 * await store.put("limits", "five");
 * const error: unknown = await store.typed<number>().get("limits").catch((error) => error);
 * if (error instanceof DecodeError) console.log(error.key, error.revision); // limits 1
 * ```
 */
export class DecodeError extends ShizukuError {
  declare readonly code: "decode";
  readonly key: string;
  readonly revision: number;

  constructor(message: string, key: string, revision: number, options?: Cause) {
    super("decode", message, options);
    this.name = "DecodeError";
    this.key = key;
    this.revision = revision;
  }
}

/**
 * A value that cannot be encoded as a string, bytes or JSON. Nothing was sent.
 *
 * ```ts
 * const error: unknown = await store.typed<bigint>().put("limits", 5n).catch((error) => error);
 * if (error instanceof EncodeError) console.log(error.key); // limits
 * ```
 */
export class EncodeError extends ShizukuError {
  declare readonly code: "encode";
  readonly key: string;

  constructor(message: string, key: string, options?: Cause) {
    super("encode", message, options);
    this.name = "EncodeError";
    this.key = key;
  }
}

/** A validation issue, as defined by Standard Schema. */
export interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/**
 * A value rejected by a validator, when reading or before writing.
 *
 * ```ts
 * import { z } from "zod";
 *
 * const limits = store.typed(z.object({ max: z.number() }));
 * await store.put("limits", '{"max":"five"}'); // from another program
 * const error: unknown = await limits.get("limits").catch((error) => error);
 * if (error instanceof ValidationError) console.log(error.revision, error.issues[0]?.path); // 1 max
 * ```
 */
export class ValidationError extends ShizukuError {
  declare readonly code: "invalid_value";
  readonly key: string;
  /** The revision that was read; `undefined` for a value about to be written. */
  readonly revision: number | undefined;
  readonly issues: readonly Issue[];

  constructor(key: string, revision: number | undefined, issues: readonly Issue[]) {
    const at = (issue: Issue): string => {
      const names = (issue.path ?? []).map((part) =>
        String(typeof part === "object" ? part.key : part),
      );
      return names.length > 0 ? `${names.join(".")}: ${issue.message}` : issue.message;
    };
    const what = revision === undefined ? "the new value" : `revision ${revision}`;
    super("invalid_value", `${what} of key ${key} is invalid: ${issues.map(at).join("; ")}`);
    this.name = "ValidationError";
    this.key = key;
    this.revision = revision;
    this.issues = issues;
  }
}

/**
 * An `AbortSignal` was aborted; its reason is the `cause`. A watch rejects with this only if the signal was
 * aborted before it started; later, aborting ends the loop without an error.
 *
 * ```ts
 * await using guard = await store.lock("invoices").write();
 * const signal = AbortSignal.timeout(100);
 * const error: unknown = await store.lock("invoices").write({ signal }).catch((error) => error);
 * console.log(error instanceof AbortedError, signal.reason.name); // true TimeoutError
 * ```
 */
export class AbortedError extends ShizukuError {
  declare readonly code: "aborted";

  constructor(signal: AbortSignal) {
    super("aborted", "the operation was aborted", { cause: signal.reason });
    this.name = "AbortedError";
  }
}

/**
 * The WebAssembly module could not be loaded, or has already been loaded from another source.
 *
 * ```ts
 * await init(); // the embedded module
 * const error: unknown = await init("/assets/shizuku.wasm").catch((error) => error);
 * console.log(error instanceof WasmError); // true
 * ```
 */
export class WasmError extends ShizukuError {
  declare readonly code: "wasm";

  constructor(message: string, options?: Cause) {
    super("wasm", message, options);
    this.name = "WasmError";
  }
}
