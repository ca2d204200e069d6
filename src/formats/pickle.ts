import { InputError } from '../data/errors.js';

/**
 * A pickle read without executing anything: values of Python's basic types become values of JavaScript, and the few
 * callables that tensors need become descriptions. The opcodes are those of pickletools.py that `torch.save` writes, and
 * the names an allow-list; everything else is refused with its name.
 *
 * dict, collections.OrderedDict, argparse.Namespace: Map; list, tuple: array; str: string; bytes: Uint8Array; int:
 * number, or bigint where it is beyond 2^53; None: null.
 */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | PickleGlobal
  | PickledStorage
  | PickledTensor;

/** A name that the allow-list has. */
export class PickleGlobal {
  constructor(readonly name: string) {}
}

/** Where the elements of tensors lie, by its key: `torch.FloatStorage` and the like, with the number of elements. */
export class PickledStorage {
  constructor(
    readonly type: StorageName,
    readonly key: string,
    readonly elements: number,
    /** In the form without zip: this storage begins so many elements into the one of its key. */
    readonly begin = 0,
  ) {}
}

/** A view into a storage: its elements, and the steps between them, in elements. */
export class PickledTensor {
  constructor(
    readonly storage: PickledStorage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

const REBUILD_TENSOR = 'torch._utils._rebuild_tensor_v2';
const REBUILD_PARAMETER = 'torch._utils._rebuild_parameter';
const ORDERED_DICT = 'collections.OrderedDict';
const NAMESPACE = 'argparse.Namespace';

/** Storages by name, and the type of their elements as safetensors calls it. */
export const STORAGES = {
  'torch.DoubleStorage': 'F64',
  'torch.FloatStorage': 'F32',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.LongStorage': 'I64',
  'torch.IntStorage': 'I32',
  'torch.ShortStorage': 'I16',
  'torch.CharStorage': 'I8',
  'torch.ByteStorage': 'U8',
  'torch.BoolStorage': 'BOOL',
} as const;

export type StorageName = keyof typeof STORAGES;

const ALLOWED = new Set<string>([REBUILD_TENSOR, REBUILD_PARAMETER, ORDERED_DICT, NAMESPACE, ...Object.keys(STORAGES)]);

/** Digits, or bytes, of the longest integer that is read: longer ones have no place beside weights. */
const LONGEST_INTEGER = 1024;

/** Objects, values on the stack, and values remembered, at most: weights of a hundred billion parameters have a tenth of it. */
const MOST = 1_000_000;
/** Axes of a tensor at most: PyTorch's limit. */
const MOST_AXES = 64;

/** The storages that a pickle names, by key: their type, and the number of their elements. */
export type Storages = Map<string, { type: StorageName; elements: number }>;

/** The bytes end inside the pickle: there may be more of it in the file. */
export class EndsEarly extends InputError {}

/** Marks the beginning of a tuple, list or dict on the stack. */
const MARK = Symbol('mark');
type StackItem = PickleValue | typeof MARK;

/**
 * Reads one pickle.
 * @param start where in `bytes` it begins
 * @returns its value, where it ends, and the storages it names
 * @throws InputError for an opcode or a name that weights do not need, and for a damaged pickle; `EndsEarly` where
 * `bytes` end before it does
 */
export function readPickle(
  path: string,
  bytes: Buffer,
  start = 0,
): { value: PickleValue; end: number; storages: Storages } {
  const reader = new PickleReader(path, bytes, start);
  const value = reader.run();
  return { value, end: reader.position, storages: reader.storages };
}

class PickleReader {
  private readonly stack: StackItem[] = [];
  private readonly memo = new Map<number, PickleValue>();
  /** Maps that stand for an argparse.Namespace. */
  private readonly namespaces = new WeakSet<object>();
  readonly storages: Storages = new Map();
  private made = 0;

  constructor(
    private readonly path: string,
    private readonly bytes: Buffer,
    public position: number,
  ) {}

  run(): PickleValue {
    for (;;) {
      const at = this.position;
      const opcode = this.byte();
      switch (opcode) {
        case 0x80: // PROTO
          if (this.byte() > 5) {
            throw this.damaged('a protocol beyond 5');
          }
          break;
        case 0x95: // FRAME
          this.take(8);
          break;
        case 0x2e: // STOP
          return this.pop();
        case 0x28: // MARK
          this.push(MARK);
          break;
        case 0x30: // POP
          this.stack.pop();
          break;
        case 0x31: // POP_MARK
          this.popMark();
          break;
        case 0x32: // DUP
          this.push(this.top());
          break;
        case 0x4e: // NONE
          this.push(null);
          break;
        case 0x88: // NEWTRUE
          this.push(true);
          break;
        case 0x89: // NEWFALSE
          this.push(false);
          break;
        case 0x4b: // BININT1
          this.push(this.byte());
          break;
        case 0x4d: // BININT2
          this.push(this.take(2).readUInt16LE());
          break;
        case 0x4a: // BININT
          this.push(this.take(4).readInt32LE());
          break;
        case 0x8a: // LONG1
          this.push(this.long(this.byte()));
          break;
        case 0x8b: // LONG4
          this.push(this.long(this.take(4).readUInt32LE()));
          break;
        case 0x49: // INT
          this.push(this.int(this.line()));
          break;
        case 0x4c: // LONG
          this.push(this.int(this.line().replace(/L$/, '')));
          break;
        case 0x46: // FLOAT
          this.push(Number(this.line()));
          break;
        case 0x47: // BINFLOAT
          this.push(this.take(8).readDoubleBE());
          break;
        case 0x58: // BINUNICODE
          this.push(this.take(this.take(4).readUInt32LE()).toString('utf8'));
          break;
        case 0x8c: // SHORT_BINUNICODE
          this.push(this.take(this.byte()).toString('utf8'));
          break;
        case 0x8d: // BINUNICODE8
          this.push(this.take(this.length8()).toString('utf8'));
          break;
        case 0x56: // UNICODE, as Python's raw-unicode-escape
          this.push(
            this.line().replace(/\\(?:u([\da-fA-F]{4})|U00(0[\da-fA-F]{5}|10[\da-fA-F]{4}))/g, (_, short, long) =>
              String.fromCodePoint(Number.parseInt(short ?? long, 16)),
            ),
          );
          break;
        case 0x54: // BINSTRING
          this.push(this.take(this.take(4).readUInt32LE()).toString('latin1'));
          break;
        case 0x55: // SHORT_BINSTRING
          this.push(this.take(this.byte()).toString('latin1'));
          break;
        case 0x53: // STRING
          this.push(this.line().replace(/^(['"])(.*)\1$/, '$2'));
          break;
        case 0x43: // SHORT_BINBYTES
          this.push(Uint8Array.from(this.take(this.byte())));
          break;
        case 0x42: // BINBYTES
          this.push(Uint8Array.from(this.take(this.take(4).readUInt32LE())));
          break;
        case 0x8e: // BINBYTES8
          this.push(Uint8Array.from(this.take(this.length8())));
          break;
        case 0x5d: // EMPTY_LIST
        case 0x29: // EMPTY_TUPLE
          this.push([]);
          break;
        case 0x7d: // EMPTY_DICT
          this.push(new Map());
          break;
        case 0x85: // TUPLE1
        case 0x86: // TUPLE2
        case 0x87: // TUPLE3
          this.push(this.popSeveral(opcode - 0x84));
          break;
        case 0x74: // TUPLE
        case 0x6c: // LIST
          this.push(this.popMark());
          break;
        case 0x64: // DICT
          this.push(this.setItems(new Map(), this.popMark()));
          break;
        case 0x61: // APPEND
          this.append([this.pop()]);
          break;
        case 0x65: // APPENDS
          this.append(this.popMark());
          break;
        case 0x73: // SETITEM
          this.setItemsOfTop(this.popSeveral(2));
          break;
        case 0x75: // SETITEMS
          this.setItemsOfTop(this.popMark());
          break;
        case 0x71: // BINPUT
          this.remember(this.byte());
          break;
        case 0x72: // LONG_BINPUT
          this.remember(this.take(4).readUInt32LE());
          break;
        case 0x70: // PUT
          this.remember(Number(this.line()));
          break;
        case 0x94: // MEMOIZE
          this.remember(this.memo.size);
          break;
        case 0x68: // BINGET
          this.push(this.remembered(this.byte()));
          break;
        case 0x6a: // LONG_BINGET
          this.push(this.remembered(this.take(4).readUInt32LE()));
          break;
        case 0x67: // GET
          this.push(this.remembered(Number(this.line())));
          break;
        case 0x63: // GLOBAL
          this.push(this.global(this.line(), this.line()));
          break;
        case 0x93: {
          // STACK_GLOBAL
          const [module, name] = this.popSeveral(2);
          if (typeof module !== 'string' || typeof name !== 'string') {
            throw this.damaged('a name that is no text');
          }
          this.push(this.global(module, name));
          break;
        }
        case 0x69: // INST: a global's name, and its arguments from the mark
          this.push(this.call(this.global(this.line(), this.line()), this.popMark()));
          break;
        case 0x52: // REDUCE
        case 0x81: {
          // NEWOBJ
          const [callable, values] = this.popSeveral(2);
          this.push(this.call(callable, values));
          break;
        }
        case 0x62: // BUILD
          this.build(this.pop());
          break;
        case 0x51: // BINPERSID
          this.push(this.storage(this.pop()));
          break;
        default:
          throw new InputError(
            `${this.path}: opcode 0x${opcode.toString(16).padStart(2, '0')} at byte ${at} of its pickle is none that ` +
              'tensors need; if you trust the file, save its state dict anew with PyTorch: torch.save or safetensors',
          );
      }
    }
  }

  /** A name of the allow-list; anything else is refused, and nothing of it was executed. */
  private global(module: string, name: string): PickleGlobal {
    const full = `${module}.${name}`;
    if (!ALLOWED.has(full)) {
      throw new InputError(
        `${this.path}: it asks for ${JSON.stringify(full).slice(1, -1).slice(0, 200)}, which no weights need, and was ` +
          'refused unexecuted; if you trust the file, save its state dict alone with PyTorch: ' +
          'safetensors.torch.save_file(model.state_dict(), "model.safetensors")',
      );
    }
    return new PickleGlobal(full);
  }

  private call(callable: PickleValue, values: PickleValue): PickleValue {
    if (!(callable instanceof PickleGlobal) || !Array.isArray(values)) {
      throw this.damaged('a call of what is no name');
    }
    switch (callable.name) {
      case ORDERED_DICT: {
        const [items = []] = values;
        if (!Array.isArray(items)) {
          throw this.damaged('an OrderedDict of what is no list');
        }
        return this.setItems(
          new Map(),
          items.flatMap((item) => (Array.isArray(item) ? item.slice(0, 2) : [item])),
        );
      }
      case NAMESPACE: {
        const namespace = new Map();
        this.namespaces.add(namespace);
        return namespace;
      }
      case REBUILD_TENSOR:
        return this.tensor(values);
      case REBUILD_PARAMETER:
        if (!(values[0] instanceof PickledTensor)) {
          throw this.damaged('a parameter of what is no tensor');
        }
        return values[0];
      default:
        throw this.damaged(`a call of ${callable.name}`);
    }
  }

  private tensor([storage, offset, shape, strides]: PickleValue[]): PickledTensor {
    if (!(storage instanceof PickledStorage) || !isSize(offset) || !isSizes(shape) || !isSizes(strides)) {
      throw this.damaged('a tensor whose storage, offset, shape or strides are none');
    }
    if (shape.length !== strides.length) {
      throw this.damaged(`a tensor of shape [${shape}] with strides [${strides}]`);
    }
    const count = shape.reduce((product, size) => product * size, 1);
    const last = count === 0 ? -1 : shape.reduce((sum, size, axis) => sum + (size - 1) * strides[axis], offset);
    if (!(last < storage.elements)) {
      throw this.damaged(`a tensor of shape [${shape}] beyond its storage of ${storage.elements} elements`);
    }
    return new PickledTensor(storage, offset, shape, strides);
  }

  /** A persistent identifier: PyTorch has them for storages only. */
  private storage(id: PickleValue): PickledStorage {
    const [kind, type, key, , elements, view = null] = Array.isArray(id) ? id : [];
    const isStorage = kind === 'storage' && type instanceof PickleGlobal && Object.hasOwn(STORAGES, type.name);
    if (!isStorage || typeof key !== 'string' || !isSize(elements)) {
      throw this.damaged('a persistent identifier that is no storage');
    }
    const root = this.storages.get(key);
    if (root !== undefined && (root.type !== type.name || root.elements !== elements)) {
      throw this.damaged(`a storage ${JSON.stringify(key)} of two types or sizes`);
    }
    this.storages.set(key, { type: type.name as StorageName, elements });
    if (view === null) {
      return new PickledStorage(type.name as StorageName, key, elements);
    }
    const [, begin, size] = Array.isArray(view) ? view : [];
    if (!isSize(begin) || !isSize(size) || begin + size > elements) {
      throw this.damaged('a view of a storage that lies outside of it');
    }
    return new PickledStorage(type.name as StorageName, key, size, begin);
  }

  /** The state of an object that was made before: an OrderedDict's attributes are left out, a Namespace's are it. */
  private build(state: PickleValue): void {
    const object = this.top();
    if (!(object instanceof Map && state instanceof Map)) {
      throw this.damaged('the state of an object that has none');
    }
    if (this.namespaces.has(object)) {
      for (const [key, value] of state) {
        object.set(key, value);
      }
    }
  }

  private append(items: PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) {
      throw this.damaged('items of what is no list');
    }
    for (const item of items) {
      list.push(item);
    }
  }

  private setItemsOfTop(items: PickleValue[]): void {
    const map = this.top();
    if (!(map instanceof Map)) {
      throw this.damaged('items of what is no dict');
    }
    this.setItems(map, items);
  }

  /** Keys and values in turn. */
  private setItems(map: Map<PickleValue, PickleValue>, items: PickleValue[]): Map<PickleValue, PickleValue> {
    if (items.length % 2 !== 0) {
      throw this.damaged('a key without a value');
    }
    for (let i = 0; i < items.length; i += 2) {
      map.set(items[i], items[i + 1]);
    }
    return map;
  }

  private push(value: StackItem): void {
    if (this.stack.length >= MOST) {
      throw this.damaged(`more than ${MOST} values at once`);
    }
    if (typeof value === 'object' && value !== null && ++this.made > MOST) {
      throw this.damaged('more objects than weights have');
    }
    this.stack.push(value);
  }

  private remember(index: number): void {
    if (this.memo.size >= MOST) {
      throw this.damaged(`more than ${MOST} values to remember`);
    }
    this.memo.set(index, this.top());
  }

  private remembered(index: number): PickleValue {
    const value = this.memo.get(index);
    if (value === undefined) {
      throw this.damaged(`value ${index}, which it does not have`);
    }
    return value;
  }

  private top(): PickleValue {
    const value = this.stack.at(-1);
    if (value === undefined || value === MARK) {
      throw this.damaged('nothing where a value is needed');
    }
    return value;
  }

  private pop(): PickleValue {
    const value = this.top();
    this.stack.pop();
    return value;
  }

  private popSeveral(count: number): PickleValue[] {
    const values = this.stack.splice(-count);
    if (values.length < count || values.includes(MARK)) {
      throw this.damaged('nothing where a value is needed');
    }
    return values as PickleValue[];
  }

  private popMark(): PickleValue[] {
    const mark = this.stack.lastIndexOf(MARK);
    if (mark === -1) {
      throw this.damaged('an end without a beginning');
    }
    const values = this.stack.splice(mark + 1) as PickleValue[];
    this.stack.pop();
    return values;
  }

  private byte(): number {
    return this.take(1)[0];
  }

  private take(length: number): Buffer {
    const end = this.position + length;
    if (end > this.bytes.length) {
      throw new EndsEarly(`${this.path}: its pickle ends early; the file is truncated, get it again`);
    }
    const bytes = this.bytes.subarray(this.position, end);
    this.position = end;
    return bytes;
  }

  private line(): string {
    const end = this.bytes.indexOf(10, this.position);
    if (end === -1) {
      throw new EndsEarly(`${this.path}: its pickle ends early; the file is truncated, get it again`);
    }
    const line = this.bytes.toString('latin1', this.position, end);
    this.position = end + 1;
    return line;
  }

  private length8(): number {
    return Number(this.take(8).readBigUInt64LE());
  }

  /** Two's complement, little-endian. */
  private long(length: number): number | bigint {
    if (length > LONGEST_INTEGER) {
      throw this.damaged(`an integer of ${length} bytes`);
    }
    const hex = Buffer.from(this.take(length)).reverse().toString('hex');
    return small(BigInt.asIntN(8 * length, BigInt(`0x0${hex}`)));
  }

  private int(text: string): number | bigint | boolean {
    if (text === '00' || text === '01') {
      return text === '01';
    }
    if (!/^-?\d+$/.test(text) || text.length > LONGEST_INTEGER) {
      throw this.damaged('an integer that is none');
    }
    return small(BigInt(text));
  }

  private damaged(what: string): InputError {
    return new InputError(`${this.path}: its pickle has ${what}, before byte ${this.position}; the file is damaged`);
  }
}

function small(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= MOST_AXES && value.every(isSize);
}
