import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join as path } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/data/errors.js';
import { readPickle } from '../../src/formats/pickle.js';
import { TorchFile } from '../../src/formats/torchFile.js';
import '../property-seed.js';
import { SHARED } from '../shared.js';
import { temporaryFolder } from '../training/tiny.js';
import {
  bytesOf,
  call,
  dict,
  global,
  int,
  join,
  ORDERED_DICT,
  pickle,
  storage,
  tensor,
  text,
  tuple,
  unzippedFile,
  zipFile,
} from './torchPieces.js';

const folder = temporaryFolder();
const FILE = path(folder, 'weights.pt');

function written(bytes: Uint8Array): string {
  writeFileSync(FILE, bytes);
  return FILE;
}

async function open(
  bytes: Uint8Array,
): Promise<Record<string, { dtype: string; shape: readonly number[]; values: number[] }>> {
  const file = await TorchFile.open(written(bytes));
  try {
    return Object.fromEntries(
      file.names.map((name) => {
        const { dtype, shape } = file.info(name)!;
        return [name, { dtype, shape, values: [...file.read(name)] }];
      }),
    );
  } finally {
    file.close();
  }
}

const six = Float32Array.of(0, 1, 2, 3, 4, 5);
const sixth = storage('FloatStorage', '0', 6);

describe('tensors of PyTorch', () => {
  const data = pickle(
    dict({
      whole: tensor(sixth, 0, [2, 3], [3, 1]),
      transposed: tensor(sixth, 0, [3, 2], [1, 3]),
      row: tensor(sixth, 3, [3], [1]),
      everySecond: tensor(sixth, 1, [3], [2]),
      repeated: tensor(sixth, 4, [2, 2], [0, 1]),
      scalar: tensor(sixth, 5, [], []),
      empty: tensor(sixth, 0, [0, 3], [3, 1]),
      parameter: call(
        global('torch._utils', '_rebuild_parameter'),
        tensor(sixth, 2, [1, 2], [7, 1]),
        '\x88',
        call(ORDERED_DICT),
      ),
    }),
  );
  const expected = {
    whole: { dtype: 'F32', shape: [2, 3], values: [0, 1, 2, 3, 4, 5] },
    transposed: { dtype: 'F32', shape: [3, 2], values: [0, 3, 1, 4, 2, 5] },
    row: { dtype: 'F32', shape: [3], values: [3, 4, 5] },
    everySecond: { dtype: 'F32', shape: [3], values: [1, 3, 5] },
    repeated: { dtype: 'F32', shape: [2, 2], values: [4, 5, 4, 5] },
    scalar: { dtype: 'F32', shape: [], values: [5] },
    empty: { dtype: 'F32', shape: [0, 3], values: [] },
    parameter: { dtype: 'F32', shape: [1, 2], values: [2, 3] },
  };

  it('are views into storages that they share, in the zip form', async () => {
    expect(await open(await zipFile(data, { 0: bytesOf(six) }))).toEqual(expected);
  });

  it('and in the older form', async () => {
    expect(await open(unzippedFile(data, { 0: { elements: 6, bytes: bytesOf(six) } }))).toEqual(expected);
    const view = storage('FloatStorage', '0', 6, [tuple(text('view'), int(2), int(3))]);
    const viewed = pickle(dict({ x: tensor(view, 1, [2], [1]) }));
    const file = unzippedFile(viewed, { 0: { elements: 6, bytes: bytesOf(six) } });
    expect((await open(file)).x.values).toEqual([3, 4]);
  });

  it.each<[string, string, ArrayBufferView, number[]]>([
    ['DoubleStorage', 'F64', Float64Array.of(-0.5, 2), [-0.5, 2]],
    ['HalfStorage', 'F16', Uint16Array.of(0x3c00, 0xc000), [1, -2]],
    ['BFloat16Storage', 'BF16', Uint16Array.of(0x3f80, 0xc040), [1, -3]],
    ['LongStorage', 'I64', BigInt64Array.of(-7n, 2n ** 40n), [-7, 2 ** 40]],
    ['IntStorage', 'I32', Int32Array.of(-7, 8), [-7, 8]],
    ['ShortStorage', 'I16', Int16Array.of(-7, 8), [-7, 8]],
    ['CharStorage', 'I8', Int8Array.of(-7, 8), [-7, 8]],
    ['ByteStorage', 'U8', Uint8Array.of(7, 255), [7, 255]],
    ['BoolStorage', 'BOOL', Uint8Array.of(0, 1), [0, 1]],
  ])('of a %s are %s', async (type, dtype, bytes, values) => {
    const file = await zipFile(pickle(dict({ x: tensor(storage(type, 'a', 2), 0, [2], [1]) })), { a: bytesOf(bytes) });
    expect((await open(file)).x).toEqual({ dtype, shape: [2], values });
  });

  it('are found in what training saved, with the rest as metadata', async () => {
    const namespace = join(
      global('argparse', 'Namespace'),
      ')\x81',
      dict({ layers: int(33), nested: dict({ rate: join('G', Buffer.from('3fe0000000000000', 'hex')) }) }),
      'b',
    );
    const model = join(
      call(ORDERED_DICT),
      '(',
      text('x'),
      tensor(sixth, 0, [1], [1]),
      'u',
      dict({ _metadata: call(ORDERED_DICT) }),
      'b',
    );
    const file = await TorchFile.open(
      written(
        await zipFile(pickle(dict({ args: namespace, model, optimizer: dict({ m: tensor(sixth, 0, [1], [1]) }) })), {
          0: bytesOf(six),
        }),
      ),
    );
    expect(file.names).toEqual(['x']);
    expect(file.metadata).toEqual({ args: { layers: 33, nested: { rate: 0.5 } }, optimizer: {} });
    file.close();
  });
});

