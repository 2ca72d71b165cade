/**
 * The error classes of locks.
 *
 * @module
 */
import { count, type ErrorFields, ShizukuError, text } from "./errors.js";

/**
 * How a lock was lost: `"gone"`, its entry expired on the server or was removed; `"refused"`, a renewal was
 * rejected because the entry had been changed; `"lapsed"`, it was not renewed in time because the connection
 * was lost or the page was suspended; `"closed"`, the client was closed, which releases all its locks;
 * `"stopped"`, the renewal task is gone.
 */
export type LockLostReason = "gone" | "refused" | "lapsed" | "closed" | "stopped";

/**
 * A lock was lost before it was released. Another client may have held it since.
 *
 * ```ts
 * await using guard = await store.lock("invoices").write();
 * try {
 *   await charge(customer, { fence: guard.token, signal: guard.signal });
 * } catch (error) {
 *   // Most APIs reject with the signal's abort reason.
 *   if (error instanceof LockLostError) showBanner(`stopped in the middle: ${error.message}`);
 *   else throw error;
 * }
 * ```
 */
export class LockLostError extends ShizukuError {
  declare readonly code: "lock_lost";
  readonly lock: string;
  /** The fencing token of the lost lock. */
  readonly token: number;
  /** How it was lost; the message puts it in words. */
  readonly reason: LockLostReason;

  constructor(message: string, fields: ErrorFields) {
    super("lock_lost", message);
    this.name = "LockLostError";
    this.lock = text(fields["lock"]);
    this.token = count(fields["token"]);
    this.reason = fields["reason"] as LockLostReason;
  }
}

/**
 * A lock was not acquired within its `timeout`.
 *
 * ```ts
 * await using guard = await store.lock("invoices").write();
 * const impatient = store.lock("invoices", { timeout: "100ms" });
 * const error: unknown = await impatient.write().catch((error) => error);
 * if (error instanceof LockTimeoutError) console.log(error.lock); // invoices
 * ```
 */
export class LockTimeoutError extends ShizukuError {
  declare readonly code: "lock_timeout";
  readonly lock: string;

  constructor(message: string, fields: ErrorFields = {}) {
    super("lock_timeout", message);
    this.name = "LockTimeoutError";
    this.lock = text(fields["lock"]);
  }
}
