/**
 * The connection and its buckets.
 *
 * @module
 */
import { asyncDispose } from "./dispose.js";
import { type Duration, millis } from "./duration.js";
import { AbortedError, ConnectError, UnsupportedError } from "./errors.js";
import { check, flag, named, object } from "./given.js";
import { tell } from "./listeners.js";
import type { AbortSignal } from "./platform.js";
import { Pull } from "./pull.js";
import type { ConnectionState, Engine, RawClient, RawStore } from "./raw.js";
import { Store } from "./store.js";
import { call } from "./thrown.js";

/** Credentials; give one kind. */
export interface Credentials {
  readonly user?: string | undefined;
  readonly pass?: string | undefined;
  readonly token?: string | undefined;
  /** The seed of an NKey (`SU…`), alone or with `jwt`. */
  readonly nkey?: string | undefined;
  readonly jwt?: string | undefined;
  /** The text of a `.creds` file. */
  readonly creds?: string | undefined;
}

/** Connection options. */
export interface ConnectOptions extends Credentials {
  /**
   * `wss://host` or `ws://host:port`, or a list of servers of one cluster. The port is that of the server's
   * `websocket` block, also in Node.
   */
  readonly servers?: string | readonly string[] | undefined;
  /** The client's name in the server's monitoring. */
  readonly name?: string | undefined;
  /** Called on every connect and reconnect, for credentials that expire. */
  readonly authenticator?: (() => Credentials | Promise<Credentials>) | undefined;
  /** The time-out of a connect. Default 5 s. */
  readonly timeout?: Duration | undefined;
  /** The time-out of a request. Default 5 s. */
  readonly requestTimeout?: Duration | undefined;
  /** The JetStream domain. */
  readonly domain?: string | undefined;
  readonly apiPrefix?: string | undefined;
  readonly inboxPrefix?: string | undefined;
  /** Uses only the configured servers, not those the cluster announces. */
  readonly ignoreClusterUpdates?: boolean | undefined;
  /**
   * Retries the first connect until it succeeds, the credentials are rejected or `signal` is aborted.
   */
  readonly waitOnFirstConnect?: boolean | undefined;
  /** Aborts the connect. */
  readonly signal?: AbortSignal | undefined;
}

/** Bucket settings. */
export interface StoreOptions {
  /** A human-readable description, at most 4096 bytes. */
  readonly description?: string | undefined;
  /** How many revisions to keep per key, 1 to 64. Default 1. */
  readonly history?: number | undefined;
  /** The maximum age of a revision, at least 100 ms. Default 0: unlimited. */
  readonly ttl?: Duration | undefined;
  /**
   * How long delete markers of expired values are kept: whole seconds, at least one. 0 disables them, and with
   * them per-key TTLs and locks. Default 1 s if the server supports it (2.11 and newer).
   */
  readonly markerTTL?: Duration | undefined;
  /** The maximum size of a value with its headers in bytes, 1 to 2147483647. Default -1: the server's limit. */
  readonly maxValueSize?: number | undefined;
  /** The maximum size of the bucket in bytes, at least 1; a full bucket rejects writes. Default -1: no limit. */
  readonly max_bytes?: number | undefined;
  /** The number of replicas in a cluster, 1 to 5. Default 1. */
  readonly replicas?: number | undefined;
  /** The storage type. Default `"file"`. */
  readonly storage?: "file" | "memory" | undefined;
  /** Compresses data on disk. Default false. */
  readonly compression?: boolean | undefined;
  /** Application metadata. Names that begin with `_nats.` are reserved by the server. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Applies these settings to an existing bucket instead of rejecting if they differ. */
  readonly update?: boolean | undefined;
}

/** Options of `@nats-io/kv` that are not supported; ignoring them would change what is stored, or where. */
const MISSING = ["bindOnly", "codec", "mirror", "placement", "republish", "sources", "streamName"];

/** @internal */
export function known(options: object): void {
  const given = object(options) as Readonly<Record<string, unknown>>;
  const feature = MISSING.find((name) => given[name]) ?? (given["allow_direct"] === false ? "allow_direct" : undefined);
  if (feature !== undefined) throw new UnsupportedError(`${feature} is not supported`, { feature });
}

