// Zeroes unused data of a WebAssembly module. The linker records where each data symbol is, given
// `--emit-relocs`.

// The linker's relocation types on wasm32: addresses, and others that have an addend.
const ADDRESSES = new Set([3, 4, 5, 11, 21, 23]);
const WITH_ADDEND = new Set([...ADDRESSES, 8, 9]);

/** A sequential reader of LEB128 numbers and the items they count. */
class Reader {
  constructor(code, at) {
    this.code = code;
    this.at = at;
  }

  byte() {
    return this.code[this.at++];
  }

  number() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const bits = this.byte();
      value += (bits & 127) * 2 ** shift;
      if (bits < 128) return value;
    }
  }

  signed() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const bits = this.byte();
      value |= (bits & 127) << shift;
      if (bits < 128) return shift < 28 && (bits & 64) !== 0 ? value | (-1 << (shift + 7)) : value;
    }
  }

  skip(bytes) {
    this.at += bytes;
    return this.at - bytes;
  }

  text() {
    const length = this.number();
    return this.code.toString("utf8", this.skip(length), this.at);
  }
}

function* sections(code) {
  const reader = new Reader(code, 8);
  while (reader.at < code.length) {
    const begin = reader.at;
    const id = reader.byte();
    const length = reader.number();
    const from = reader.skip(length);
    const inner = new Reader(code, from);
    const name = id === 0 ? inner.text() : undefined;
    yield { id, name, begin, from: inner.at, end: reader.at };
  }
}

/** The module without the linker's sections. */
export function withoutLinking(code) {
  const kept = [...sections(code)].filter(({ name }) => name !== "linking" && !name?.startsWith("reloc."));
  return Buffer.concat([code.subarray(0, 8), ...kept.map(({ begin, end }) => code.subarray(begin, end))]);
}

/** The position of each data segment in the file and in memory. */
function segments(code) {
  const reader = new Reader(code, [...sections(code)].find(({ id }) => id === 11).from);
  return Array.from({ length: reader.number() }, () => {
    if (reader.number() !== 0 || reader.byte() !== 0x41) throw new Error("a data segment without a constant address");
    const address = reader.number();
    reader.skip(1);
    const length = reader.number();
    return { address, at: reader.skip(length), length };
  });
}

/**
 * The linker's symbol table, by index: data symbols with their position in their segment, `undefined` for all
 * others.
 */
function symbols(code) {
  const linking = [...sections(code)].find(({ name }) => name === "linking");
  if (linking === undefined) throw new Error("linked without --emit-relocs");
  const found = [];
  const reader = new Reader(code, linking.from);
  reader.number();
  while (reader.at < linking.end) {
    const [kind, length] = [reader.byte(), reader.number()];
    const end = reader.at + length;
    for (let left = kind === 8 ? reader.number() : 0; left > 0; left -= 1) {
      const [type, flags] = [reader.byte(), reader.number()];
      const [isUndefined, isNamed] = [(flags & 0x10) !== 0, (flags & 0x40) !== 0];
      let piece;
      if (type === 1) {
        reader.text();
        if (!isUndefined) piece = { segment: reader.number(), offset: reader.number(), length: reader.number() };
      } else {
        reader.number();
        if (type !== 3 && (!isUndefined || isNamed)) reader.text();
      }
      found.push(piece);
    }
    reader.at = end;
  }
  return found;
}

/**
 * Checks that every address in code and data points into its own symbol, or to its end: otherwise it would not
 * be possible to tell what is used.
 */
function checkAddresses(code, all) {
  let addresses = 0;
  for (const { name, from, end } of sections(code)) {
    if (!name?.startsWith("reloc.")) continue;
    const reader = new Reader(code, from);
    reader.number();
    for (let entries = reader.number(); entries > 0; entries -= 1) {
      const type = reader.byte();
      reader.number();
      const piece = all[reader.number()];
      if (!WITH_ADDEND.has(type)) continue;
      const addend = reader.signed();
      if (!ADDRESSES.has(type) || piece === undefined) continue;
      addresses += 1;
      if (addend < 0 || addend > piece.length) throw new Error(`an address ${addend} bytes from the start of its symbol`);
    }
    if (reader.at !== end) throw new Error(`${name}: unexpected format`);
  }
  if (addresses === 0) throw new Error("no address relocations found");
}

/**
 * Zeroes every symbol that is not reachable from `addresses`, directly or through other symbols, and returns the
 * number of bytes zeroed.
 */
export function emptyUnused(code, addresses) {
  const all = segments(code);
  const named = symbols(code);
  checkAddresses(code, named);
  const data = named.filter((piece) => piece !== undefined).map(({ segment, offset, length }) => ({
    address: all[segment].address + offset,
    at: all[segment].at + offset,
    length,
    isUsed: false,
  }));
  // By address, as symbols may overlap: the linker merges strings with common tails.
  const covering = new Map();
  for (const piece of data) {
    for (let address = piece.address; address < piece.address + piece.length; address += 1) {
      if (!covering.has(address)) covering.set(address, []);
      covering.get(address).push(piece);
    }
  }
  const pending = [...addresses];
  while (pending.length > 0) {
    for (const piece of covering.get(pending.pop()) ?? []) {
      if (piece.isUsed) continue;
      piece.isUsed = true;
      const aligned = piece.at + (-piece.address & 3);
      for (let at = aligned; at + 4 <= piece.at + piece.length; at += 4) pending.push(code.readUInt32LE(at));
    }
  }
  const used = new Set();
  for (const { at, length, isUsed } of data) {
    for (let byte = at; isUsed && byte < at + length; byte += 1) used.add(byte);
  }
  let emptied = 0;
  for (const { at, length } of data) {
    for (let byte = at; byte < at + length; byte += 1) {
      if (used.has(byte) || code[byte] === 0) continue;
      code[byte] = 0;
      emptied += 1;
    }
  }
  return emptied;
}
