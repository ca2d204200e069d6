/** Enough for any shape, and a multiple of 64 as the format asks. */
export const NPY_HEADER = 128;

const MAGIC = '\x93NUMPY';

/** Header of a `.npy` file, version 1.0 (numpy/lib/format.py), padded to `NPY_HEADER` bytes. */
export function npyHeader(descr: string, shape: readonly number[]): Buffer {
  const dimensions = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${dimensions}), }`;
  const header = Buffer.alloc(NPY_HEADER, ' ');
  header.write(`${MAGIC}\x01\x00`, 'latin1');
  header.writeUInt16LE(NPY_HEADER - 10, 8);
  header.write(text, 10, 'latin1');
  header[NPY_HEADER - 1] = 10;
  return header;
}

/** What the beginning of an `.npy` file says: its values' type, its shape, and the byte its values begin at. */
export interface NpyInfo {
  descr: string;
  shape: number[];
  from: number;
}

/**
 * Reads a header of any version.
 * @param bytes the file's beginning; the whole header lies in it
 * @returns undefined where it is none, or none of an array in C order
 */
export function parseNpyHeader(bytes: Buffer): NpyInfo | undefined {
  if (bytes.length < 12 || bytes.toString('latin1', 0, 6) !== MAGIC) {
    return undefined;
  }
  const start = bytes[6] === 1 ? 10 : 12;
  const from = start + (bytes[6] === 1 ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8));
  const text = bytes.toString('latin1', start, from);
  const descr = /'descr': '([^']+)'/.exec(text)?.[1];
  const dimensions = /'shape': \(([\d, ]*)\)/.exec(text)?.[1];
  if (from > bytes.length || descr === undefined || dimensions === undefined || !/'fortran_order': False/.test(text)) {
    return undefined;
  }
  const shape = dimensions.split(',').flatMap((part) => (part.trim() === '' ? [] : [Number(part)]));
  return { descr, shape, from };
}

/** Texts as a NumPy array of strings: one without axes of a single text, one of a list. */
export function npyTexts(texts: string | readonly string[]): Buffer {
  const list = (typeof texts === 'string' ? [texts] : texts).map((text) => [...text]);
  const width = list.reduce((most, letters) => Math.max(most, letters.length), 1);
  const points = new Uint32Array(list.length * width);
  for (const [row, letters] of list.entries()) {
    for (const [i, letter] of letters.entries()) {
      points[row * width + i] = letter.codePointAt(0)!;
    }
  }
  const header = npyHeader(`<U${width}`, typeof texts === 'string' ? [] : [list.length]);
  return Buffer.concat([header, Buffer.from(points.buffer)]);
}

/** The texts of a NumPy array of strings, from its whole file; undefined where it is none. */
export function parseNpyTexts(bytes: Buffer): string | string[] | undefined {
  const info = parseNpyHeader(bytes);
  const width = Number(/^<U(\d+)$/.exec(info?.descr ?? '')?.[1] ?? Number.NaN);
  const count = info?.shape.reduce((product, length) => product * length, 1) ?? 0;
  if (info === undefined || info.from + 4 * width * count !== bytes.length) {
    return undefined;
  }
  const texts = Array.from({ length: count }, (_, row) => {
    let text = '';
    for (let i = 0; i < width; i++) {
      const point = bytes.readUInt32LE(info.from + 4 * (row * width + i));
      if (point > 0x10ffff) {
        return undefined;
      }
      text += point === 0 ? '' : String.fromCodePoint(point);
    }
    return text;
  });
  if (!texts.every((text) => text !== undefined)) {
    return undefined;
  }
  return info.shape.length === 0 ? texts[0] : texts;
}

/** Bytes of the longest header that is read. */
export const LONGEST_NPY_HEADER = 2 ** 16;
