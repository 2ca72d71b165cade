/**
 * One revision of one key.
 *
 * @module
 */
import { DecodeError } from "./errors.js";

/**
 * What happened at a revision. Beside what @nats-io/kv knows: `"EXPIRE"` for a value that outlived
 * its time, and `"VANISH"` for a key that went away while a watch was interrupted.
 */
export type Operation = "PUT" | "DEL" | "PURGE" | "EXPIRE" | "VANISH";

const decoder = new TextDecoder();

/**
 * One revision of one key: a value, or the note that it was removed.
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
 * @typeParam T - what {@link Entry.json} answers. Nothing checks it; a typed view does.
 */
export class Entry<T = unknown> {
  readonly bucket: string;
  readonly key: string;
  /** The bucket-wide number of this revision, growing with every write to any key. */
  readonly revision: number;
  readonly operation: Operation;
  /** How many more entries the server had to send after this one. */
  readonly delta: number;
  /** The bytes of the value; 0 for a removal, and where only metadata was asked for. */
  readonly length: number;
  /** Whether a watch saw this after everything that was there when it began. */
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

  /** The value; empty for a removal, and where only metadata was asked for. */
  get value(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#start + this.length);
  }

  /** When the server stored it, by its clock. */
  get created(): Date {
    return new Date(this.#created);
  }

  /** The same as `key`: nothing is encoded here. */
  get rawKey(): string {
    return this.key;
  }

  /** Whether the key has no value after this. */
  get removed(): boolean {
    return this.operation !== "PUT";
  }

  /** The value as text. */
  string(): string {
    return decoder.decode(this.value);
  }

  /**
   * The value as JSON; a `reviver` is that of `JSON.parse`.
   *
   * @throws {@link DecodeError} where it is not JSON, or where this is a removal.
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
