import { createHash, type Hash } from 'node:crypto';
import { closeSync, createReadStream, existsSync, openSync } from 'node:fs';
import { open, readFile, rm } from 'node:fs/promises';
import { dirname, extname } from 'node:path';
import { InputError } from '../data/errors.js';
import { AtomicFile, syncFolder } from './atomicFile.js';
import { readError } from './fileErrors.js';
import { LONGEST_NPY_HEADER, type NpyInfo, npyHeader, parseNpyHeader } from './npy.js';
import type { NpzWriter } from './npz.js';
import { readFully } from './readFully.js';
import { SafetensorsFile, safetensorsHeader } from './safetensors.js';

export interface ArraySpec {
  name: string;
  shape: readonly number[];
}

/** Float32 arrays written to one file in order, a piece at a time, so that none is ever held whole. */
export interface ArrayFile {
  /** The next values of the arrays, row-major; of one array only. */
  write(values: Float32Array): Promise<void>;
  /** Ends the file and gives it its name. */
  close(): Promise<void>;
  /** Gives up: nothing is left behind. */
  discard(): Promise<void>;
}

/** What the arrays of a file are: texts, and lists of texts, by name. */
export type Description = Readonly<Record<string, string | readonly string[]>>;

export const ARRAY_FORMATS = ['.npy', '.npz', '.safetensors'] as const;

/**
 * Begins a file of float32 arrays, in the format of its extension: `.npy` (one array), `.npz`, `.safetensors`.
 * Until `close` it has a temporary name.
 *
 * The description lies in an `.npz` as arrays of text, in `.safetensors` as metadata (lists as JSON), and for an `.npy`
 * in a file of JSON beside it, `FILE.npy.json`, that has the array's name and the SHA-256 of its values as well: a
 * reader tells by it whether the two belong together. Arrays of an `.npz` have names as `npzName` gives them.
 *
 * @throws InputError for another extension, and for several arrays in an `.npy`
 */
export async function createArrayFile(
  path: string,
  arrays: readonly ArraySpec[],
  description: Description = {},
): Promise<ArrayFile> {
  const names = new Map(arrays.map(({ name }, i) => [name, i]));
  const twice = arrays.find(({ name }, i) => names.get(name) !== i);
  if (twice) {
    throw new InputError(`${path}: two arrays are named ${twice.name}, and are read by their names; rename one`);
  }
  switch (extname(path).toLowerCase()) {
    case '.npy':
      if (arrays.length !== 1) {
        throw new InputError(`${path}: an .npy holds one array, these are ${arrays.length}: use .npz or .safetensors`);
      }
      return inOrder(path, arrays, await NpyFile.create(path, arrays[0], description));
    case '.npz':
      return inOrder(path, arrays, await NpzFile.create(path, arrays, description));
    case '.safetensors':
      return inOrder(path, arrays, await SafetensorsSink.create(path, arrays, description));
    default:
      throw new InputError(`${path}: no format for arrays: use ${ARRAY_FORMATS.join(', ')} (or .csv)`);
  }
}

/** What takes arrays one after the other. */
interface Sink {
  begin?(array: ArraySpec): void;
  write(bytes: Uint8Array): Promise<void>;
  end?(): void;
  close(): Promise<void>;
  discard(): Promise<void>;
}

