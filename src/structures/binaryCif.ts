import { decode } from '@msgpack/msgpack';
import { InputError } from '../data/errors.js';
import { CATEGORIES, type CifBlock, type CifCategory } from './cif.js';

/** A column's data and how it was encoded, last step last (Sehnal et al. 2020, the BinaryCIF specification 0.3). */
interface Encoded {
  data: Uint8Array;
  encoding: Encoding[];
}

type Numbers =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint16Array
  | Uint32Array;

type Encoding =
  | { kind: 'ByteArray'; type: number }
  | { kind: 'FixedPoint'; factor: number }
  | { kind: 'IntervalQuantization'; min: number; max: number; numSteps: number }
  | { kind: 'RunLength'; srcSize: number }
  | { kind: 'Delta'; origin: number }
  | { kind: 'IntegerPacking'; byteCount: number; isUnsigned: boolean; srcSize: number }
  | {
      kind: 'StringArray';
      stringData: string;
      dataEncoding: Encoding[];
      offsets: Uint8Array;
      offsetEncoding: Encoding[];
    };

interface File {
  dataBlocks: {
    categories: { name: string; rowCount: number; columns: { name: string; data: Encoded; mask?: Encoded | null }[] }[];
  }[];
}

/** Whether bytes are a MessagePack map, as BinaryCIF and MMTF files are. */
export function isMessagePack(bytes: Uint8Array): boolean {
  return (bytes[0] & 0xf0) === 0x80 || bytes[0] === 0xde || bytes[0] === 0xdf;
}

/**
 * The tables of a BinaryCIF file that a structure is read from.
 * @throws InputError where it is damaged, an encoding is unknown, or the file is another one in MessagePack (MMTF)
 */
export function parseBinaryCif(bytes: Uint8Array, where: string): CifBlock[] {
  let file: Partial<File> & { mmtfVersion?: unknown };
  try {
    file = decode(bytes) as typeof file;
  } catch (error) {
    throw new InputError(`${where}: a damaged BinaryCIF file (${(error as Error).message}): get it again`);
  }
  if (file.mmtfVersion !== undefined) {
    throw new InputError(
      `${where}: an MMTF file; PDB, mmCIF and BinaryCIF are read: get the entry as .cif.gz or .bcif.gz, or convert it with ` +
        `python3 -c "from Bio.PDB import MMCIFIO; from Bio.PDB.mmtf import MMTFParser; ` +
        `io = MMCIFIO(); io.set_structure(MMTFParser.get_structure('FILE')); io.save('FILE.cif')"`,
    );
  }
  if (!Array.isArray(file.dataBlocks)) {
    throw new InputError(
      `${where}: MessagePack without the data blocks of BinaryCIF: give a PDB, mmCIF or BinaryCIF file`,
    );
  }
  try {
    return file.dataBlocks.map(
      ({ categories }) =>
        new Map(
          categories.flatMap((category): [string, CifCategory][] => {
            const name = category.name.replace(/^_/, '').toLowerCase();
            return CATEGORIES.has(name) ? [[name, readCategory(category)]] : [];
          }),
        ),
    );
  } catch (error) {
    throw new InputError(`${where}: a damaged BinaryCIF file (${(error as Error).message}): get it again`);
  }
}

function readCategory({ rowCount, columns }: File['dataBlocks'][number]['categories'][number]): CifCategory {
  const read = columns.map(({ name, data, mask }): [string, (row: number) => string | number | undefined] => {
    const values = decodeColumn(data);
    const absent = mask ? decodeColumn(mask) : undefined;
    // 1 stands for `.`, 2 for `?`.
    return [name.toLowerCase(), (row) => (absent && absent[row] !== 0 ? undefined : values[row])];
  });
  return { rows: rowCount, columns: new Map(read) };
}

function decodeColumn({ data, encoding }: Encoded): Numbers | string[] {
  let values: Numbers | string[] = data;
  for (const step of [...encoding].reverse()) {
    values = decodeStep(values as Numbers, step);
  }
  return values;
}

function decodeStep(values: Numbers, step: Encoding): Numbers | string[] {
  switch (step.kind) {
    case 'ByteArray':
      return fromBytes(values as Uint8Array, step.type);
    case 'FixedPoint':
      return Float64Array.from(values, (value) => value / step.factor);
    case 'IntervalQuantization': {
      const size = (step.max - step.min) / (step.numSteps - 1);
      return Float64Array.from(values, (value) => step.min + size * value);
    }
    case 'RunLength': {
      const result = new Int32Array(step.srcSize);
      for (let i = 0, at = 0; i < values.length; i += 2) {
        result.fill(values[i], at, at + values[i + 1]);
        at += values[i + 1];
      }
      return result;
    }
    case 'Delta': {
      const result = new Int32Array(values.length);
      let value = step.origin;
      for (let i = 0; i < values.length; i++) {
        value += values[i];
        result[i] = value;
      }
      return result;
    }
    case 'IntegerPacking':
      return unpack(values, step);
    case 'StringArray': {
      const { stringData, dataEncoding, offsetEncoding } = step;
      const offsets = decodeColumn({ data: step.offsets, encoding: offsetEncoding }) as Numbers;
      const indices = decodeColumn({ data: values as Uint8Array, encoding: dataEncoding }) as Numbers;
      return Array.from(indices, (i) => (i < 0 ? '' : stringData.slice(offsets[i], offsets[i + 1])));
    }
    default:
      throw new Error(`unknown encoding ${(step as { kind: string }).kind}`);
  }
}

/** Small integers stand for larger ones: a value at a limit of its type is added to the next. */
function unpack(
  values: Numbers,
  { byteCount, isUnsigned, srcSize }: Encoding & { kind: 'IntegerPacking' },
): Int32Array {
  const upper = isUnsigned ? 2 ** (8 * byteCount) - 1 : 2 ** (8 * byteCount - 1) - 1;
  const lower = isUnsigned ? Number.NEGATIVE_INFINITY : -upper - 1;
  const result = new Int32Array(srcSize);
  for (let i = 0, at = 0; i < srcSize; i++, at++) {
    let sum = 0;
    while (values[at] === upper || values[at] === lower) {
      sum += values[at++];
    }
    result[i] = sum + values[at];
  }
  return result;
}

const TYPES = {
  1: [Int8Array, 1],
  2: [Int16Array, 2],
  3: [Int32Array, 4],
  4: [Uint8Array, 1],
  5: [Uint16Array, 2],
  6: [Uint32Array, 4],
  32: [Float32Array, 4],
  33: [Float64Array, 8],
} as const;

/** Little-endian numbers. */
function fromBytes(bytes: Uint8Array, type: number): Numbers {
  const known = TYPES[type as keyof typeof TYPES];
  if (!known) {
    throw new Error(`unknown type ${type} of numbers`);
  }
  const [Type, size] = known;
  if (bytes.length % size !== 0) {
    throw new Error('a column that ends within a number');
  }
  return new Type(Uint8Array.from(bytes).buffer);
}
