/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The symbols of `using` and `await using`, also where the engine does not have them yet: a
 * compiler that supports the syntax looks for these names then.
 *
 * @module
 */
export const dispose: typeof Symbol.dispose =
  (Symbol as { readonly dispose?: typeof Symbol.dispose }).dispose ??
  (Symbol.for("Symbol.dispose") as typeof Symbol.dispose);

export const asyncDispose: typeof Symbol.asyncDispose =
  (Symbol as { readonly asyncDispose?: typeof Symbol.asyncDispose }).asyncDispose ??
  (Symbol.for("Symbol.asyncDispose") as typeof Symbol.asyncDispose);