describe('what no weights need', () => {
  const system = global('os', 'system');
  const marker = path(folder, 'executed');
  it.each<[string, Buffer, string]>([
    ['a call', call(system, text(`touch ${marker}`)), 'it asks for os.system, which no weights need'],
    ['a name on the stack', join(text('os'), text('system'), '\x93', tuple(text('touch')), 'R'), 'os.system'],
    ['an instance', join('(', text('touch'), 'ios\nsystem\n'), 'os.system'],
    ['a nested name', global('torch._utils', '_rebuild_tensor_v2.__globals__'), '_rebuild_tensor_v2.__globals__'],
    ['a builtin', call(global('builtins', 'eval'), text('1')), 'builtins.eval'],
    ['a name of Object.prototype', global('torch', 'constructor'), 'torch.constructor'],
    ['an extension', join('\x82\x01'), 'opcode 0x82 at byte'],
    ['an object of its class', join('(', ORDERED_DICT, 'o'), 'opcode 0x6f'],
    ['a buffer beside it', join('\x97'), 'opcode 0x97'],
    ['a persistent line', join('Pid\n'), 'opcode 0x50'],
  ])('is refused by its name: %s', async (_, value, message) => {
    for (const file of [await zipFile(pickle(value), {}), unzippedFile(pickle(value), {})]) {
      await expect(open(file)).rejects.toThrow(message);
      await expect(open(file)).rejects.toThrow(/^[^\n]*weights\.pt: [^\n]*(safetensors|PyTorch)[^\n]*$/);
    }
    expect(() => readFileSync(marker)).toThrow('ENOENT');
  });

  const x = (from: Buffer, offset: number, shape: number[], strides: number[]) =>
    zipFile(pickle(dict({ x: tensor(from, offset, shape, strides) })), { 0: bytesOf(six) });
  const floats = (elements: number) => storage('FloatStorage', '0', elements);
  it.each<[string, () => Buffer | Promise<Buffer>, string]>([
    ['a view past its storage', () => x(floats(6), 4, [3], [1]), 'beyond its storage of 6 elements'],
    ['strides past its storage', () => x(floats(6), 0, [2, 2], [5, 1]), 'beyond its storage'],
    [
      'a negative stride',
      () => x(floats(6), 5, [2], [-1]),
      'a tensor whose storage, offset, shape or strides are none',
    ],
    ['a shape with other strides', () => x(floats(6), 0, [2, 2], [1]), 'of shape [2,2] with strides [1]'],
    ['more elements than the file has bytes', () => x(floats(6), 0, [1 << 30], [0]), 'larger than the file'],
    ['a storage larger than its bytes', () => x(floats(7), 0, [7], [1]), 'storage 0 is missing or cut short'],
    ['a storage that is not there', () => x(storage('FloatStorage', '1', 1), 0, [1], [1]), 'archive/data/1 is missing'],
    ['no tensors', () => zipFile(pickle(dict({ a: int(1) })), {}), 'no tensors in it'],
    ['no dict', () => zipFile(pickle(int(1)), {}), 'no state dict in it'],
    ['another byte order', () => zipFile(pickle(int(1)), {}, 'big'), 'big-endian'],
    ['a zip file of something else', async () => (await zipFile(pickle(int(1)), {})).subarray(0), 'no state dict'],
    ['a pickle of something else', () => pickle(dict({ a: int(1) })), 'none that torch.save wrote'],
    ['text', () => Buffer.from('version https://git-lfs.github.com/spec/v1\n'), 'neither a zip file nor a pickle'],
    ['nothing', () => Buffer.alloc(0), 'neither a zip file nor a pickle'],
    ['an unfinished pickle', () => zipFile(pickle(text('x')).subarray(0, -3), {}), 'its pickle ends early'],
    ['an empty stack', () => zipFile(pickle('0R'), {}), 'nothing where a value is needed'],
    ['a memory it does not have', () => zipFile(pickle('h\x05'), {}), 'value 5, which it does not have'],
    ['a long integer', () => zipFile(pickle(join('\x8b', Buffer.from('ffffff7f', 'hex'))), {}), 'an integer of'],
    [
      'a storage of two types',
      () => zipFile(pickle(tuple(sixth, storage('HalfStorage', '0', 6))), { 0: bytesOf(six) }),
      'of two types',
    ],
  ])('or as damaged: %s', async (_, make, message) => {
    await expect(open(await make())).rejects.toThrow(InputError);
    await expect(open(await make())).rejects.toThrow(message);
  });

  it('a truncated file is told as one', async () => {
    const zip = await x(sixth, 0, [6], [1]);
    await expect(open(zip.subarray(0, -30))).rejects.toThrow('not a whole zip file');
    const plain = unzippedFile(pickle(dict({ x: tensor(sixth, 0, [6], [1]) })), {
      0: { elements: 6, bytes: bytesOf(six) },
    });
    await expect(open(plain.subarray(0, -4))).rejects.toThrow(/storage 0 is missing or cut short/);
    await expect(open(plain.subarray(0, 40))).rejects.toThrow('its pickle ends early');
    await expect(TorchFile.open(path(folder, 'missing.pt'))).rejects.toThrow('no such file');
  });

  it('a value that holds itself, or one value in very many places, ends', async () => {
    const itself = join('}q\x00(', text('self'), 'h\x00', text('x'), tensor(sixth, 0, [1], [1]), 'u');
    expect(Object.keys(await open(await zipFile(pickle(itself), { 0: bytesOf(six) })))).toEqual(['x']);
    // Each list holds the one before ten times: 10^30 values in the last.
    let lists: Buffer = join(']q\x00');
    for (let level = 1; level <= 30; level++) {
      lists = join(
        lists,
        '0](',
        ...new Array<string>(10).fill(`h${String.fromCharCode(level - 1)}`),
        `eq${String.fromCharCode(level)}`,
      );
    }
    const file = pickle(dict({ lists, x: tensor(sixth, 0, [1], [1]) }));
    expect(Object.keys(await open(await zipFile(file, { 0: bytesOf(six) })))).toEqual(['x']);
  });
});