/** A change of the connection state, named as in `@nats-io/nats-core`. */
export interface ConnectionEvent {
  readonly type: "disconnect" | "reconnect" | "close";
  /** How often the client has connected. */
  readonly epoch: number;
  /** A human-readable reason for the loss or the close, if known. */
  readonly reason?: string | undefined;
}

/**
 * A connection, made by {@link connect}. It stays open until {@link Client.close}, even if it is no longer
 * referenced: stores, watches and locks keep working.
 *
 * ```ts
 * const client = await connect("wss://nats.example.com", { name: "dashboard" });
 * const store = await client.create("settings", { history: 5 });
 * client.subscribe((event) => {
 *   if (event.type === "disconnect") showBanner("reconnecting");
 * });
 * console.log(client.state, await client.list()); // connected settings
 * await client.close();
 * ```
 */
export class Client {
  readonly #raw: RawClient;
  readonly #listeners = new Set<(event: ConnectionEvent) => void>();
  readonly #closed: Promise<ConnectError | undefined>;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(raw: RawClient) {
    this.#raw = raw;
    this.#closed = this.#follow();
  }

  /** The current connection state. */
  get state(): ConnectionState {
    return this.#raw.state()[0];
  }

  /** A human-readable reason why there is no connection, if known. */
  get reason(): string | undefined {
    return this.#raw.state()[2];
  }

  /** How often the client has connected. While it stays the same, no message was missed. */
  get epoch(): number {
    return this.#raw.state()[1];
  }

  /**
   * Creates a bucket, or opens an existing one. Rejects with a {@link BucketError} if the existing bucket
   * differs in a setting given here; see {@link StoreOptions.update}.
   */
  async create(bucket: string, options: StoreOptions = {}): Promise<Store> {
    known(options);
    const { update: changes, ...given } = options;
    const update = flag("update", changes);
    const settings = {
      ...given,
      ttl: millis("ttl", options.ttl),
      markerTTL: millis("markerTTL", options.markerTTL),
    };
    return this.#store(await call(() => this.#raw.create(named(bucket), settings, update)));
  }

  /** Opens an existing bucket. */
  async open(bucket: string): Promise<Store> {
    return this.#store(await call(() => this.#raw.open(named(bucket))));
  }

  /** The names of all buckets. */
  list(): Promise<string[]> {
    return call(() => this.#raw.names());
  }

  /** Deletes a bucket and everything in it. */
  destroy(bucket: string): Promise<void> {
    return call(() => this.#raw.destroy(named(bucket)));
  }

  /**
   * Calls `listener` on every connection event until the returned function is called. Whatever it throws is
   * reported as an uncaught error.
   */
  readonly subscribe = (listener: (event: ConnectionEvent) => void): (() => void) => {
    const own = (event: ConnectionEvent): void => {
      listener(event);
    };
    this.#listeners.add(own);
    return () => {
      this.#listeners.delete(own);
    };
  };

  /** Connection events from now on, until the client is closed. */
  status(): AsyncIterableIterator<ConnectionEvent, undefined> {
    const events: ConnectionEvent[] = [];
    let isOver = false;
    let wake = (): void => undefined;
    const unsubscribe = this.subscribe((event) => {
      events.push(event);
      wake();
    });
    const pull = async (): Promise<ConnectionEvent | undefined> => {
      while (events.length === 0 && !isOver && !this.isClosed()) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return events.shift();
    };
    return new Pull(pull, () => {
      isOver = true;
      unsubscribe();
      wake();
    });
  }

  isClosed(): boolean {
    return this.state === "closed";
  }

  /**
   * Resolves when the client is closed for good: with an error if a server rejected the credentials on a
   * reconnect, with `undefined` if {@link Client.close} was called.
   */
  closed(): Promise<ConnectError | undefined> {
    return this.#closed;
  }

  /**
   * Flushes pending writes, waits up to `requestTimeout` for replies, and closes. Further calls return the same
   * promise; anything else called later rejects with {@link ClosedError}. Rejects with a {@link ConnectionError} if
   * the connection is lost, or the server silent, before everything is known to be sent; it is closed all the same.
   *
   * If the server hangs, Node keeps running afterwards: its WebSocket waits for the server to close the connection,
   * and cannot be terminated. Call `process.exit()` then.
   */
  close(): Promise<void> {
    return (this.#closing ??= call(async () => {
      // A watch stopped just before this call needs one more turn to delete its consumer.
      await undefined;
      return this.#raw.close();
    }));
  }

  /** The same as {@link Client.close}, which also drains. */
  drain(): Promise<void> {
    return this.close();
  }

  [asyncDispose](): Promise<void> {
    return this.close();
  }

  #store(raw: RawStore): Store {
    return new Store(raw, (bucket) => this.destroy(bucket));
  }

  async #follow(): Promise<ConnectError | undefined> {
    let [was, seen] = this.#raw.state();
    while (await this.#raw.changed().catch(() => false)) {
      const [state, epoch, reason] = this.#raw.state();
      if (state === "closed") break;
      // While disconnected, only the reason may change.
      if (state === "disconnected" && was !== state) this.#tell({ type: "disconnect", epoch, reason });
      else if (epoch !== seen) this.#tell({ type: "reconnect", epoch });
      [was, seen] = [state, epoch];
    }
    const reason = this.reason;
    this.#tell({ type: "close", epoch: seen, reason });
    return reason === undefined ? undefined : new ConnectError("authentication", reason);
  }

  #tell(event: ConnectionEvent): void {
    tell(this.#listeners, event);
  }
}

