/**
 * Reassembles WebAssembly code that was split into streams for compression: opcodes with opcodes, offsets
 * with offsets, and so on. That makes the gzipped size a fifth smaller; reassembly takes a few milliseconds.
 * `scripts/fold.mjs` is the inverse.
 *
 * Only the code section is split; everything else is in the first stream. Function lengths are omitted, as
 * they follow from the `end` opcodes. Indices of locals and of called functions are move-to-front coded,
 * because the same few recur.
 *
 * ```text
 * u32 total bytes · u32 offset of the code section · u32 bytes of each stream · the streams
 * ```
 *
 * @module
 */

/** The streams. If one holds the first bytes of LEB128 numbers, the next one holds their other bytes. */
export const Stream = {
  plain: 0,
  opcode: 1,
  got: 2,
  set: 3,
  loaded: 4,
  stored: 6,
  called: 8,
  int: 10,
  long: 11,
  type: 12,
  other: 13,
  /** One per opcode, as are alignments. */
  label: 14,
  /** Declarations of locals. */
  locals: 17,
  alignment: 18,
} as const;

export const STREAMS = Stream.alignment + 0x3f - 0x28;

/** The maximum number of bytes of a function's length. */
const LONGEST = 5;

/** Stands for `local.get` of the most recently used local; the next opcode for the one before it. */
export const GET_RECENT = 0xf0;
/** The number of such opcodes. */
export const RECENT = 2;

/** The streams of an opcode's immediates, unless it is special-cased. */
export function operands(opcode: number): readonly number[] {
  if (opcode >= 0x28 && opcode <= 0x3e) {
    return [Stream.alignment + opcode - 0x28, opcode < 0x36 ? Stream.loaded : Stream.stored];
  }
  switch (opcode) {
    case 0x02: // block
    case 0x03: // loop
    case 0x04: // if
      return [Stream.type];
    case 0x0c: // br
    case 0x0d: // br_if
      return [Stream.label + opcode - 0x0c];
    case 0x11: // call_indirect
      return [Stream.other, Stream.other];
    case 0x23: // global.get
    case 0x24: // global.set
    case 0x25: // table.get
    case 0x26: // table.set
    case 0x3f: // memory.size
    case 0x40: // memory.grow
    case 0xd0: // ref.null
    case 0xd2: // ref.func
      return [Stream.other];
    case 0x41: // i32.const
      return [Stream.int];
    case 0x42: // i64.const
      return [Stream.long];
    default:
      return [];
  }
}

/** The number of immediates after the opcode 0xfc and this one: bulk memory and table operations. */
export function inBulk(opcode: number): number {
  if (opcode < 8) return 0; // numeric conversions
  return opcode === 8 || opcode === 10 || opcode === 12 || opcode === 14 ? 2 : 1;
}

/** How an opcode changes the nesting depth of blocks. */
export function nesting(opcode: number): number {
  if (opcode === 0x0b) return -1; // end
  return opcode >= 0x02 && opcode <= 0x04 ? 1 : 0;
}

/** The stream of a number's second and later bytes. */
export function rest(stream: number): number {
  return stream >= Stream.loaded && stream < Stream.int ? stream + 1 : stream;
}

/** Moves the number at `rank` to the front of a list that starts as 0, 1, 2 and so on, and returns it. */
export function toFront(recent: number[], rank: number): number {
  while (recent.length <= rank) recent.push(recent.length);
  const found = recent[rank] ?? 0;
  for (let at = rank; at > 0; at -= 1) recent[at] = recent[at - 1] ?? 0;
  recent[0] = found;
  return found;
}

/** Reassembles the code. */
export function unfold(folded: Uint8Array): Uint8Array<ArrayBuffer> {
  const view = new DataView(folded.buffer, folded.byteOffset);
  const word = (index: number): number => view.getUint32(4 * index, true);
  const code = new Uint8Array(word(0) + LONGEST);
  const from = new Uint32Array(STREAMS);
  for (let stream = 0, at = 4 * (2 + STREAMS); stream < STREAMS; stream += 1) {
    from[stream] = at;
    at += word(2 + stream);
  }
  let to = 0;
  const take = (stream: number): number => {
    const at = from[stream] ?? 0;
    from[stream] = at + 1;
    return folded[at] ?? 0;
  };
  const byte = (stream: number): number => (code[to++] = take(stream));
  const number = (stream: number): number => {
    let bits = byte(stream);
    let value = bits & 127;
    for (let shift = 7; bits > 127; shift += 7) {
      bits = byte(rest(stream));
      value |= (bits & 127) << shift;
    }
    return value;
  };

  const put = (value: number): void => {
    let bits = value;
    for (; bits > 127; bits >>= 7) code[to++] = bits | 128;
    code[to++] = bits;
  };
  const functions: number[] = [];
  const called = (): number => {
    let value = 0;
    for (let stream: number = Stream.called, shift = 0; ; stream = Stream.called + 1, shift += 7) {
      const bits = take(stream);
      value |= (bits & 127) << shift;
      if (bits < 128) return toFront(functions, value);
    }
  };
  const followers = Array.from({ length: 256 }, (_, opcode) => operands(opcode));

  while (to < word(1)) byte(Stream.plain);
  for (let bodies = number(Stream.plain); bodies > 0; bodies -= 1) {
    const place = to;
    const begin = place + LONGEST;
    to = begin;
    for (let groups = number(Stream.locals); groups > 0; groups -= 1) {
      number(Stream.locals);
      byte(Stream.locals);
    }
    const recent: number[] = [];
    const local = (rank: number): void => put(toFront(recent, rank));
    for (let depth = 1; depth > 0; ) {
      const opcode = take(Stream.opcode);
      if (opcode >= GET_RECENT && opcode < GET_RECENT + RECENT) {
        code[to++] = 0x20;
        local(opcode - GET_RECENT);
        continue;
      }
      code[to++] = opcode;
      depth += nesting(opcode);
      switch (opcode) {
        case 0x0e: // br_table
          for (let labels = number(Stream.other); labels >= 0; labels -= 1) number(Stream.label + 2);
          break;
        case 0x10: // call
          put(called());
          break;
        case 0x20: // local.get
          local(take(Stream.got));
          break;
        case 0x21: // local.set
        case 0x22: // local.tee
          local(take(Stream.set));
          break;
        case 0x44: // f64.const
          for (let bytes = 8; bytes > 0; bytes -= 1) byte(Stream.other);
          break;
        case 0xfc:
          for (let left = inBulk(number(Stream.other)); left > 0; left -= 1) number(Stream.other);
          break;
        default:
          for (const stream of followers[opcode] ?? []) number(stream);
      }
    }
    const end = to;
    to = place;
    put(end - begin);
    code.copyWithin(to, begin, end);
    to += end - begin;
  }
  while (to < word(0)) byte(Stream.plain);
  return code.subarray(0, to);
}
