import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findWeights, openWeights } from '../../src/formats/openWeights.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { SHARED } from '../shared.js';
import { temporaryFolder } from '../training/tiny.js';

const folder = temporaryFolder();

async function valuesOf(path: string): Promise<Map<string, Float32Array>> {
  const weights = await openWeights(path);
  try {
    return new Map(weights.names.map((name) => [name, weights.read(name)]));
  } finally {
    weights.close();
  }
}

/** The largest difference, in units of what is allowed: a share of the value, or an absolute step. */
function farthest(actual: Float32Array, wanted: Float32Array, relative: number, absolute: number): number {
  return wanted.reduce((most, value, i) => {
    const allowed = Math.max(relative * Math.abs(value), absolute);
    return Math.max(most, actual[i] === value ? 0 : Math.abs(actual[i] - value) / allowed);
  }, 0);
}

/** Shapes and digests of all tensors, by name. */
async function digests(path: string): Promise<Record<string, string>> {
  const weights = await openWeights(path);
  try {
    const digest = (name: string) => createHash('sha256').update(weights.read(name)).digest('hex');
    return Object.fromEntries(weights.names.map((name) => [name, `${weights.info(name)!.shape} ${digest(name)}`]));
  } finally {
    weights.close();
  }
}

describe.skipIf(!SHARED)('golden checkpoints (need ../shared)', () => {
  const family = (name: string) => join(SHARED!, 'golden/family', name);

  it('hold the same weights in every form of file', async () => {
    const reference = await digests(family('v4-safetensors'));
    expect(Object.keys(reference)).toHaveLength(61);
    for (const form of ['v4-pytorch-bin', 'v4-legacy-pickle', 'v4-bin-sharded']) {
      expect(await digests(family(form))).toEqual(reference);
    }
    expect(await digests(family('esm2-sharded'))).toEqual(await digests(family('esm2')));
    const half = await valuesOf(family('esm2-float16'));
    const brain = await valuesOf(family('esm2-bfloat16'));
    for (const [name, values] of await valuesOf(family('esm2'))) {
      // Rounded to 11 and to 8 bits; below 2^-14, binary16 has steps of 2^-24.
      expect(farthest(half.get(name)!, values, 2 ** -11, 2 ** -25)).toBeLessThanOrEqual(1);
      expect(farthest(brain.get(name)!, values, 2 ** -8, 0)).toBeLessThanOrEqual(1);
    }
  });

  it('tell what lies beside the state dict', async () => {
    const esm2 = await openWeights(family('esm2_t2_tiny_UR50D'));
    expect(esm2.metadata).toEqual({
      cfg: { model: { encoder_layers: 2, encoder_embed_dim: 48, encoder_attention_heads: 4, token_dropout: true } },
    });
    esm2.close();
    const esm1b = await openWeights(family('esm1b_t2_tiny_UR50S'));
    expect(esm1b.metadata).toMatchObject({ args: { arch: 'roberta_large', max_positions: 128 } });
    esm1b.close();
    expect(findWeights(family('esmc-pth'))).toBe(family('esmc-pth/data/weights/esmc_tiny_2024_12_v0.pth'));
  });
});

describe('sharded weights', () => {
  const place = join(folder, 'sharded');
  const index = join(place, 'model.safetensors.index.json');
  const [a, b] = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
  const write = async (map: unknown) => {
    rmSync(place, { recursive: true, force: true });
    mkdirSync(place);
    await writeSafetensors(join(place, a), new Map([['x', { shape: [2], data: Float32Array.of(1, 2) }]]));
    await writeSafetensors(join(place, b), new Map([['y', { shape: [1], data: Int32Array.of(3) }]]));
    writeFileSync(index, typeof map === 'string' ? map : JSON.stringify({ weight_map: map }));
  };

  it('read as one', async () => {
    await write({ x: a, y: b });
    const weights = await openWeights(place);
    expect(weights.names).toEqual(['x', 'y']);
    expect(weights.info('y')).toMatchObject({ dtype: 'I32', shape: [1], file: join(place, b) });
    expect(weights.read('y')).toEqual(Float32Array.of(3));
    const into = new Float32Array(4);
    weights.read('x', into.subarray(1, 3));
    expect(into).toEqual(Float32Array.of(0, 1, 2, 0));
    expect(() => weights.read('z')).toThrow("no tensor 'z'");
    weights.close();
  });

  it('name what is wrong with them', async () => {
    await write({ x: a, y: b });
    rmSync(join(place, b));
    await expect(openWeights(place)).rejects.toThrow(`${b}: this shard is missing, which model.safetensors.index.json`);
    await write({ x: a, y: b });
    copyFileSync(join(place, a), join(place, b));
    await expect(openWeights(place)).rejects.toThrow(`tensor 'x' lies in two shards, ${a} and ${b}`);
    await write({ x: a, y: a });
    await expect(openWeights(place)).rejects.toThrow(`${a}: no tensor 'y' in it`);
    await write({ x: '../elsewhere.safetensors' });
    await expect(openWeights(place)).rejects.toThrow('which is no file beside it');
    await write('{');
    await expect(openWeights(place)).rejects.toThrow(/index.json: not JSON/);
    await write({ x: a, y: b });
    writeFileSync(index, '{"weight_map": null}');
    await expect(openWeights(place)).rejects.toThrow('no weight_map in it');
    writeFileSync(join(place, b), readFileSync(join(place, b)).subarray(0, 40));
    await write({ x: a, y: b });
    writeFileSync(join(place, b), readFileSync(join(place, b)).subarray(0, 40));
    await expect(openWeights(place)).rejects.toThrow(`${b}: not a valid safetensors file`);
  });
});

it('says what is looked for in a folder without weights, and which of several files it cannot choose', async () => {
  const place = join(folder, 'none');
  mkdirSync(place);
  await expect(openWeights(place)).rejects.toThrow('no weights in it: model.safetensors,');
  writeFileSync(join(place, 'a.pt'), '');
  writeFileSync(join(place, 'a-contact-regression.pt'), '');
  await expect(openWeights(place)).rejects.toThrow('a.pt: no weights of PyTorch');
  writeFileSync(join(place, 'b.pth'), '');
  await expect(openWeights(place)).rejects.toThrow('several files of weights (a.pt, b.pth)');
});
