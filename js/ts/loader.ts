/**
 * Loads and starts the WebAssembly code, once, when it is first needed.
 *
 * @module
 */
import { WasmError } from "./errors.js";
import type { Engine, Glue } from "./raw.js";
import { unfold } from "./unfold.js";

/** Where the WebAssembly code comes from. */
export type WasmSource = WebAssembly.Module | BufferSource | Response | URL | string;

/** Starts the code at the first call; later calls wait for the same start. */
export class Loader {
  #started: Promise<Engine> | undefined;
  #source: WasmSource | undefined;
  readonly #glue: Glue;
  readonly #compile: () => Promise<WebAssembly.Module>;

  constructor(glue: Glue, compile: () => Promise<WebAssembly.Module>) {
    this.#glue = glue;
    this.#compile = compile;
  }

  /** A failed start may be tried again; a second start from another source is refused. */
  start(source?: WasmSource): Promise<Engine> {
    if (this.#started !== undefined) {
      if (source === undefined || source === this.#source) return this.#started;
      return Promise.reject(
        new WasmError("the code is already loaded: call init once, before connect"),
      );
    }
    this.#source = source;
    this.#started = this.#start(source);
    this.#started.catch(() => {
      this.#started = undefined;
    });
    return this.#started;
  }

  async #start(source: WasmSource | undefined): Promise<Engine> {
    completeNode();
    try {
      const module = await (source === undefined ? this.#compile() : compile(source));
      this.#glue.initSync({ module });
    } catch (error) {
      if (error instanceof WasmError) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new WasmError(`the WebAssembly code does not load: ${why}`, { cause: error });
    }
    // The generated types say `any`, and this is the one place that knows better.
    return this.#glue as unknown as Engine;
  }
}

/** Compiles what was given, fetching it where it is an address. */
export async function compile(source: WasmSource): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source;
  if (typeof source === "string" || source instanceof URL) {
    const response = await fetch(source).catch((cause: unknown) => {
      throw new WasmError(`cannot fetch the WebAssembly code from ${String(source)}`, { cause });
    });
    return compileResponse(response);
  }
  if (source instanceof Response) return compileResponse(source);
  return WebAssembly.compile(source);
}

async function compileResponse(response: Response): Promise<WebAssembly.Module> {
  if (!response.ok) {
    const status = `${response.status} ${response.statusText}`.trim();
    throw new WasmError(`cannot fetch the WebAssembly code from ${response.url}: ${status}`);
  }
  // Compiling while it loads works only with the right type; any server will do without.
  if (response.headers.get("content-type")?.startsWith("application/wasm") === true) {
    return WebAssembly.compileStreaming(response);
  }
  return WebAssembly.compile(await response.arrayBuffer());
}

/** Compiles code that is embedded as text: folded, then gzip, then base64. */
export async function compileEmbedded(text: string): Promise<WebAssembly.Module> {
  const zipped = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([zipped]).stream().pipeThrough(new DecompressionStream("gzip"));
  return WebAssembly.compile(unfold(new Uint8Array(await new Response(stream).arrayBuffer())));
}

/**
 * Node before 23 has a WebSocket and lacks the class of its close event, which gloo-net makes one
 * of when a socket is dropped; without it the socket would call into freed memory later.
 */
function completeNode(): void {
  const scope = globalThis as { CloseEvent?: unknown; WebSocket?: unknown };
  if (scope.CloseEvent !== undefined || scope.WebSocket === undefined) return;
  scope.CloseEvent = class CloseEvent extends Event {
    readonly code: number;
    readonly reason: string;
    readonly wasClean = true;

    constructor(type: string, init: { readonly code?: number; readonly reason?: string } = {}) {
      super(type);
      this.code = init.code ?? 0;
      this.reason = init.reason ?? "";
    }
  };
}