describe('damaged files are read or refused, in bounded memory', () => {
  const seeds: [string, () => Buffer | Promise<Buffer>][] = [
    [
      'zip',
      () =>
        zipFile(pickle(dict({ a: tensor(sixth, 0, [2, 3], [3, 1]), b: tensor(sixth, 1, [2], [2]) })), {
          0: bytesOf(six),
        }),
    ],
    [
      'no zip',
      () =>
        unzippedFile(pickle(dict({ a: tensor(sixth, 0, [2, 3], [3, 1]) })), {
          0: { elements: 6, bytes: bytesOf(six) },
        }),
    ],
  ];
  if (SHARED) {
    const golden = (name: string) => () => readFileSync(path(SHARED!, 'golden/family', name));
    seeds.push(['fair-esm', golden('esm2_t2_tiny_UR50D/esm2_t2_tiny_UR50D-contact-regression.pt')]);
  }
  it.each(seeds)('%s', async (_, make) => {
    const whole = await make();
    const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 })), {
      minLength: 1,
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(damage, fc.option(fc.nat(whole.length - 1)), async (changes, cut) => {
        const bytes = Buffer.from(whole);
        for (const [at, byte] of changes) {
          bytes[at] = byte;
        }
        written(bytes);
        if (cut !== null) {
          truncateSync(FILE, cut);
        }
        const before = process.memoryUsage().arrayBuffers;
        try {
          const file = await TorchFile.open(FILE);
          try {
            for (const name of file.names) {
              file.read(name);
            }
          } finally {
            file.close();
          }
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
          expect((error as Error).message).not.toContain('\n');
        }
        expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50_000_000);
      }),
      { numRuns: 700 },
    );
  });

  it('opcodes at random', () => {
    const opcodes = [...'.(012NKMJIFGXTUS])}tlasudqrphjgcRbQ']
      .map((c) => c.charCodeAt(0))
      .concat(0x80, 0x81, 0x85, 0x86, 0x87, 0x88, 0x8a, 0x8c, 0x93, 0x94);
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constantFrom(...opcodes), fc.nat(255)), { maxLength: 80 }), (bytes) => {
        try {
          readPickle('fuzz', Buffer.from(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

const PYTHON = spawnSync('python3', ['--version']).status === 0;
describe.skipIf(!PYTHON)("Python's own pickles (need python3)", () => {
  it.each([0, 1, 2, 3, 4, 5])('of protocol %i have the same values', (protocol) => {
    const basic =
      "'a': [1, -2, 255, 65536, -2**31, 2**40, -2**70, 10**30], 'b': (0.5, -1e300), 'c': ((), (1,), (1, 2), (1, 2, 3)), " +
      "'d': [True, False, None], 'e': 'héλ𝄞\\\\u0041\\n', 'f': {1: {}, 'x': []}, 'i': list(range(2000)), 'j': 'x' * 300";
    // Older ones make objects by copyreg, which torch.save never writes.
    const objects = ", 'g': argparse.Namespace(n=3), 'h': collections.OrderedDict([('k', 1)])";
    const value = `{${basic}${protocol < 2 ? '' : objects}}`;
    const script = `import argparse, collections, pickle, sys; sys.stdout.buffer.write(pickle.dumps(${value}, ${protocol}))`;
    const bytes = execFileSync('python3', ['-c', script]);
    const read = readPickle('p', bytes).value as Map<string, unknown>;
    expect(read.get('a')).toEqual([1, -2, 255, 65536, -(2 ** 31), 2 ** 40, -(2n ** 70n), 10n ** 30n]);
    expect(read.get('b')).toEqual([0.5, -1e300]);
    expect(read.get('c')).toEqual([[], [1], [1, 2], [1, 2, 3]]);
    expect(read.get('d')).toEqual([true, false, null]);
    expect(read.get('e')).toBe('héλ𝄞\\u0041\n');
    expect(read.get('f')).toEqual(
      new Map<unknown, unknown>([
        [1, new Map()],
        ['x', []],
      ]),
    );
    expect(read.get('g')).toEqual(protocol < 2 ? undefined : new Map([['n', 3]]));
    expect(read.get('h')).toEqual(protocol < 2 ? undefined : new Map([['k', 1]]));
    expect(read.get('i')).toEqual(Array.from({ length: 2000 }, (_, i) => i));
    expect(read.get('j')).toBe('x'.repeat(300));
  });
});
