import { closeSync, fstatSync, openSync } from 'node:fs';
import { InputError } from '../data/errors.js';
import { ELEMENT_BYTES, type ElementType, readFloats } from './elements.js';
import { readError } from './fileErrors.js';
import { EndsEarly, PickledTensor, type PickleValue, readPickle, STORAGES, type Storages } from './pickle.js';
import { readFully } from './readFully.js';
import type { TensorInfo, Weights } from './weights.js';
import { ZipArchive } from './zip.js';

/** Bytes of the longest pickle that is read: it has names and shapes, not the weights. */
const LONGEST_PICKLE = 2 ** 26;
/** Bytes of a file without zip that are looked through first for its pickles. */
const FIRST_LOOK = 2 ** 20;
/** What a file without zip begins with (torch/serialization.py). */
const MAGIC = 0x1950a86a20f9469cfc6cn;
/** Names under which a state dict lies in what training saved. */
const STATE_DICTS = ['model', 'state_dict', 'model_state_dict', 'module'];

type Dict = Map<PickleValue, PickleValue>;

/** Where the bytes of each storage lie in the file. */
type Places = Map<string, { from: number; length: number }>;

/**
 * A file of PyTorch (`.bin`, `.pt`, `.pth`): a zip file of a pickle and its storages, or the older form, pickles with the
 * storages after them. The pickle is read by `readPickle`, which executes nothing.
 *
 * The tensors are those of the state dict: the whole file's, or what lies in it as `model`, `state_dict`,
 * `model_state_dict`, `module`, or as the only dict of tensors. `metadata` is what lies beside it.
 */
export class TorchFile implements Weights {
  readonly names: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
  private readonly tensors: Map<string, PickledTensor>;

  private constructor(
    readonly path: string,
    private readonly file: number,
    value: PickleValue,
    private readonly places: Places,
    size: number,
  ) {
    const { tensors, rest } = stateDict(path, value);
    for (const [name, { shape }] of tensors) {
      // A view that repeats its elements may be larger than its storage, but no weights are larger than their file.
      if (shape.reduce((product, length) => product * length, 1) > size) {
        throw new InputError(`${path}: tensor '${name}' of shape [${shape}] is larger than the file; it is damaged`);
      }
    }
    this.tensors = tensors;
    this.names = [...tensors.keys()];
    this.metadata = rest;
  }

