/**
 * Types of the platform that TypeScript may not know: an app for Node has them from `@types/node`, some of
 * them only from the library `dom`, and neither is required.
 *
 * @module
 */

/** The type of a global class, or `Fallback` if the app has no declaration of it. */
type Global<Name extends string, Fallback> =
  typeof globalThis extends Readonly<Record<Name, { readonly prototype: infer Class }>> ? Class : Fallback;

export type AbortSignal = Global<
  "AbortSignal",
  {
    readonly aborted: boolean;
    readonly reason: unknown;
    addEventListener(type: "abort", listener: () => void, options?: { readonly once?: boolean }): void;
    removeEventListener(type: "abort", listener: () => void): void;
  }
>;

type Response = Global<"Response", never>;

type URL = Global<"URL", never>;

/** A `WebAssembly.Module`. */
export type WasmModule =
  typeof globalThis extends { readonly WebAssembly: { readonly Module: { readonly prototype: infer Module } } }
    ? Module
    : object;

/** The source of the WebAssembly code. */
export type WasmSource = WasmModule | ArrayBuffer | ArrayBufferView | Response | URL | string;
