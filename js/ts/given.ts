/**
 * Checks of arguments: JavaScript callers may pass anything, and wasm-bindgen would coerce it silently.
 *
 * @module
 */
import { AbortedError, InvalidKeyError, InvalidOptionError } from "./errors.js";
import type { AbortSignal } from "./platform.js";

/** The error for an invalid option. */
export function invalid(option: string, value: unknown, wanted: string): InvalidOptionError {
  const given = typeof value === "string" ? `"${value}"` : String(value);
  return new InvalidOptionError(`invalid ${option}: expected ${wanted}, got ${given}`, { option });
}

/** Checks an options object, a schema or a codec. Functions pass, as some schemas are. */
export function object<T extends object>(value: T, option = "options"): T {
  if (Object(value) === value) return value;
  throw invalid(option, value, "an object");
}

/** Checks a key or name. */
export function named(name: unknown): string {
  if (typeof name === "string") return name;
  throw new InvalidKeyError(`a key or name must be a string, not ${kind(name)}`, { key: String(name) });
}

/** The type of a value, for messages. */
export function kind(value: unknown): string {
  return value === null ? "null" : typeof value;
}

/** Checks a revision: negative numbers have other meanings in the bindings. */
export function whole(option: string, revision: number): number {
  if (Number.isSafeInteger(revision) && revision >= 0) return revision;
  throw invalid(option, revision, "a revision");
}

/** Checks a boolean; false by default. */
export function flag(option: string, value: boolean | undefined): boolean {
  const given: unknown = value ?? false;
  if (typeof given === "boolean") return given;
  throw invalid(option, given, "a boolean");
}

/** Checks a signal: rejects one that is already aborted; anything falsy, as from `condition && signal`, is none. */
export function check(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (!signal) return undefined;
  if (typeof signal.addEventListener !== "function") throw invalid("signal", signal, "an AbortSignal");
  if (signal.aborted) throw new AbortedError(signal);
  return signal;
}
