/**
 * One revision of one key.
 *
 * @module
 */
import { DecodeError } from "./errors.js";

/**
 * What happened at a revision. In addition to the operations of @nats-io/kv: `"EXPIRE"` for a value whose TTL
 * expired, and `"VANISH"` for a key that disappeared while a watch was interrupted.
 */
export type Operation = "PUT" | "DEL" | "PURGE" | "EXPIRE" | "VANISH";

const decoder = new TextDecoder();

/**
 * One revision of one key: a value, or a removal.
 *
 * ```ts
 * await store.put("app.limits", '{"max":5}');
 * const entry = await store.get<{ max: number }>("app.limits");
 * console.log(entry?.revision, entry?.json().max); // 1 5
 * await store.delete("app.limits");
 * const last = await store.get("app.limits");
 * console.log(last?.operation, last?.removed); // DEL true
 * ```
 *
 * @typeParam T - the type that {@link Entry.json} returns. It is not validated; a typed view is.
 */
export class Entry<T = unknown> {
  readonly bucket: string;
  readonly key: string;
  /** The revision number: it is per bucket and grows with every write to any key. */
  readonly revision: number;
  readonly operation: Operation;
  /** How many entries the server had yet to send after this one. */
  readonly delta: number;
  /** The size of the value in bytes; 0 for a removal, or if only metadata was requested. */
  readonly length: number;
  /** Whether a watch received this after its initial values. */
  readonly isUpdate: boolean;
  readonly #created: number;
  readonly #bytes: Uint8Array;
  readonly #start: number;

  /** @internal */
  constructor(
    bucket: string,
    key: string,
    revision: number,
    operation: Operation,
    delta: number,
    isUpdate: boolean,
    created: number,
    bytes: Uint8Array,
    start: number,
    length: number,
  ) {
    this.bucket = bucket;
    this.key = key;
    this.revision = revision;
    this.operation = operation;
    this.delta = delta;
    this.isUpdate = isUpdate;
    this.length = length;
    this.#created = created;
    this.#bytes = bytes;
    this.#start = start;
  }

  /** The value; empty for a removal, or if only metadata was requested. */
  get value(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#start + this.length);
  }

  /** When the server stored it, by the server's clock. */
  get created(): Date {
    return new Date(this.#created);
  }

  /** The same as `key`: keys are not encoded. */
  get rawKey(): string {
    return this.key;
  }

  /** Whether this is a removal: any operation other than `"PUT"`. */
  get removed(): boolean {
    return this.operation !== "PUT";
  }

  /** The value as text. */
  string(): string {
    return decoder.decode(this.value);
  }

  /**
   * The value parsed as JSON; `reviver` is passed to `JSON.parse`.
   *
   * @throws {@link DecodeError} if it is not JSON, or if this is a removal.
   */
  json<U = T>(reviver?: (key: string, value: unknown) => unknown): U {
    try {
      return JSON.parse(this.string(), reviver) as U;
    } catch (cause) {
      const what = this.removed ? "has no value: it was removed" : "is not JSON";
      const message = `revision ${this.revision} of key ${this.key} in bucket ${this.bucket} ${what}`;
      throw new DecodeError(message, this.key, this.revision, { cause });
    }
  }
}
