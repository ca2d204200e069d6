import { afterAll, beforeAll, expect, it } from 'vitest';
import { Random } from '../../../src/data/random.js';
import { type Engine, startEngine } from '../../../src/engines/index.js';
import { newConfig } from '../../../src/model/config.js';
import { createModel, type LanguageModel } from '../../../src/model/model.js';
import type { Assay } from '../../../src/scoring/assay.js';
import { crossValidate } from '../../../src/scoring/heads/assayHead.js';
import type { LabelledSequences } from '../../../src/scoring/heads/classifier.js';
import {
  type ClassEvaluation,
  crossValidateAssay,
  crossValidateClasses,
  type HeadEvaluation,
  methodFits,
  splitFits,
  trainingVariants,
} from '../../../src/scoring/heads/crossValidation.js';
import { assignFolds } from '../../../src/scoring/heads/folds.js';
import { evaluateScores, spearman } from '../../../src/scoring/metrics.js';
import { readVariant, singleSubstitutions } from '../../../src/scoring/variants.js';

const WILD_TYPE = 'MKTVRQGW';
let engine: Engine;
let model: LanguageModel;
let assay: Assay;
beforeAll(async () => {
  engine = await startEngine();
  model = createModel(newConfig({ layers: 1, hidden: 16, heads: 2, feedForward: 16, dropout: 0 }), 1);
  const random = new Random(3);
  const variants = [...singleSubstitutions(WILD_TYPE, 'ACDEFGHIKLMNPQRSTVWY'), readVariant(WILD_TYPE, 'K2*')];
  const measured = Float64Array.from(variants, ({ edits }) => (edits[0].start % 3) + random.uniform());
  assay = { wildType: WILD_TYPE, variants, measured, skipped: { mismatches: 0, missing: 0, unscorable: {} } };
});
afterAll(async () => {
  model.dispose();
  await engine.stop();
});
const lines = async <T>(evaluations: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = [];
  for await (const evaluation of evaluations) {
    all.push(evaluation);
  }
  return all;
};

it('evaluates heads by fold, on all folds together, and in low-N', async () => {
  const data = trainingVariants([model], assay);
  expect(data.unscorable).toBe(1);
  expect(data.measured).toHaveLength(8 * 19);
  const folded: [number, string, string][] = [];
  const options = { methods: ['one-hot', 'site-embedding'] as const, splits: ['random', 'modulo'] as const, seed: 4 };
  const all: HeadEvaluation[] = await lines(
    crossValidateAssay(data, {
      ...options,
      folds: 3,
      trainSizes: [24],
      repeats: 2,
      onFold: (...fold) => folded.push(fold),
    }),
  );
  expect(all.map(({ method, split, fold }) => `${method} ${split} ${fold}`)).toEqual(
    ['one-hot', 'site-embedding'].flatMap((method) => [
      ...['1', '2', '3', 'all'].map((fold) => `${method} random ${fold}`),
      ...['1', '2', '3', 'all'].map((fold) => `${method} modulo ${fold}`),
      `${method} low-N 1`,
      `${method} low-N 2`,
    ]),
  );
  expect(folded).toHaveLength(2 * 2 * 3);
  const folds = assignFolds(data.features.variants, 'random', 3, 4);
  const { values: predicted } = await crossValidate('one-hot', data.features, data.measured, folds, { seed: 4 });
  expect(all[3].metrics.spearman).toBeCloseTo(spearman(data.measured, predicted), 12);
  const rows = [...folds.keys()].filter((row) => folds[row] === 1);
  const second = all[1];
  expect([second.train, second.test]).toEqual([152 - rows.length, rows.length]);
  const of = (values: ArrayLike<number>) => rows.map((row) => values[row]);
  expect(second.metrics).toEqual(evaluateScores(of(data.measured), of(predicted), of(data.labels)));
  const lowN = all.filter(({ split }) => split === 'low-N');
  expect(lowN.map(({ train, test }) => [train, test])).toEqual(Array(4).fill([24, 30]));
  expect(lowN[0].metrics.spearman).not.toBe(lowN[1].metrics.spearman);
});

it('tells what does not fit variants of other lengths', async () => {
  const variants = ['K2A', 'K2del'].map((name) => readVariant(WILD_TYPE, name));
  expect(methodFits('one-hot', variants)).toBe(false);
  expect(methodFits('augmented-embedding', variants)).toBe(false);
  expect(methodFits('mean-embedding', variants)).toBe(true);
  expect(splitFits('random', variants)).toBe(true);
  expect(splitFits('modulo', variants)).toBe(false);
  expect(splitFits('contiguous', [readVariant(WILD_TYPE, 'K2A:T3A')])).toBe(false);
  const data = trainingVariants([model], assay);
  const tooMany = crossValidateAssay(data, { methods: ['one-hot'], trainSizes: [150], where: 'a.csv' });
  await expect(lines(tooMany)).rejects.toThrow('a.csv: --train-size 150 of 152 variants leaves no fifth to test on');
});

it('cross-validates classes, and leaves the model as it was', async () => {
  const sequences = Array.from({ length: 12 }, (_, i) => (i % 2 ? 'KRKRKWKR' : 'DEDEDWDE'));
  const labels = sequences.map((_, i) => (i % 2 ? 'basic' : 'acidic'));
  const data: LabelledSequences = { task: 'sequences', sequences, labels, classes: ['acidic', 'basic'] };
  const parameter = [...model.trainable.values()].at(-1)!;
  const before = [...(await parameter.data())];
  const options = { folds: 3, epochs: 6, learningRate: 1e-2, layers: 'all' as const };
  const all: ClassEvaluation[] = await lines(crossValidateClasses(model, data, options));
  expect(all.map(({ fold, train, test }) => [fold, train, test])).toEqual([
    ['1', 8, 4],
    ['2', 8, 4],
    ['3', 8, 4],
    ['all', 12, 12],
  ]);
  expect(all.at(-1)!.metrics.majority).toBeCloseTo(0.5, 12);
  const mean = all.slice(0, 3).reduce((sum, { metrics }) => sum + metrics.accuracy / 3, 0);
  expect(all.at(-1)!.metrics.accuracy).toBeCloseTo(mean, 12);
  expect(all.at(-1)!.metrics.accuracy).toBeGreaterThan(0.8);
  expect([...(await parameter.data())]).toEqual(before);
});
