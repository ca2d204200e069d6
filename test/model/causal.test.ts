import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { Random } from '../../src/data/random.js';
import { ATTENTION_KINDS, attentionKind } from '../../src/model/attention/index.js';
import { newConfig } from '../../src/model/config.js';
import { loadModel, saveModel } from '../../src/model/files.js';
import { createModel, type LanguageModel } from '../../src/model/model.js';
import { describeEngines, relativeDifference } from '../engines.js';

// The chunks of LSH move with what follows, by definition.
const kinds = ATTENTION_KINDS.filter((kind) => attentionKind(kind).causal && kind !== 'lsh');

/** A causal model whose queries and keys have `scale` times their initial weights. */
function causalModel(kind: string, scale: number, sizes: { layers: number; hidden: number }): LanguageModel {
  const random = kind === 'favor-softmax' || kind === 'favor-trig';
  const attention = { kind, causal: true, ...(random && { num_features: 32 }) };
  const model = createModel(newConfig({ ...sizes, heads: 4, feedForward: 64, dropout: 0, length: 4500, attention }), 3);
  for (const [name, variable] of model.parameters) {
    if (name.endsWith('.attention.qkv.weight')) {
      const [rows, columns] = variable.shape;
      const factors = Float32Array.from({ length: rows }, (_, i) => (i < (rows * 2) / 3 ? scale : 1));
      tf.tidy(() => variable.assign(tf.mul(variable, tf.tensor2d(factors, [rows, 1]))));
      expect(columns).toBe(sizes.hidden);
    }
  }
  return model;
}

async function states(model: LanguageModel, rows: number[][], length: number): Promise<Float32Array> {
  const ids = rows.flatMap((row) => [
    ...row,
    ...new Array<number>(length - row.length).fill(model.config.pad_token_id),
  ]);
  const hidden = tf.tidy(() => model.encode(tf.tensor2d(ids, [rows.length, length], 'int32')));
  const values = (await hidden.data()) as Float32Array;
  hidden.dispose();
  return values;
}

function residues(random: Random, count: number): number[] {
  return Array.from({ length: count }, () => 4 + random.int(20));
}

describeEngines('causal models', (device) => {
  // Elsewhere sums round otherwise for another length, and the denominators of trigonometric features may nearly vanish.
  const same = (actual: Float32Array, expected: Float32Array, kind: string) => {
    if (device === 'cpu') {
      expect(actual).toEqual(expected);
    } else {
      expect(relativeDifference(actual, expected)).toBeLessThan(kind === 'favor-trig' ? 0.05 : 1e-4);
    }
  };

  it.each(kinds.flatMap((kind) => (device === 'cpu' ? [1, 2, 8] : [2]).map((scale) => [kind, scale] as const)))(
    '%s, query and key weights times %d: a prefix does not know what follows, nor a sequence its batch',
    async (kind, scale) => {
      const model = causalModel(kind, scale, { layers: 2, hidden: 64 });
      const random = new Random(8);
      const whole = residues(random, 330);
      const expected = await states(model, [whole], whole.length);
      for (const length of [1, 20, 64, 257]) {
        const prefix = whole.slice(0, length);
        const own = expected.subarray(0, length * 64);
        same(await states(model, [prefix], length), own, kind);
        same(
          (await states(model, [[...prefix, ...residues(random, 40)]], length + 40)).subarray(0, length * 64),
          own,
          kind,
        );
        const batch = await states(model, [residues(random, 150), prefix, residues(random, 90)], 300);
        same(batch.subarray(300 * 64, (300 + length) * 64), own, kind);
      }
      model.dispose();
    },
  );

  it.runIf(device === 'cpu').each(kinds)('%s: a prefix of a long sequence does not know what follows', async (kind) => {
    const model = causalModel(kind, 2, { layers: 1, hidden: 32 });
    const whole = residues(new Random(9), 4400);
    const prefix = await states(model, [whole.slice(0, 300)], 300);
    expect((await states(model, [whole], whole.length)).subarray(0, prefix.length)).toEqual(prefix);
    model.dispose();
  });
});

describeEngines('a causal FAVOR+ of before', (device) => {
  it.runIf(device === 'cpu')('loads, and says that its features were others', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'protein-lm-'));
    const warnings: string[] = [];
    const listen = ({ message }: Error) => warnings.push(message);
    process.on('warning', listen);
    try {
      const model = causalModel('favor-softmax', 1, { layers: 1, hidden: 32 });
      await saveModel(model, folder);
      model.dispose();
      (await loadModel(folder)).dispose();
      const path = join(folder, 'config.json');
      const config = JSON.parse(readFileSync(path, 'utf8'));
      expect(config.attention.revision).toBe(2);
      delete config.attention.revision;
      writeFileSync(path, JSON.stringify(config));
      (await loadModel(folder)).dispose();
      config.attention.revision = 3;
      writeFileSync(path, JSON.stringify(config));
      await expect(loadModel(folder)).rejects.toThrow(/attention.revision is 3: it must be 2 or left out/);
      await new Promise((resolve) => setImmediate(resolve));
      expect(warnings).toEqual([expect.stringMatching(/knew the later keys/)]);
    } finally {
      process.off('warning', listen);
      rmSync(folder, { recursive: true });
    }
  });
});
