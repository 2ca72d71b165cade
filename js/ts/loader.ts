/**
 * Loads and instantiates the WebAssembly code, once, on first use.
 *
 * @module
 */
import { WasmError } from "./errors.js";
import type { WasmModule, WasmSource } from "./platform.js";
import type { Engine, Glue } from "./raw.js";
import { messageOf } from "./thrown.js";
import { unfold } from "./unfold.js";

/** Loads the code on the first call; later calls share the same promise. */
export class Loader {
  #started: Promise<Engine> | undefined;
  #source: WasmSource | undefined;
  readonly #glue: Glue;
  readonly #compile: () => Promise<WasmModule>;

  constructor(glue: Glue, compile: () => Promise<WasmModule>) {
    this.#glue = glue;
    this.#compile = compile;
  }

  /** A failed load can be retried; loading again from another source is rejected. */
  async start(source?: WasmSource): Promise<Engine> {
    if (this.#started === undefined) {
      this.#source = source;
      this.#started = this.#start(source);
      this.#started.catch(() => {
        this.#started = undefined;
      });
    } else if (source !== undefined && source !== this.#source) {
      throw new WasmError("WebAssembly is already loaded: call init once, before connect");
    }
    return this.#started;
  }

  async #start(source: WasmSource | undefined): Promise<Engine> {
    completeNode();
    try {
      const module = await (source === undefined ? this.#compile() : compile(source));
      this.#glue.initSync({ module });
    } catch (error) {
      if (error instanceof WasmError) throw error;
      throw new WasmError(`cannot load WebAssembly: ${messageOf(error)}`, { cause: error });
    }
    // The generated types are loose; this is the only place that casts them.
    return this.#glue as unknown as Engine;
  }
}

/** Compiles a source, fetching it if it is a URL. */
export async function compile(source: WasmSource): Promise<WasmModule> {
  if (source instanceof WebAssembly.Module) return source;
  if (typeof source === "string" || source instanceof URL) {
    const response = await fetch(source).catch((cause: unknown) => {
      throw new WasmError(`cannot fetch WebAssembly from ${String(source)}`, { cause });
    });
    return compileResponse(response);
  }
  if (source instanceof Response) return compileResponse(source);
  return WebAssembly.compile(source as BufferSource);
}

async function compileResponse(response: Response): Promise<WasmModule> {
  if (!response.ok) {
    const status = `${response.status} ${response.statusText}`.trim();
    throw new WasmError(`cannot fetch WebAssembly from ${response.url}: ${status}`);
  }
  // Streaming compilation needs the right MIME type, which not every server sends.
  if (response.headers.get("content-type")?.startsWith("application/wasm") === true) {
    return WebAssembly.compileStreaming(response);
  }
  return WebAssembly.compile(await response.arrayBuffer());
}

/** Compiles the embedded code: folded, gzipped, then base64-encoded. */
export async function compileEmbedded(text: string): Promise<WasmModule> {
  const zipped = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([zipped]).stream().pipeThrough(new DecompressionStream("gzip"));
  return WebAssembly.compile(unfold(new Uint8Array(await new Response(stream).arrayBuffer())));
}

/**
 * Node before 23 has WebSocket but not CloseEvent, which gloo-net constructs when a socket is dropped;
 * without it, the socket would later call into freed memory.
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
