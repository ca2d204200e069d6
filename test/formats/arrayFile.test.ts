import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { createArrayFile } from '../../src/formats/arrayFile.js';
import { npzName } from '../../src/formats/npz.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { readMaps } from '../../src/interpret/readMaps.js';
import { openEmbeddingWriter } from '../../src/scoring/embeddingFiles.js';

const folder = mkdtempSync(join(tmpdir(), 'arrays-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const NUMPY = spawnSync('python3', ['-c', 'import numpy']).status === 0;
const ARRAYS = [
  { name: 'a', shape: [2, 3] },
  { name: 'sp|P1 x', shape: [1, 2, 2] },
];
const VALUES = [Float32Array.of(1, 2, 3, 4, 5, 6), Float32Array.of(-1, 0.5, 1e-8, 7)];

async function write(name: string, arrays = ARRAYS): Promise<string> {
  const path = join(folder, name);
  const file = await createArrayFile(path, arrays, { sequences: '{"a":"MKÅ"}' });
  const scratch = new Float32Array(2);
  for (let array = 0; array < arrays.length; array++) {
    for (let at = 0; at < VALUES[array].length; at += 2) {
      scratch.set(VALUES[array].subarray(at, at + 2));
      await file.write(scratch);
    }
  }
  await file.close();
  return path;
}

describe('array files', () => {
  it('has room for texts longer than a call takes arguments', async () => {
    const path = join(folder, 'long.npz');
    const about = { sequences: '{"a":"M"}', layers: '[1]', heads: '[1]', tokens: 'residues' };
    const sequences = about.sequences + ' '.repeat(1_000_000);
    const file = await createArrayFile(path, [{ name: 'a', shape: [1, 1, 1, 1] }], { ...about, sequences });
    await file.write(Float32Array.of(0.5));
    await file.close();
    expect(await readMaps(path)).toEqual([
      { id: 'a', sequence: 'M', layers: [1], heads: [1], maps: [Float32Array.of(0.5)] },
    ]);
  });

  it('writes safetensors with its texts as metadata', async () => {
    const { tensors, metadata } = readSafetensors(await write('x.safetensors'));
    expect(metadata).toEqual({ sequences: '{"a":"MKÅ"}' });
    expect(tensors.get('a')).toMatchObject({ shape: [2, 3], data: VALUES[0] });
    expect(tensors.get('sp|P1 x')).toMatchObject({ shape: [1, 2, 2], data: VALUES[1] });
  });

  it.skipIf(!NUMPY)('writes what NumPy reads (needs python3 with numpy)', async () => {
    const npy = await write('x.npy', ARRAYS.slice(0, 1));
    const npz = await write('x.npz');
    const script =
      'import sys, json, numpy as np\na = np.load(sys.argv[1], mmap_mode="r"); z = np.load(sys.argv[2])\n' +
      'print(json.dumps([a.tolist(), str(a.dtype), list(z.keys()), {k: z[k].tolist() for k in z.keys()}]))';
    const [a, type, names, z] = JSON.parse(execFileSync('python3', ['-c', script, npy, npz], { encoding: 'utf8' }));
    expect(a).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(type).toBe('float32');
    expect(names).toEqual(['sequences', 'a', 'sp|P1 x']);
    expect(z.sequences).toBe('{"a":"MKÅ"}');
    expect(z['sp|P1 x']).toEqual([
      [
        [-1, 0.5],
        [Math.fround(1e-8), 7],
      ],
    ]);
  });

  it('pads the header so that the values lie on 64 bytes', async () => {
    const bytes = readFileSync(await write('y.npy', ARRAYS.slice(0, 1)));
    expect(bytes.readUInt16LE(8) + 10).toBe(128);
    expect(bytes.length).toBe(128 + 24);
  });

  const PATHS = ['A:1', '/x', '../y', 'a/../b', 'c\\d', 'A%3A1', 'e/f', '..', 'sp|P1'];

  it('names the members of an npz so that none is a path out of it', async () => {
    const path = join(folder, 'paths.npz');
    const arrays = PATHS.map((name) => ({ name, shape: [1, 1, 3, 3] }));
    const strings = {
      sequences: JSON.stringify(Object.fromEntries(PATHS.map((name) => [name, 'M']))),
      layers: '[1]',
      heads: '[1]',
      tokens: 'all',
    };
    const file = await createArrayFile(path, arrays, strings);
    for (const i of PATHS.keys()) {
      await file.write(new Float32Array(9).fill(i));
    }
    await file.close();
    expect((await readMaps(path)).map(({ id, maps }) => [id, [...maps[0]]])).toEqual(
      PATHS.map((name, i) => [name, [i]]),
    );
    // A zip's directory: a record of each member, its name after 42 more bytes.
    const records = readFileSync(path).toString('latin1').split('PK\x01\x02').slice(1);
    const names = records.map((record) => /^(.+?)\.npy/s.exec(record.slice(42))![1]);
    expect(names).toHaveLength(4 + PATHS.length);
    expect(names.slice(4).map(decodeURIComponent)).toEqual(PATHS);
    expect(names.slice(4)).toEqual(expect.arrayContaining(['A%3A1', 'A%253A1', '..%2Fy', 'e/f', '..', 'sp|P1']));
  });

  it('leaves nothing where it cannot begin', async () => {
    const unnameable = [{ name: '%\ud800', shape: [1] }];
    await expect(createArrayFile(join(folder, 'half.npz'), unnameable)).rejects.toThrow();
    expect(readdirSync(folder).filter((name) => name.includes('half'))).toEqual([]);
  });

  it('writes embeddings of residues under the same names', async () => {
    const path = join(folder, 'embeddings.npz');
    const writer = await openEmbeddingWriter(path, 'npz', 'none', 2);
    for (const id of PATHS) {
      await writer.append({ id, sequence: 'M', values: Float32Array.of(1, 2) });
    }
    await expect(writer.append({ id: 'A:1', sequence: 'M', values: Float32Array.of(1, 2) })).rejects.toThrow('twice');
    await writer.close();
    const bytes = readFileSync(path).toString('latin1');
    for (const id of PATHS) {
      expect(bytes).toContain(`${npzName(id)}.npy`);
    }
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('refuses what it cannot write, and leaves nothing when discarded', async () => {
    await expect(createArrayFile(join(folder, 'x.mat'), ARRAYS)).rejects.toThrow('use .npy, .npz, .safetensors');
    await expect(createArrayFile(join(folder, 'two.npy'), ARRAYS)).rejects.toThrow(
      'an .npy holds one array, these are 2',
    );
    for (const name of ['gone.npz', 'gone.npy', 'gone.safetensors']) {
      const file = await createArrayFile(join(folder, name), ARRAYS.slice(0, 1));
      await file.write(VALUES[0].subarray(0, 2));
      await file.discard();
    }
    expect(readdirSync(folder).filter((name) => name.includes('gone'))).toEqual([]);
  });
});
