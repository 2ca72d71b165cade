/**
 * Puts WebAssembly code together again that was taken apart for compression: opcodes with opcodes,
 * offsets with offsets, and so on. gzip makes a fifth less of that, and putting it together takes a
 * few milliseconds. `scripts/fold.mjs` takes it apart.
 *
 * What comes apart is the code section; all else is the first stream. How long a function is, is left
 * out, as its end says it. Locals, and functions that are called, are told by how many others were
 * used since, as the same few are used again and again.
 *
 * ```text
 * u32 bytes of all · u32 where the code section begins · u32 bytes of each stream · the streams
 * ```
 *
 * @module
 */

/** What a stream holds. Where there is one for the first byte of a number, the next has the others. */
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
  /** By opcode, as are alignments. */
  label: 14,
  /** What a function keeps in locals. */
  locals: 17,
  alignment: 18,
} as const;

export const STREAMS = Stream.alignment + 0x3f - 0x28;

/** How many bytes the length of a function may take. */
const LONGEST = 5;

/** Stands for `local.get` of the local that was used last; the next one for that of the one before. */
export const GET_RECENT = 0xf0;
/** How many such opcodes there are. */
export const RECENT = 2;

/** The streams of the numbers that follow an opcode, unless that is handled by itself. */
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

/** How many numbers follow the opcode 0xfc and this one: memories and tables, handled in bulk. */
export function inBulk(opcode: number): number {
  if (opcode < 8) return 0; // conversions of numbers
  return opcode === 8 || opcode === 10 || opcode === 12 || opcode === 14 ? 2 : 1;
}

/** How an opcode changes the number of blocks that are open. */
export function nesting(opcode: number): number {
  if (opcode === 0x0b) return -1; // end
  return opcode >= 0x02 && opcode <= 0x04 ? 1 : 0;
}

/** The stream of the second and later bytes of a number. */
export function rest(stream: number): number {
  return stream >= Stream.loaded && stream < Stream.int ? stream + 1 : stream;
}

/** Takes the number at `rank` to the front of what begins as 0, 1, 2 and so on, and answers it. */
export function toFront(recent: number[], rank: number): number {
  while (recent.length <= rank) recent.push(recent.length);
  const found = recent[rank] ?? 0;
  for (let at = rank; at > 0; at -= 1) recent[at] = recent[at - 1] ?? 0;
  recent[0] = found;
  return found;
}

/** The code. */
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