/** Connects, loading the engine first if needed. */
export async function connectWith(
  load: () => Promise<Engine>,
  target: string | ConnectOptions,
  more: ConnectOptions,
): Promise<Client> {
  // JavaScript may pass neither, such as an address that is not set.
  const options = typeof target === "object" && target !== null ? target : { ...object(more), servers: target };
  const { servers = "", authenticator, signal: until, ...given } = options;
  const signal = check(until);
  const settings = {
    ...given,
    timeout: millis("timeout", options.timeout),
    requestTimeout: millis("requestTimeout", options.requestTimeout),
  };
  const url = [servers].flat().join(",");
  if (!("WebSocket" in globalThis)) {
    throw new UnsupportedError(
      "there is no WebSocket here: use Node 22 or newer, or start Node with --experimental-websocket",
      { feature: "WebSocket" },
    );
  }
  // Only the message of what it throws survives the passage through WebAssembly.
  let cause: unknown;
  const ask = async (): Promise<Credentials | undefined> => {
    try {
      cause = undefined;
      return await authenticator?.();
    } catch (error) {
      cause = error;
      throw error;
    }
  };
  const connecting = (async () => {
    const engine = await load();
    try {
      const raw = await call(() => engine.connect(url, settings, authenticator && ask));
      if (options.waitOnFirstConnect === true) await connected(raw, signal);
      return raw;
    } catch (error) {
      if (!(error instanceof ConnectError) || cause === undefined) throw error;
      throw new ConnectError(error.code, error.message, { cause });
    }
  })();
  const raw = signal ? await unlessAborted(connecting, signal) : await connecting;
  return new Client(raw);
}

/** Waits for the first connection, which is retried until the credentials are rejected. */
async function connected(raw: RawClient, signal: AbortSignal | undefined): Promise<void> {
  const stop = (): void => {
    raw.close().catch(() => undefined);
  };
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted === true) stop();
  while (raw.state()[0] === "disconnected") await raw.changed();
  signal?.removeEventListener("abort", stop);
  if (raw.state()[0] === "closed") {
    throw new ConnectError("authentication", raw.state()[2] ?? "the server rejected the credentials");
  }
}

async function unlessAborted(connecting: Promise<RawClient>, signal: AbortSignal): Promise<RawClient> {
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => {
      reject(new AbortedError(signal));
    };
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([connecting, aborted]);
  } catch (error) {
    // Nobody owns a connection that is established after all.
    connecting.then((raw) => raw.close()).catch(() => undefined);
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
