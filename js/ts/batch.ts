/**
 * Batches of entries, as the bindings deliver them.
 *
 * @module
 */
import { Entry, type Operation } from "./entry.js";

/** A status event between entries. */
export type Signal = "current" | "interrupted";

const OPERATIONS: readonly Operation[] = ["PUT", "DEL", "PURGE", "EXPIRE", "VANISH"];
const SIGNALS: Readonly<Record<number, Signal>> = { 8: "current", 9: "interrupted" };
const HEADER = 16;
const FIELDS = 6;
const decoder = new TextDecoder();

/** Reads entries one by one from a buffer; `src/pack.rs` describes the layout. */
export class Batch {
  readonly #bucket: string;
  readonly #bytes: Uint8Array;
  readonly #numbers: Float64Array;
  readonly #keys: string;
  #next = 0;
  #key = 0;
  #value: number;

  constructor(bucket: string, bytes: Uint8Array) {
    const [count = 0, keys = 0] = new Float64Array(bytes.buffer, 0, 2);
    const start = HEADER + count * FIELDS * 8;
    this.#bucket = bucket;
    this.#bytes = bytes;
    this.#numbers = new Float64Array(bytes.buffer, HEADER, count * FIELDS);
    // One string for all keys: slicing it is far cheaper than decoding each key.
    this.#keys = decoder.decode(bytes.subarray(start, start + keys));
    this.#value = start + keys;
  }

  /** The next entry or signal; `undefined` at the end. */
  next<T>(isUpdate: boolean): Entry<T> | Signal | undefined {
    const at = this.#next;
    const numbers = this.#numbers;
    if (at >= numbers.length) return undefined;
    this.#next = at + FIELDS;
    const kind = numbers[at] ?? 0;
    const signal = SIGNALS[kind];
    if (signal !== undefined) return signal;
    const keyEnd = this.#key + (numbers[at + 4] ?? 0);
    const key = this.#keys.slice(this.#key, keyEnd);
    const length = numbers[at + 5] ?? 0;
    const start = this.#value;
    this.#key = keyEnd;
    this.#value = start + length;
    return new Entry<T>(
      this.#bucket,
      key,
      numbers[at + 1] ?? 0,
      OPERATIONS[kind] ?? "VANISH",
      numbers[at + 3] ?? 0,
      isUpdate,
      numbers[at + 2] ?? 0,
      this.#bytes,
      start,
      length,
    );
  }

  /** All remaining entries. */
  entries<T>(): Entry<T>[] {
    const entries: Entry<T>[] = [];
    for (;;) {
      const entry = this.next<T>(false);
      if (entry === undefined) return entries;
      if (typeof entry === "object") entries.push(entry);
    }
  }
}
