/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The symbols of `using` and `await using`, with the fallback names that compilers use if the engine does not
 * have them yet.
 *
 * @module
 */
export const dispose: typeof Symbol.dispose =
  (Symbol as { readonly dispose?: typeof Symbol.dispose }).dispose ??
  (Symbol.for("Symbol.dispose") as typeof Symbol.dispose);

export const asyncDispose: typeof Symbol.asyncDispose =
  (Symbol as { readonly asyncDispose?: typeof Symbol.asyncDispose }).asyncDispose ??
  (Symbol.for("Symbol.asyncDispose") as typeof Symbol.asyncDispose);