  /** @throws InputError where the file is missing or damaged, and where its pickle names what no weights need */
  static async open(path: string): Promise<TorchFile> {
    let file: number;
    try {
      file = openSync(path, 'r');
    } catch (error) {
      throw readError(error, path);
    }
    try {
      const { size } = fstatSync(file);
      const head = Buffer.alloc(Math.min(size, 4));
      readFully(path, file, head, 0);
      const isZip = head.toString('latin1').startsWith('PK');
      const { value, places } = isZip ? await openZipped(path, size) : openUnzipped(path, file, size);
      return new TorchFile(path, file, value, places, size);
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  info(name: string): TensorInfo | undefined {
    const tensor = this.tensors.get(name);
    return tensor && { dtype: STORAGES[tensor.storage.type], shape: tensor.shape, file: this.path };
  }

  read(name: string, into?: Float32Array): Float32Array {
    const tensor = this.tensors.get(name);
    if (!tensor) {
      throw new InputError(`${this.path}: no tensor '${name}' in it`);
    }
    const { storage, offset, shape, strides } = tensor;
    const count = shape.reduce((product, length) => product * length, 1);
    const values = into ?? new Float32Array(count);
    if (values.length !== count) {
      throw new RangeError(`${this.path}: room for ${values.length} values of '${name}', which has ${count}`);
    }
    const type: ElementType = STORAGES[storage.type];
    const from = this.places.get(storage.key)!.from + (storage.begin + offset) * ELEMENT_BYTES[type];
    if (count === 0 || isContiguous(shape, strides)) {
      readFloats(this.path, this.file, type, from, values);
      return values;
    }
    const span = shape.reduce((sum, length, axis) => sum + (length - 1) * strides[axis], 1);
    const elements = new Float32Array(span);
    readFloats(this.path, this.file, type, from, elements);
    gather(elements, shape, strides, values);
    return values;
  }

  close(): void {
    closeSync(this.file);
  }
}

async function openZipped(path: string, size: number): Promise<{ value: PickleValue; places: Places }> {
  const zip = await ZipArchive.open(path);
  try {
    const pickles = zip.names.filter((name) => /^([^/]+\/)?data\.pkl$/.test(name));
    if (pickles.length !== 1) {
      throw new InputError(
        `${path}: no zip file of PyTorch, which has one data.pkl: give weights that torch.save wrote`,
      );
    }
    const folder = pickles[0].slice(0, -'data.pkl'.length);
    if (zip.has(`${folder}byteorder`)) {
      checkByteOrder(path, (await zip.read(`${folder}byteorder`, 16)).toString('latin1') !== 'big');
    }
    if (zip.size(pickles[0]) > LONGEST_PICKLE) {
      throw tooLong(path);
    }
    const { value, storages } = readPickle(path, await zip.read(pickles[0]));
    const places: Places = new Map();
    for (const key of storages.keys()) {
      const member = `${folder}data/${key}`;
      if (!zip.has(member)) {
        throw new InputError(`${path}: ${member} is missing, which its pickle names; get the file again`);
      }
      const place = await zip.place(member);
      if (place === undefined) {
        throw new InputError(`${path}: ${member} is compressed, as PyTorch never does; save the weights anew`);
      }
      places.set(key, place);
    }
    checkPlaces(path, storages, places, size);
    return { value, places };
  } finally {
    zip.close();
  }
}

function openUnzipped(path: string, file: number, size: number): { value: PickleValue; places: Places } {
  for (let look = FIRST_LOOK; ; look *= 8) {
    const bytes = Buffer.alloc(Math.min(size, look, LONGEST_PICKLE));
    readFully(path, file, bytes, 0);
    try {
      return readUnzipped(path, file, size, bytes);
    } catch (error) {
      if (!(error instanceof EndsEarly) || bytes.length === size) {
        throw error;
      }
      if (bytes.length === LONGEST_PICKLE) {
        throw tooLong(path);
      }
    }
  }
}

/** Magic number, version, sizes of types, the object, keys of the storages: a pickle each; then the storages' bytes. */
function readUnzipped(path: string, file: number, size: number, bytes: Buffer): { value: PickleValue; places: Places } {
  if (bytes[0] !== 0x80) {
    throw new InputError(`${path}: no weights of PyTorch: neither a zip file nor a pickle; check what it is`);
  }
  const magic = readPickle(path, bytes);
  if (magic.value !== MAGIC) {
    throw new InputError(`${path}: a pickle, but none that torch.save wrote; save the weights with it`);
  }
  const version = readPickle(path, bytes, magic.end);
  const system = readPickle(path, bytes, version.end);
  checkByteOrder(path, !(system.value instanceof Map) || system.value.get('little_endian') !== false);
  const { value, end, storages } = readPickle(path, bytes, system.end);
  const keys = readPickle(path, bytes, end);
  const places: Places = new Map();
  let position = keys.end;
  for (const key of Array.isArray(keys.value) ? keys.value : []) {
    const storage = storages.get(key as string);
    if (storage === undefined) {
      throw new InputError(`${path}: a storage that no tensor names; the file is damaged, get it again`);
    }
    // The number of elements stands before them.
    const length = storage.elements * ELEMENT_BYTES[STORAGES[storage.type]];
    const count = Buffer.alloc(8);
    readFully(path, file, count, position);
    if (count.readBigUInt64LE() !== BigInt(storage.elements)) {
      throw new InputError(`${path}: a storage of another size than its tensors tell; get the file again`);
    }
    places.set(key as string, { from: position + 8, length });
    position += 8 + length;
  }
  checkPlaces(path, storages, places, size);
  return { value, places };
}

function checkPlaces(path: string, storages: Storages, places: Places, size: number): void {
  for (const [key, { type, elements }] of storages) {
    const place = places.get(key);
    const needed = elements * ELEMENT_BYTES[STORAGES[type]];
    if (place === undefined || place.length < needed || place.from + needed > size) {
      throw new InputError(`${path}: storage ${key} is missing or cut short; the file is truncated, get it again`);
    }
  }
}

function checkByteOrder(path: string, isLittle: boolean): void {
  if (!isLittle) {
    throw new InputError(`${path}: written on a big-endian machine; save it anew on another with PyTorch`);
  }
}

function tooLong(path: string): InputError {
  return new InputError(
    `${path}: a pickle of more than ${LONGEST_PICKLE} bytes, which no weights need; save the state dict alone`,
  );
}

/** The tensors of the state dict in what a file holds, and the rest of it. */
function stateDict(
  path: string,
  value: PickleValue,
): { tensors: Map<string, PickledTensor>; rest: Record<string, unknown> } {
  if (!(value instanceof Map)) {
    throw new InputError(`${path}: no state dict in it; save model.state_dict() with PyTorch`);
  }
  if (tensorsOf(value).size > 0) {
    return { tensors: tensorsOf(value), rest: plainEntries(value, new Budget()) };
  }
  const dicts = [...value].filter((entry): entry is [string, Dict] => {
    const [key, item] = entry;
    return typeof key === 'string' && item instanceof Map && tensorsOf(item).size > 0;
  });
  const chosen = dicts.length === 1 ? dicts[0] : dicts.find(([key]) => STATE_DICTS.includes(key));
  if (chosen === undefined) {
    const what =
      dicts.length === 0 ? 'no tensors' : `several dicts of tensors (${dicts.map(([key]) => key).join(', ')})`;
    throw new InputError(`${path}: ${what} in it; save model.state_dict() with PyTorch`);
  }
  const rest = new Map(value);
  rest.delete(chosen[0]);
  return { tensors: tensorsOf(chosen[1]), rest: plainEntries(rest, new Budget()) };
}

function tensorsOf(dict: Dict): Map<string, PickledTensor> {
  const tensors = [...dict].filter((entry): entry is [string, PickledTensor] => {
    return typeof entry[0] === 'string' && entry[1] instanceof PickledTensor;
  });
  return new Map(tensors);
}

/** Values that are still turned into plain ones: a pickle may hold one value in many places, or in itself. */
class Budget {
  left = 100_000;
  depth = 0;
}

/** What a pickle holds besides tensors, in plain objects and arrays. */
function plain(value: PickleValue, budget: Budget): unknown {
  if (--budget.left < 0 || budget.depth > 16) {
    return undefined;
  }
  budget.depth++;
  try {
    if (value instanceof Map) {
      return plainEntries(value, budget);
    }
    if (Array.isArray(value)) {
      return value.slice(0, budget.left).map((item) => plain(item, budget));
    }
    return typeof value === 'object' && value !== null && !(value instanceof Uint8Array) ? undefined : value;
  } finally {
    budget.depth--;
  }
}

function plainEntries(map: Dict, budget: Budget): Record<string, unknown> {
  const entries: [string, unknown][] = [];
  for (const [key, item] of map) {
    if (typeof key === 'string' && !(item instanceof PickledTensor) && budget.left > 0) {
      entries.push([key, plain(item, budget)]);
    }
  }
  return Object.fromEntries(entries);
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== step) {
      return false;
    }
    step *= shape[axis];
  }
  return true;
}

/** Puts the elements of a view in row-major order. */
function gather(
  elements: Float32Array,
  shape: readonly number[],
  strides: readonly number[],
  into: Float32Array,
): void {
  const index = new Array<number>(shape.length).fill(0);
  let at = 0;
  for (let i = 0; i < into.length; i++) {
    into[i] = elements[at];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis];
      if (++index[axis] < shape[axis]) {
        break;
      }
      at -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
}
