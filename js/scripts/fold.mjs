// Splits WebAssembly code into streams; ts/unfold.ts is the inverse.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { transform } from "esbuild";

const source = join(dirname(dirname(fileURLToPath(import.meta.url))), "ts/unfold.ts");
const { code: script } = await transform(readFileSync(source, "utf8"), { loader: "ts" });
const { GET_RECENT, inBulk, nesting, operands, RECENT, rest, Stream, STREAMS, toFront, unfold } = await import(
  `data:text/javascript,${encodeURIComponent(script)}`
);

/** Whether `operands` knows an opcode. */
const isKnown = (opcode) =>
  (opcode <= 0xc4 && ![0x06, 0x07, 0x08, 0x09, 0x0a, 0x12, 0x13, 0x14, 0x15, 0x18, 0x19, 0x1c, 0x1f, 0x43].includes(opcode)) ||
  [0xd0, 0xd1, 0xd2, 0xfc].includes(opcode);

/** The concatenated streams of a module. */
export function fold(code) {
  const streams = Array.from({ length: STREAMS }, () => []);
  let at = 0;
  const byte = (stream) => {
    streams[stream].push(code[at]);
    return code[at++];
  };
  const number = (stream) => {
    let bits = stream === undefined ? code[at++] : byte(stream);
    let value = bits & 127;
    for (let shift = 7; bits > 127; shift += 7) {
      bits = stream === undefined ? code[at++] : byte(rest(stream));
      value |= (bits & 127) << shift;
    }
    return value;
  };

  const functions = [];
  const called = (index) => {
    let rank = functions.indexOf(index);
    if (rank < 0) rank = index;
    toFront(functions, rank);
    let stream = Stream.called;
    for (; rank > 127; rank >>= 7) {
      streams[stream].push((rank & 127) | 128);
      stream = Stream.called + 1;
    }
    streams[stream].push(rank);
  };

  const start = codeSection(code);
  while (at < start) byte(Stream.plain);
  for (let bodies = number(Stream.plain); bodies > 0; bodies -= 1) {
    number(); // its length
    for (let groups = number(Stream.locals); groups > 0; groups -= 1) {
      number(Stream.locals);
      byte(Stream.locals);
    }
    const recent = [];
    for (let depth = 1; depth > 0; ) {
      const opcode = code[at++];
      depth += nesting(opcode);
      if (!isKnown(opcode)) throw new Error(`ts/unfold.ts does not know the opcode ${opcode}`);
      if (opcode >= 0x20 && opcode <= 0x22) {
        const index = number();
        const found = recent.indexOf(index);
        const rank = found >= 0 ? found : index;
        if (rank > 255) throw new Error("more locals than ts/unfold.ts supports");
        toFront(recent, rank);
        if (opcode === 0x20 && rank < RECENT) {
          streams[Stream.opcode].push(GET_RECENT + rank);
        } else {
          streams[Stream.opcode].push(opcode);
          streams[opcode === 0x20 ? Stream.got : Stream.set].push(rank);
        }
        continue;
      }
      streams[Stream.opcode].push(opcode);
      if (opcode === 0x10) {
        called(number());
      } else if (opcode === 0x0e) {
        for (let labels = number(Stream.other); labels >= 0; labels -= 1) number(Stream.label + 2);
      } else if (opcode === 0x44) {
        for (let bytes = 8; bytes > 0; bytes -= 1) byte(Stream.other);
      } else if (opcode === 0xfc) {
        for (let left = inBulk(number(Stream.other)); left > 0; left -= 1) number(Stream.other);
      } else {
        for (const stream of operands(opcode)) number(stream);
      }
    }
  }
  while (at < code.length) byte(Stream.plain);

  const head = new Uint32Array([code.length, start, ...streams.map((stream) => stream.length)]);
  const folded = Buffer.concat([Buffer.from(head.buffer), ...streams.map((stream) => Buffer.from(stream))]);
  if (!Buffer.from(unfold(folded)).equals(code)) throw new Error("unfolding does not restore the module");
  return folded;
}

/** The offset of the code section's contents. */
function codeSection(code) {
  let at = 8;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const bits = code[at++];
      value |= (bits & 127) << shift;
      if (bits < 128) return value;
    }
  };
  for (;;) {
    const section = code[at++];
    const size = number();
    if (section === 10) return at;
    at += size;
  }
}
