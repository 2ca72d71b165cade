// What wasm-pack and scripts/build.mjs make; they are there only after a build.

declare module "#full" {
  export function initSync(source: { module: WebAssembly.Module }): unknown;
  export function connect(url: string, options: unknown, credentials?: never): Promise<unknown>;
}

declare module "#core" {
  export function initSync(source: { module: WebAssembly.Module }): unknown;
  export function connect(url: string, options: unknown, credentials?: never): Promise<unknown>;
}

declare module "#full-code" {
  const code: string;
  export default code;
}

declare module "#core-code" {
  const code: string;
  export default code;
}
