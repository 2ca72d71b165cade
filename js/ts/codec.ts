/**
 * Encoding and decoding of values.
 *
 * @module
 */
import { DecodeError, EncodeError, type Issue, ValidationError } from "./errors.js";
import { messageOf } from "./thrown.js";

/**
 * Encodes values to bytes and decodes them. Whatever it throws is the `cause` of the error.
 *
 * ```ts
 * import type { Codec } from "shizuku-kv";
 *
 * const dates: Codec<Date> = {
 *   encode: (date) => date.toISOString(),
 *   decode: (bytes) => new Date(new TextDecoder().decode(bytes)),
 * };
 * await store.typed(dates).put("start", new Date(0));
 * console.log((await store.get("start"))?.string()); // 1970-01-01T00:00:00.000Z
 * console.log((await store.typed(dates).get("start"))?.value.getTime()); // 0
 * ```
 */
export interface Codec<T, In = T> {
  encode(value: In): Uint8Array | string | Promise<Uint8Array | string>;
  decode(bytes: Uint8Array): T | Promise<T>;
}

/** A validator, as defined by the Standard Schema specification (version 1). */
export interface StandardSchema<In = unknown, Out = In> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Out> | Promise<StandardResult<Out>>;
    readonly types?: { readonly input: In; readonly output: Out } | undefined;
  };
}

/** The result of a validator. */
export type StandardResult<Out> =
  | { readonly value: Out; readonly issues?: undefined }
  | { readonly issues: readonly Issue[] };

const decoder = new TextDecoder("utf-8", { fatal: true });

function stringify(value: unknown): string {
  const text: unknown = JSON.stringify(value);
  // Despite its type, it returns `undefined` for what JSON cannot represent.
  if (typeof text !== "string") throw new TypeError(`JSON cannot represent ${typeof value}`);
  return text;
}

/** JSON without validation. */
export function json<T>(): Codec<T> {
  return { encode: stringify, decode: (bytes) => JSON.parse(decoder.decode(bytes)) as T };
}

/**
 * Text, for {@link Store.typed}, whose values are JSON otherwise.
 *
 * ```ts
 * import { text } from "shizuku-kv";
 *
 * await store.put("color", "blue");
 * using color = store.typed(text).live("color");
 * await color.ready;
 * console.log(color.value); // blue
 * ```
 */
export const text: Codec<string> = { encode: (value) => value, decode: (bytes) => decoder.decode(bytes) };

/** Thrown by {@link validated}; {@link decode} and {@link encode} add the key. */
class Refused extends Error {
  readonly issues: readonly Issue[];

  constructor(issues: readonly Issue[]) {
    super("refused");
    this.issues = issues;
  }
}

/**
 * JSON, validated on read and before write. What is written is the input, not the output of a transforming
 * validator, so that it validates again on read.
 */
export function validated<In, Out>(schema: StandardSchema<In, Out>): Codec<Out, In> {
  const validate = async (value: unknown): Promise<Out> => {
    const result = await schema["~standard"].validate(value);
    if (result.issues !== undefined) throw new Refused(result.issues);
    return result.value;
  };
  return {
    encode: async (value) => {
      await validate(value);
      return stringify(value);
    },
    decode: (bytes) => validate(JSON.parse(decoder.decode(bytes))),
  };
}

/** Encodes a value to be written. */
export async function encode<In>(
  codec: Codec<unknown, In>,
  key: string,
  value: In,
): Promise<Uint8Array | string> {
  try {
    return await codec.encode(value);
  } catch (cause) {
    if (cause instanceof Refused) throw new ValidationError(key, undefined, cause.issues);
    throw new EncodeError(`cannot encode the value for key ${key}: ${messageOf(cause)}`, key, { cause });
  }
}

/** Decodes the value of an entry. */
export async function decode<T>(
  codec: Codec<T, never>,
  entry: { readonly key: string; readonly revision: number; readonly value: Uint8Array },
): Promise<T> {
  const { key, revision } = entry;
  try {
    return await codec.decode(entry.value);
  } catch (cause) {
    if (cause instanceof Refused) throw new ValidationError(key, revision, cause.issues);
    const message = `cannot decode revision ${revision} of key ${key}: ${messageOf(cause)}`;
    throw new DecodeError(message, key, revision, { cause });
  }
}
