import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { loadModel } from '../../../src/model/files.js';
import { modelTask, predictByModel } from '../../../src/scoring/heads/modelHead.js';
import { describeEngines, relativeDifference } from '../../engines.js';
import { SHARED } from '../../shared.js';

const place = (name: string) => join(SHARED!, 'golden/family', name);

describeEngines('heads that were fine-tuned elsewhere', () => {
  it.skipIf(!SHARED).each(['sequence-classification', 'regression', 'token-classification'])(
    '%s: agrees with transformers',
    async (name) => {
      const { input_ids: ids, logits } = JSON.parse(readFileSync(join(place(name), 'expected.json'), 'utf8'));
      const model = await loadModel(place(name));
      const values = await (model.classify(tf.tensor2d(ids, undefined, 'int32')) as tf.Tensor3D).array();
      const kept = (rows: number[][][]) =>
        rows.flatMap((row, i) => row.flatMap((token, j) => (ids[i][j] === model.alphabet.pad ? [] : token)));
      const [actual, wanted] =
        name === 'token-classification'
          ? [kept(values), kept(logits)]
          : [values.flat() as unknown as number[], logits.flat()];
      expect(wanted.length).toBeGreaterThan(3);
      expect(relativeDifference(actual, wanted)).toBeLessThan(1e-4);
      model.dispose();
    },
  );

  it.skipIf(!SHARED)('tell labels by their names, and values', async () => {
    const sequence = 'MSLWKACDEFGHIKLMNPQRSTVWYG';
    const read = (name: string) => JSON.parse(readFileSync(join(place(name), 'expected.json'), 'utf8')).logits;
    const classes = await loadModel(place('sequence-classification'));
    const logits: number[] = read('sequence-classification')[3];
    const probability = 1 / logits.reduce((sum, logit) => sum + Math.exp(logit - logits[0]), 0);
    expect(modelTask([classes])).toBe('sequences');
    expect(await predictByModel(classes, sequence)).toEqual({
      predictions: [{ label: 'a', probability: expect.closeTo(probability, 4) }],
    });
    const value = await loadModel(place('regression'));
    expect(modelTask([value])).toBe('value');
    expect(await predictByModel(value, sequence)).toEqual({ value: expect.closeTo(read('regression')[3][0], 4) });
    const tokens = await loadModel(place('token-classification'));
    const rows: number[][] = read('token-classification')[3].slice(1, 1 + sequence.length);
    const best = rows.map((row) => `LABEL_${row.indexOf(Math.max(...row))}`);
    const told = await predictByModel(tokens, sequence);
    expect('predictions' in told && told.predictions.map(({ label }) => label)).toEqual(best);
    expect(() => modelTask([classes, value])).toThrow('give one --model, not 2');
    for (const each of [classes, value, tokens]) {
      each.dispose();
    }
  });
});
