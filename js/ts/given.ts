/**
 * What callers give: JavaScript gives anything, and WebAssembly would make something else of it.
 *
 * @module
 */
import { AbortedError, InvalidKeyError, InvalidOptionError } from "./errors.js";

/** The error for an option that is not what it must be. */
export function invalid(option: string, value: unknown, wanted: string): InvalidOptionError {
  const given = typeof value === "string" ? `"${value}"` : String(value);
  return new InvalidOptionError(`invalid ${option}: ${given} is no ${wanted}`, { option });
}

/** A key or name. */
export function named(name: unknown): string {
  if (typeof name === "string") return name;
  const what = name === null ? "null" : typeof name;
  throw new InvalidKeyError(`a key or name must be a string, not ${what}`, { key: String(name) });
}

/** A revision: what is below 0 means something else to the bindings. */
export function whole(option: string, revision: number): number {
  if (Number.isSafeInteger(revision) && revision >= 0) return revision;
  throw invalid(option, revision, "revision");
}

/** Whether something is wanted; not, where it is not given. */
export function flag(option: string, value: boolean | undefined): boolean {
  const given: unknown = value ?? false;
  if (typeof given === "boolean") return given;
  throw invalid(option, given, "boolean");
}

/** A signal that has not ended yet; `condition && signal` may be none. */
export function check(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (!signal) return undefined;
  if (typeof signal.addEventListener !== "function") throw invalid("signal", signal, "AbortSignal");
  if (signal.aborted) throw new AbortedError(signal);
  return signal;
}
