import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromArrow } from 'arquero';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Engine, startEngine } from '../../src/engines/index.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { newConfig } from '../../src/model/config.js';
import { saveModel } from '../../src/model/files.js';
import { createModel, type LanguageModel } from '../../src/model/model.js';
import { embedSequences, type Pool } from '../../src/scoring/embeddings.js';
import { relativeDifference } from '../engines.js';
import { runCli } from './cli.js';

const folder = mkdtempSync(join(tmpdir(), 'embed-'));
const model = join(folder, 'model');
const fasta = join(folder, 'three.fasta');
const sequences = { 'sp|P1|A': 'MKTVRQG', P2: 'MK', P3: 'MKTVRQGWAALL' };
let engine: Engine;
let network: LanguageModel;
beforeAll(async () => {
  engine = await startEngine();
  network = createModel(newConfig({ layers: 2, hidden: 16, heads: 2, feedForward: 16, dropout: 0 }), 1);
  await saveModel(network, model);
  writeFileSync(
    fasta,
    Object.entries(sequences)
      .map(([id, sequence]) => `>${id} x\n${sequence}\n`)
      .join(''),
  );
});
afterAll(async () => {
  network.dispose();
  await engine.stop();
  rmSync(folder, { recursive: true });
});
const embed = async (name: string, ...args: string[]) => {
  const out = join(folder, name);
  const result = await runCli(['embed', fasta, '--model', model, '--out', out, ...args]);
  return { ...result, out };
};
const expected = async (pool: Pool) => {
  const vectors: Float32Array[] = [];
  for await (const vector of embedSequences(network, Object.values(sequences), { pool })) {
    vectors.push(vector);
  }
  return vectors;
};
const same = (actual: ArrayLike<number>, wanted: ArrayLike<number>) =>
  expect(relativeDifference(actual, wanted)).toBeLessThan(1e-5);
/** A `.npy` file's shape and values, by its specification. */
const readNpy = (bytes: Buffer) => {
  expect(bytes.toString('latin1', 0, 8)).toBe('\x93NUMPY\x01\x00');
  const start = 10 + bytes.readUInt16LE(8);
  expect(start % 64).toBe(0);
  const header = bytes.toString('latin1', 10, start);
  expect(header).toMatch(/^\{'descr': '<f4', 'fortran_order': False, 'shape': \(\d+, \d+\), \} *\n$/);
  const shape = /\((\d+), (\d+)\)/.exec(header)!.slice(1).map(Number);
  return { shape, values: new Float32Array(new Uint8Array(bytes.subarray(start)).buffer) };
};

describe('embed', () => {
  it('writes one vector a sequence as npy, safetensors and Arrow', async () => {
    const vectors = await expected('mean');
    const flat = vectors.flatMap((vector) => [...vector]);
    const npy = await embed('mean.npy');
    expect(npy.code).toBe(0);
    const { shape, values } = readNpy(readFileSync(npy.out));
    expect(shape).toEqual([3, 16]);
    same(values, flat);
    expect(JSON.parse(readFileSync(`${npy.out}.json`, 'utf8')).ids).toEqual(Object.keys(sequences));

    const { tensors, metadata } = readSafetensors((await embed('mean.safetensors')).out);
    expect(tensors.get('embeddings')!.shape).toEqual([3, 16]);
    same(tensors.get('embeddings')!.data as Float32Array, flat);
    expect(JSON.parse(metadata.ids!)).toEqual(Object.keys(sequences));

    const table = fromArrow(readFileSync((await embed('cls.arrow', '--pool', 'cls')).out));
    expect([...table.array('sequence_id')]).toEqual(Object.keys(sequences));
    same(
      [...table.array('embedding')].flatMap((vector) => [...(vector as Float32Array)]),
      (await expected('cls')).flatMap((vector) => [...vector]),
    );
  });

  it('writes one vector a residue as safetensors, npz and Arrow', async () => {
    const vectors = await expected('none');
    const { tensors } = readSafetensors((await embed('none.safetensors', '--pool', 'none')).out);
    Object.entries(sequences).forEach(([id, sequence], i) => {
      expect(tensors.get(id)!.shape).toEqual([sequence.length, 16]);
      same(tensors.get(id)!.data as Float32Array, vectors[i]);
    });
    const table = fromArrow(readFileSync((await embed('none.arrow', '--pool', 'none')).out));
    expect([...table.array('residue')].join('')).toBe(Object.values(sequences).join(''));
    const npz = readFileSync((await embed('none.npz', '--pool', 'none')).out);
    expect(npz.toString('latin1', 0, 2)).toBe('PK');
    const entry = npz.indexOf('P2.npy') + 'P2.npy'.length;
    const { shape, values } = readNpy(npz.subarray(entry, entry + 128 + 2 * 16 * 4));
    expect(shape).toEqual([2, 16]);
    same(values, vectors[1]);
  });

  it.each<[string, string, string[], number, RegExp]>([
    ['an unknown format', 'x.csv', [], 2, /use \.npy, \.npz, \.safetensors or \.arrow/],
    ['several sequences in one array', 'y.npy', ['--pool', 'none'], 1, /several sequences does not fit one array/],
    ['a layer that is not there', 'z.npy', ['--layer', '7'], 1, /the model has layers 0 to 2/],
  ])('refuses %s and leaves nothing behind', async (_, name, args, code, message) => {
    const result = await embed(name, ...args);
    expect(result.stderr).toMatch(message);
    expect(result.code).toBe(code);
    expect(existsSync(result.out)).toBe(false);
  });
});
