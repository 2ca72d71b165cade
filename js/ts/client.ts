/**
 * The way in: a connection, and the buckets behind it.
 *
 * @module
 */
import { asyncDispose } from "./dispose.js";
import { type Duration, millis } from "./duration.js";
import { AbortedError, ConnectError, UnsupportedError } from "./errors.js";
import { check, flag, named } from "./given.js";
import { tell } from "./listeners.js";
import { Pull } from "./pull.js";
import type { ConnectionState, Engine, RawClient, RawStore } from "./raw.js";
import { Store } from "./store.js";
import { call } from "./thrown.js";

/** How to prove who you are. Give one kind. */
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

/** How to connect. */
export interface ConnectOptions extends Credentials {
  /** `wss://host`, `ws://host:port`, or several of one cluster. */
  readonly servers?: string | readonly string[] | undefined;
  /** A name for this client, shown by the server's monitoring. */
  readonly name?: string | undefined;
  /** Asked at every connect and reconnect, for tokens that expire. */
  readonly authenticator?: (() => Credentials | Promise<Credentials>) | undefined;
  /** How long a connect may take. Default 5 s. */
  readonly timeout?: Duration | undefined;
  /** How long an answer may take. Default 5 s. */
  readonly requestTimeout?: Duration | undefined;
  /** The JetStream domain. */
  readonly domain?: string | undefined;
  readonly apiPrefix?: string | undefined;
  readonly inboxPrefix?: string | undefined;
  /** Stays with the servers that were given. */
  readonly ignoreClusterUpdates?: boolean | undefined;
  /**
   * Keeps trying where the very first connect fails, until there is a connection, the credentials are
   * refused or `signal` is aborted.
   */
  readonly waitOnFirstConnect?: boolean | undefined;
  /** Gives the connect up when it is aborted. */
  readonly signal?: AbortSignal | undefined;
}

/** A new bucket's settings. */
export interface StoreOptions {
  /** A note for people, at most 4096 bytes. */
  readonly description?: string | undefined;
  /** How many revisions of a key are kept, 1 to 64. Default 1. */
  readonly history?: number | undefined;
  /** How long a revision lives, at least 100 ms; 0 and default: for ever. */
  readonly ttl?: Duration | undefined;
  /**
   * How long markers of expired values stand: whole seconds, one at least. 0 turns them off, and with
   * them time to live per key and locks. Default 1 s where the server can (2.11 and newer).
   */
  readonly markerTTL?: Duration | undefined;
  /** The largest value with its headers, in bytes, 1 to 2147483647. -1 and default: what the server takes. */
  readonly maxValueSize?: number | undefined;
  /** The size of the whole bucket, in bytes, from 1; a full one refuses writes. -1 and default: no limit. */
  readonly max_bytes?: number | undefined;
  /** How many servers of a cluster hold a copy, 1 to 5. Default 1. */
  readonly replicas?: number | undefined;
  /** Where the data lies. Default `"file"`. */
  readonly storage?: "file" | "memory" | undefined;
  /** Compresses data on disk. Default: no. */
  readonly compression?: boolean | undefined;
  /** Notes for programs. Names that begin with `_nats.` belong to the server. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Gives a bucket that exists the settings that are given, instead of refusing where they differ. */
  readonly update?: boolean | undefined;
}

/** What `@nats-io/kv` has and this library has not: to pass over it would store something else, or elsewhere. */
const MISSING = ["bindOnly", "codec", "mirror", "placement", "republish", "sources", "streamName"];

/** @internal */
export function known(options: object): void {
  const given = options as Readonly<Record<string, unknown>>;
  const feature = MISSING.find((name) => given[name]) ?? (given["allow_direct"] === false ? "allow_direct" : undefined);
  if (feature !== undefined) throw new UnsupportedError(`${feature} is not supported`, { feature });
}

/** A change of the connection, as `@nats-io/nats-core` names them. */
export interface ConnectionEvent {
  readonly type: "disconnect" | "reconnect" | "close";
  /** How often the connection was made. */
  readonly epoch: number;
  /** Why it was lost or closed, in words for people, where that is known. */
  readonly reason?: string | undefined;
}

/**
 * A connection. Made by {@link connect}, it is there until {@link Client.close}, also where nobody
 * refers to it any more: stores, watches and locks go on.
 *
 * ```ts
 * const client = await connect("wss://nats.example.com", { name: "dashboard" });
 * const store = await client.create("settings", { history: 5 });
 * client.subscribe((event) => {
 *   if (event.type === "disconnect") showBanner("connecting again");
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

  /** Whether there is a connection now. */
  get state(): ConnectionState {
    return this.#raw.state()[0];
  }

  /** Why there is no connection, in words for people, where that is known. */
  get reason(): string | undefined {
    return this.#raw.state()[2];
  }

  /** How often the connection was made. While it stays the same, no message was missed. */
  get epoch(): number {
    return this.#raw.state()[1];
  }

  /**
   * Makes a bucket, or opens the one that exists. Where that differs in a setting that is given here,
   * this rejects with a {@link BucketError}; see {@link StoreOptions.update}.
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

  /** Opens a bucket that exists. */
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
   * Calls `listener` at every change of the connection, until the answer is called. What it throws is
   * reported as an error that nobody caught.
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

  /** The changes of the connection from now on, until it is closed. */
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
   * Resolves when the connection is closed for good; with an error where that was not asked for, but a
   * server refused the credentials when the connection was to be made again.
   */
  closed(): Promise<ConnectError | undefined> {
    return this.#closed;
  }

  /**
   * Sends what is still to be sent, waits for the answers, up to `requestTimeout`, and closes; once, however
   * often it is called. What is called later rejects with {@link ClosedError}.
   */
  close(): Promise<void> {
    return (this.#closing ??= call(async () => {
      // A watch that was stopped just before needs this turn to have its consumer removed.
      await undefined;
      return this.#raw.close();
    }));
  }

  /** The same as `close`, which drains too. */
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
      // While it is away, the reason may become another.
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

/** Connects; loads the engine first, unless there is no need to. */
export async function connectWith(
  load: () => Promise<Engine>,
  target: string | ConnectOptions,
  more: ConnectOptions,
): Promise<Client> {
  // What JavaScript gives may be neither: an address that is not set.
  const options = typeof target === "object" && target !== null ? target : { ...more, servers: target };
  const { servers = "", authenticator, signal: until, ...given } = options;
  const signal = check(until);
  const settings = {
    ...given,
    timeout: millis("timeout", options.timeout),
    requestTimeout: millis("requestTimeout", options.requestTimeout),
  };
  const url = [servers].flat().join(",");
  // What it throws goes through WebAssembly as its message.
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

/** Waits for a first connection. It is tried again until the credentials are refused. */
async function connected(raw: RawClient, signal: AbortSignal | undefined): Promise<void> {
  const stop = (): void => {
    raw.close().catch(() => undefined);
  };
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted === true) stop();
  while (raw.state()[0] === "disconnected") await raw.changed();
  signal?.removeEventListener("abort", stop);
  if (raw.state()[0] === "closed") {
    throw new ConnectError("authentication", raw.state()[2] ?? "the server refused the credentials");
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
    // A connection that comes about all the same is nobody's.
    connecting.then((raw) => raw.close()).catch(() => undefined);
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
