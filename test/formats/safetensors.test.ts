import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../src/data/errors.js';
import { readSafetensors, SafetensorsFile, writeSafetensors } from '../../src/formats/safetensors.js';
import { SHARED } from '../shared.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'safetensors-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A file of this header and this many bytes of data. */
function write(header: string | Buffer, data: Uint8Array = new Uint8Array(0), length?: bigint): string {
  const path = join(folder, 'test.safetensors');
  const text = Buffer.from(header);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(length ?? BigInt(text.length));
  writeFileSync(path, Buffer.concat([size, text, data]));
  return path;
}

const one = (dtype: string, shape: number[], offsets: number[]) =>
  JSON.stringify({ x: { dtype, shape, data_offsets: offsets } });

describe('safetensors', () => {
  it('reads back what it wrote', async () => {
    const path = join(folder, 'round.safetensors');
    const single = Float32Array.from([1, -2.5, 3e-40, Number.POSITIVE_INFINITY]);
    const double = Float64Array.from([Math.PI]);
    await writeSafetensors(
      path,
      new Map([
        ['a', { shape: [2, 2], data: single }],
        ['empty', { shape: [0, 3], data: new Float32Array(0) }],
        ['b', { shape: [], data: double }],
        ['c', { shape: [1], data: Int32Array.from([-7]) }],
      ]),
      { step: '3' },
    );
    const { tensors, metadata } = readSafetensors(path);
    expect(metadata).toEqual({ step: '3' });
    expect(tensors.get('a')).toEqual({ dtype: 'F32', shape: [2, 2], data: single });
    expect(tensors.get('b')).toEqual({ dtype: 'F64', shape: [], data: double });
    expect(tensors.get('c')!.data).toEqual(Int32Array.from([-7]));
    expect(tensors.get('empty')!.shape).toEqual([0, 3]);
    expect(readFileSync(path).readBigUInt64LE() % 8n).toBe(0n);
  });

  it('reads half precision exactly', () => {
    // Bit patterns of IEEE 754 binary16 and of bfloat16 with their values
    const half = [0x3c00, 0xc000, 0x7bff, 0x0001, 0x8400, 0x3555, 0x7c00];
    const values = [1, -2, 65504, 2 ** -24, -(2 ** -14), 0.333251953125, Number.POSITIVE_INFINITY];
    const path = write(one('F16', [7], [0, 14]), new Uint8Array(Uint16Array.from(half).buffer));
    expect([...readSafetensors(path).tensors.get('x')!.data]).toEqual(values);
    const brain = write(one('BF16', [3], [0, 6]), new Uint8Array(Uint16Array.from([0x3f80, 0xc040, 0x4049]).buffer));
    expect([...readSafetensors(brain).tensors.get('x')!.data]).toEqual([1, -3, 3.140625]);
  });

  const data = new Uint8Array(16);
  const hostile: Record<string, () => string> = {
    'an empty file': () => {
      const path = join(folder, 'empty.safetensors');
      writeFileSync(path, '');
      return path;
    },
    'a header longer than the file': () => write('{}', data, 1_000_000n),
    'a header of 2^63 bytes': () => write('{}', data, 2n ** 63n),
    'a header that is not JSON': () => write('{"x": ', data),
    'a header that is not UTF-8': () => write(Buffer.from([0x7b, 0xff, 0xfe, 0x7d])),
    'a header that is a list': () => write('[]'),
    'an unknown type': () => write(one('F8', [16], [0, 16]), data),
    'a type named after Object.prototype': () => write(one('constructor', [16], [0, 16]), data),
    'a tensor that is null': () => write('{"x": null}'),
    'a negative size': () => write(one('F32', [-4, -1], [0, 16]), data),
    'a fractional size': () => write(one('F32', [2.5], [0, 10]), data),
    'a size that overflows': () => write(one('F32', [2 ** 52, 2 ** 52], [0, 16]), data),
    'offsets outside the file': () => write(one('F32', [8], [0, 32]), data),
    'offsets in the wrong order': () => write(one('F32', [4], [16, 0]), data),
    'bytes that no tensor owns': () => write(one('F32', [2], [0, 8]), data),
    'a gap': () => write(one('F32', [2], [8, 16]), data),
    'tensors that overlap': () =>
      write(
        JSON.stringify({
          x: { dtype: 'F32', shape: [4], data_offsets: [0, 16] },
          y: { dtype: 'F32', shape: [2], data_offsets: [8, 16] },
        }),
        data,
      ),
    'a missing file': () => join(folder, 'missing.safetensors'),
  };
  it.each(Object.entries(hostile))('refuses %s', (_, make) => {
    const path = make();
    const before = process.memoryUsage().arrayBuffers;
    expect(() => SafetensorsFile.open(path)).toThrow(InputError);
    expect(() => SafetensorsFile.open(path)).toThrow(/^[^\n]*safetensors[^\n]*$/);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
  });

  it('refuses or reads, and never crashes on, damaged files', async () => {
    const path = join(folder, 'whole.safetensors');
    await writeSafetensors(path, new Map([['weight', { shape: [3, 2], data: new Float32Array(6) }]]));
    const whole = readFileSync(path);
    const damaged = join(folder, 'damaged.safetensors');
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 }), fc.boolean(), (at, byte, cut) => {
        const bytes = Buffer.from(whole);
        bytes[at] = byte;
        writeFileSync(damaged, bytes);
        if (cut) {
          truncateSync(damaged, at);
        }
        try {
          readSafetensors(damaged);
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
        }
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  it.skipIf(!SHARED)('writes a golden model as its own implementation did', async () => {
    const path = join(SHARED!, 'golden/esm2/model.safetensors');
    const { tensors, metadata } = readSafetensors(path);
    const copy = join(folder, 'copy.safetensors');
    await writeSafetensors(copy, tensors as Map<string, { shape: number[]; data: Float32Array }>, metadata);
    expect(readFileSync(copy).equals(readFileSync(path))).toBe(true);
  });
});
