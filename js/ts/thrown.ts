/**
 * Maps thrown values to error classes.
 *
 * @module
 */
import {
  BucketError,
  ClosedError,
  ConflictError,
  ConnectError,
  ConnectionError,
  type ErrorCode,
  type ErrorFields,
  InvalidKeyError,
  InvalidOptionError,
  OutcomeUnknownError,
  ServerError,
  ShizukuError,
  TooLargeError,
  UnsupportedError,
} from "./errors.js";
import { LockLostError, LockTimeoutError } from "./lock_errors.js";

/** The message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Converts what the bindings throw (`[code, message, fields]`) to the matching class. */
export function toError(thrown: unknown): ShizukuError {
  if (thrown instanceof ShizukuError) return thrown;
  if (!Array.isArray(thrown)) return new ShizukuError("internal", messageOf(thrown), { cause: thrown });
  const [code, message, fields] = thrown as [ErrorCode, string, ErrorFields];
  switch (code) {
    case "invalid_key":
      return new InvalidKeyError(message, fields);
    case "invalid_option":
      return new InvalidOptionError(message, fields);
    case "conflict":
      return new ConflictError(message, fields);
    case "too_large":
      return new TooLargeError(message, fields);
    case "outcome_unknown":
      return new OutcomeUnknownError(message, fields);
    case "bucket_not_found":
    case "bucket_mismatch":
      return new BucketError(code, message, fields);
    case "lock_lost":
      return new LockLostError(message, fields);
    case "lock_timeout":
      return new LockTimeoutError(message, fields);
    case "invalid_url":
    case "authentication":
    case "unreachable":
      return new ConnectError(code, message);
    case "disconnected":
    case "timeout":
      return new ConnectionError(code, message);
    case "closed":
      return new ClosedError(message);
    case "refused":
    case "permission_denied":
    case "jetstream_unavailable":
      return new ServerError(code, message, fields);
    case "unsupported":
      // The advice in the message uses Rust names.
      return new UnsupportedError(
        message.replace("limit_markers", "markerTTL").replace("update_bucket", "create` and `update: true"),
        fields,
      );
    default:
      return new ShizukuError(code, message);
  }
}

/** Awaits a call to the bindings. */
export async function call<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toError(error);
  }
}