/** Begins and ends the arrays of a sink as their values come. */
function inOrder(path: string, arrays: readonly ArraySpec[], sink: Sink): ArrayFile {
  let at = -1;
  let left = 0;
  const next = (): void => {
    for (at++; at < arrays.length; at++) {
      sink.begin?.(arrays[at]);
      left = countOf(arrays[at].shape);
      if (left > 0) {
        return;
      }
      sink.end?.();
    }
  };
  let begun = false;
  const begin = (): void => {
    if (!begun) {
      begun = true;
      next();
    }
  };
  return {
    async write(values) {
      begin();
      if (values.length > left) {
        throw new Error(`${path}: a piece that spans two arrays`);
      }
      if (values.length === 0) {
        return;
      }
      await sink.write(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      left -= values.length;
      if (left === 0) {
        sink.end?.();
        next();
      }
    },
    async close() {
      begin();
      if (at < arrays.length) {
        throw new Error(`${path}: array ${arrays[at].name} is not complete`);
      }
      await sink.close();
    },
    discard: () => sink.discard(),
  };
}

/** An `.npy` whose number of rows need not be known before its end, and its description. */
export class NpyFile {
  private readonly hash: Hash = createHash('sha256');

  private constructor(
    private readonly file: AtomicFile,
    private readonly array: ArraySpec,
    private readonly description: Description,
  ) {}

  static async create(path: string, array: ArraySpec, description: Description = {}): Promise<NpyFile> {
    const file = await AtomicFile.create(path);
    try {
      await file.write(npyHeader('<f4', array.shape));
    } catch (error) {
      await file.discard();
      throw error;
    }
    return new NpyFile(file, array, description);
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.hash.update(bytes);
    await this.file.write(bytes);
  }

  /** Takes what was written for `written` and describes it so, where that is not as it was at the beginning. */
  async close(written = this.array, description = this.description): Promise<void> {
    await this.file.overwrite(npyHeader('<f4', written.shape), 0);
    const { path } = this.file;
    const array = { name: written.name, sha256: this.hash.digest('hex') };
    const beside = await AtomicFile.create(`${path}.json`);
    try {
      await beside.write(`${JSON.stringify({ array, ...description }, null, 1)}\n`);
      // An older description goes before the older array does, the new one comes after the new array: at no moment do
      // two lie side by side that do not belong together.
      await this.file.commit(async () => {
        await rm(`${path}.json`, { force: true });
        await rm(`${path}.ids.txt`, { force: true });
        await syncFolder(dirname(path));
      });
      await beside.commit();
    } catch (error) {
      await beside.discard();
      throw error;
    }
  }

  discard(): Promise<void> {
    return this.file.discard();
  }
}

class NpzFile implements Sink {
  private constructor(
    private readonly writer: NpzWriter,
    private readonly members: Map<string, string>,
  ) {}

  static async create(path: string, arrays: readonly ArraySpec[], description: Description): Promise<NpzFile> {
    const { NpzWriter, npzName } = await import('./npz.js');
    const taken = Object.keys(description);
    const members = new Map(arrays.map(({ name }) => [name, npzName(name, taken)]));
    const writer = await NpzWriter.create(path);
    try {
      for (const [name, texts] of Object.entries(description)) {
        writer.texts(name, texts);
      }
    } catch (error) {
      await writer.discard();
      throw error;
    }
    return new NpzFile(writer, members);
  }

  begin({ name, shape }: ArraySpec): void {
    this.writer.begin(this.members.get(name)!, shape);
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.writer.write(bytes);
  }

  end(): void {
    this.writer.end();
  }

  close(): Promise<void> {
    return this.writer.close();
  }

  discard(): Promise<void> {
    return this.writer.discard();
  }
}

class SafetensorsSink implements Sink {
  private constructor(private readonly file: AtomicFile) {}

  static async create(path: string, arrays: readonly ArraySpec[], description: Description): Promise<SafetensorsSink> {
    const file = await AtomicFile.create(path);
    const entries = arrays.map(({ name, shape }) => ({ name, shape, dtype: 'F32' as const }));
    const texts = Object.entries(description).map(([name, text]) => [name, asText(text)]);
    try {
      await file.write(safetensorsHeader(entries, Object.fromEntries(texts)));
    } catch (error) {
      await file.discard();
      throw error;
    }
    return new SafetensorsSink(file);
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.file.write(bytes);
  }

  close(): Promise<void> {
    return this.file.commit();
  }

  discard(): Promise<void> {
    return this.file.discard();
  }
}

function asText(value: string | readonly string[]): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** The arrays of a file, and what they are. */
export interface StoredArrays {
  /** Texts by name, as they were given to `createArrayFile`; a list of texts as JSON. */
  description: Map<string, string>;
  /** The float32 arrays by name; their values are read when they are asked for. */
  arrays: Map<string, { shape: number[]; read(): Promise<Float32Array> }>;
}

/**
 * Opens a file of arrays: what `createArrayFile` wrote, of whatever version, or another program. An `.npy` with nothing
 * beside it has an array of no name and no description.
 *
 * @throws InputError for another extension, a file that is damaged, and an `.npy` beside the description of another
 */
export async function openArrayFile(path: string): Promise<StoredArrays> {
  switch (extname(path).toLowerCase()) {
    case '.npy':
      return openNpy(path);
    case '.npz': {
      const { arrayName, readNpz } = await import('./npz.js');
      const { texts, arrays } = await readNpz(path);
      return {
        description: texts,
        arrays: new Map([...arrays].map(([member, array]) => [arrayName(member), array])),
      };
    }
    case '.safetensors':
      return openSafetensors(path);
    default:
      throw new InputError(`${path}: no format of arrays: give a file of ${ARRAY_FORMATS.join(', ')}`);
  }
}

function openSafetensors(path: string): StoredArrays {
  const file = SafetensorsFile.open(path);
  try {
    const arrays = file.names.map((name): [string, { shape: number[]; read(): Promise<Float32Array> }] => [
      name,
      { shape: file.info(name)!.shape, read: async () => readTensor(path, name) },
    ]);
    return { description: new Map(Object.entries(file.metadata)), arrays: new Map(arrays) };
  } finally {
    file.close();
  }
}

function readTensor(path: string, name: string): Float32Array {
  const file = SafetensorsFile.open(path);
  try {
    const { data } = file.read(name);
    return data instanceof Float32Array ? data : Float32Array.from(data);
  } finally {
    file.close();
  }
}

async function openNpy(path: string): Promise<StoredArrays> {
  const { descr, shape, from } = await readNpyHeader(path);
  const count = countOf(shape);
  if (descr !== '<f4') {
    throw new InputError(`${path}: its values are ${descr}, not float32 (<f4); convert them with NumPy's astype`);
  }
  const { name, sha256, description } = await describedBy(path);
  if (sha256 !== undefined && sha256 !== (await digest(path, from))) {
    throw new InputError(
      `${path}.json: it describes other values than those of ${path}: write both again, or remove the .json`,
    );
  }
  const read = async (): Promise<Float32Array> => {
    const file = openSync(path, 'r');
    try {
      const values = new Float32Array(count);
      readFully(path, file, new Uint8Array(values.buffer), from);
      return values;
    } finally {
      closeSync(file);
    }
  };
  return { description, arrays: new Map([[name, { shape, read }]]) };
}

async function readNpyHeader(path: string): Promise<NpyInfo> {
  const file = await open(path, 'r').catch((error) => {
    throw readError(error, path);
  });
  try {
    const { size } = await file.stat();
    const { bytesRead, buffer } = await file.read(Buffer.alloc(Math.min(size, LONGEST_NPY_HEADER)), 0);
    const info = parseNpyHeader(buffer.subarray(0, bytesRead));
    if (info === undefined) {
      throw new InputError(`${path}: no .npy file of an array in C order; write it again`);
    }
    if (info.descr === '<f4' && info.from + 4 * countOf(info.shape) !== size) {
      throw endsEarly(path);
    }
    return info;
  } finally {
    await file.close();
  }
}

/** What lies beside an `.npy`: `FILE.npy.json`, or what embeddings had before, `FILE.npy.ids.txt`. */
async function describedBy(path: string): Promise<{ name: string; sha256?: string; description: Map<string, string> }> {
  const beside = `${path}.json`;
  if (existsSync(beside)) {
    try {
      const { array, ...texts } = JSON.parse(await readFile(beside, 'utf8'));
      const description = new Map(Object.entries<string | string[]>(texts).map(([key, text]) => [key, asText(text)]));
      // Files of maps from before the array's name was written have one sequence, and the array is of that.
      const name = array?.name ?? Object.keys(JSON.parse(description.get('sequences') ?? '{}')).at(0) ?? '';
      return { name, sha256: array?.sha256, description };
    } catch (error) {
      throw new InputError(`${beside}: not a description of an array (${(error as Error).message}); write both again`);
    }
  }
  const ids = `${path}.ids.txt`;
  if (existsSync(ids)) {
    const lines = (await readFile(ids, 'utf8')).split('\n').slice(0, -1);
    return { name: 'embeddings', description: new Map([['ids', JSON.stringify(lines)]]) };
  }
  return { name: '', description: new Map() };
}

async function digest(path: string, from: number): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path, { start: from, highWaterMark: 2 ** 20 })) {
    hash.update(piece as Buffer);
  }
  return hash.digest('hex');
}

function endsEarly(path: string): InputError {
  return new InputError(`${path}: it does not have the bytes that its header tells; write it again`);
}

function countOf(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}
