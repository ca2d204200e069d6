import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../../src/data/random.js';
import { type Engine, startEngine } from '../../../src/engines/index.js';
import { newConfig } from '../../../src/model/config.js';
import { saveModel } from '../../../src/model/files.js';
import { createModel, type LanguageModel } from '../../../src/model/model.js';
import {
  crossValidate,
  fitAssayHead,
  METHODS,
  predictAssayHead,
  trainAndPredict,
} from '../../../src/scoring/heads/assayHead.js';
import { evaluateClasses } from '../../../src/scoring/heads/classifier.js';
import { VariantFeatures } from '../../../src/scoring/heads/features.js';
import { assignFolds } from '../../../src/scoring/heads/folds.js';
import { type GradientHead, snapshotParameters, trainGradientHead } from '../../../src/scoring/heads/gradientHead.js';
import { loadHead, saveHead } from '../../../src/scoring/heads/headFiles.js';
import { spearman } from '../../../src/scoring/metrics.js';
import { readVariant, singleSubstitutions } from '../../../src/scoring/variants.js';

let engine: Engine;
let model: LanguageModel;
const folder = mkdtempSync(join(tmpdir(), 'heads-'));
const base = join(folder, 'base');
beforeAll(async () => {
  engine = await startEngine();
  model = createModel(newConfig({ layers: 1, hidden: 16, heads: 2, feedForward: 16, dropout: 0, length: 32 }), 1);
  await saveModel(model, base);
});
afterAll(async () => {
  model.dispose();
  await engine.stop();
  rmSync(folder, { recursive: true });
});

const WILD_TYPE = 'MKTVRQGWAALLSEKHNDYPFI';
const RESIDUES = 'ACDEFGHIKLMNPQRSTVWY';
/** A made assay whose order depends on position and residue, so that every head has something to learn. */
const random = new Random(2);
const effect = new Map([...RESIDUES].map((residue) => [residue, random.normal()]));
const variants = [...singleSubstitutions(WILD_TYPE, RESIDUES)].filter(() => random.uniform() < 0.5);
const measured = Float64Array.from(variants, ({ edits }) => {
  const { start, residues } = edits[0];
  return effect.get(residues)! + Math.sin(start) + 0.2 * random.normal();
});
const features = () => new VariantFeatures([model], WILD_TYPE, variants);

describe('folds are ProteinGym’s', () => {
  const place = (texts: string[]) => texts.map((text) => readVariant(WILD_TYPE, text));
  const positions = place(['M1A', 'K2A', 'V4A', 'V4G', 'Q6A', 'G7A', 'A9G', 'L12A']);

  it('contiguous: numpy’s array_split of the positions that occur; modulo: every k-th of them', () => {
    // Seven positions in three folds: 3 + 2 + 2.
    expect([...assignFolds(positions, 'contiguous', 3)]).toEqual([0, 0, 0, 0, 1, 1, 2, 2]);
    expect([...assignFolds(positions, 'modulo', 3)]).toEqual([0, 1, 2, 2, 0, 1, 2, 0]);
    expect(() => assignFolds(positions, 'modulo', 8)).toThrow('7 positions into 8 folds');
    expect(() => assignFolds(place(['M1A:K2A']), 'contiguous', 2)).toThrow('single mutations');
  });

  it('random: uniform for singles, even within each depth for multiples', () => {
    const counts = new Array<number>(5).fill(0);
    for (const fold of assignFolds(variants, 'random', 5, 3)) {
      counts[fold]++;
    }
    expect(Math.min(...counts)).toBeGreaterThan(20);
    expect(assignFolds(variants, 'random', 5, 3)).toEqual(assignFolds(variants, 'random', 5, 3));
    const mixed = place([...Array(10).fill('M1A'), ...Array(10).fill('M1A:K2A')]);
    const folds = [...assignFolds(mixed, 'random', 5)];
    for (const half of [folds.slice(0, 10), folds.slice(10)]) {
      expect([...half].sort()).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
    }
  });
});

describe('heads', () => {
  it.each(METHODS)('%s learns, predicts what it has not seen, and leaves the model as it was', async (method) => {
    const before = await parameters();
    const folds = assignFolds(variants, 'random', 3, 1);
    const settings = { epochs: 40, patience: 40, learningRate: 3e-3, layers: 1 };
    const { values: predicted } = await crossValidate(method, features(), measured, folds, settings);
    expect(spearman(measured, predicted)).toBeGreaterThan(method === 'mean-embedding' ? 0.3 : 0.4);
    expect(await parameters()).toEqual(before);
  });

  it('augmented uses the zero-shot score: an assay that is the score is predicted on unseen positions', async () => {
    const own = features();
    const score = await own.zeroShot();
    const folds = assignFolds(variants, 'contiguous', 3);
    const { values: predicted } = await crossValidate('augmented', own, score, folds);
    expect(spearman(score, predicted)).toBeGreaterThan(0.99);
  });

  it('ranking learns the order', async () => {
    const rows = variants.map((_, i) => i);
    const settings = { loss: 'ranking' as const, layers: 0, epochs: 30, patience: 30, learningRate: 3e-3 };
    const { values } = await trainAndPredict('fine-tune', features(), measured, rows, rows, settings);
    expect(spearman(measured, values)).toBeGreaterThan(0.4);
  });

  it.each(METHODS)('%s saves and loads to the same predictions', async (method) => {
    const rows = variants.map((_, i) => i).slice(0, 60);
    const own = features();
    const restore = await snapshotParameters(model);
    const head = await fitAssayHead(method, own, rows, measured, { epochs: 2, layers: 'all', learningRate: 1e-3 });
    const path = join(folder, method);
    const tuned = method === 'fine-tune';
    await saveHead(head, path, { models: [base], wildType: WILD_TYPE, offset: 1, trained: 60, tuned });
    const expected = await predictAssayHead(head, own);
    if (tuned) {
      (head as GradientHead).dispose();
    }
    restore();
    expect(existsSync(join(path, 'model'))).toBe(tuned);
    const loaded = await loadHead(path);
    expect(loaded.description).toMatchObject({ method, wildType: WILD_TYPE, trained: 60 });
    const again = await predictAssayHead(loaded.head, new VariantFeatures(loaded.models, WILD_TYPE, variants));
    again.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i], 4);
    });
    loaded.dispose();
  });

  it('remembers how its zero-shot score is computed, and takes a head without that for one of the defaults', async () => {
    const path = join(folder, 'scoring');
    const deletions = ['K2del', 'T3del', 'V4_R5del', 'Q6del', 'W8_A9del', 'L11del', 'S13del', 'H16del'];
    const indels = deletions.map((text) => readVariant(WILD_TYPE, text));
    const settings = { scheme: 'wt-marginals', indels: 'masked', window: { mode: 'optimal', size: 16 } } as const;
    const all = [...indels, ...variants.slice(0, 20)];
    const own = new VariantFeatures([model], WILD_TYPE, all, settings);
    const head = await fitAssayHead('fine-tune', own, [...all.keys()], measured, { layers: 0, epochs: 1 });
    const about = { models: [base], wildType: WILD_TYPE, offset: 1, trained: all.length };
    await saveHead(head, path, { ...about, scoring: { ...settings, tokensPerBatch: 99 } });
    const expected = await predictAssayHead(head, own);
    (head as GradientHead).dispose();
    const loaded = await loadHead(path);
    expect(loaded.scoring).toEqual({ ...settings, perResidue: 'indels' });
    const again = new VariantFeatures(loaded.models, WILD_TYPE, all, loaded.scoring);
    (await predictAssayHead(loaded.head, again)).forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i], 4);
    });
    loaded.dispose();
    const json = join(path, 'head.json');
    const { scoring, tuned, ...old } = JSON.parse(readFileSync(json, 'utf8'));
    expect(scoring).toEqual({ ...settings, perResidue: 'indels' });
    writeFileSync(json, JSON.stringify(old));
    const older = await loadHead(path);
    // Before there was a choice, likelihoods of insertions and deletions were sums.
    expect(older.scoring).toEqual({ indels: 'single-pass', perResidue: false });
    older.dispose();
  });

  it('saved over another head leaves nothing of it', async () => {
    const rows = [...variants.keys()].slice(0, 60);
    const own = features();
    const path = join(folder, 'over');
    const about = { models: [base], wildType: WILD_TYPE, offset: 1, trained: 60 };
    const settings = { epochs: 2, learningRate: 1e-2 };
    const restore = await snapshotParameters(model);
    await own.zeroShot();
    const deep = await fitAssayHead('fine-tune', own, rows, measured, { ...settings, layers: 'all' });
    await saveHead(deep, path, { ...about, tuned: true });
    const deepValues = await predictAssayHead(deep, own);
    (deep as GradientHead).dispose();
    restore();
    cpSync(path, join(folder, 'half-way'), { recursive: true });
    const shallow = await fitAssayHead('fine-tune', own, rows, measured, { ...settings, layers: 0 });
    await saveHead(shallow, path, about);
    const expected = await predictAssayHead(shallow, own);
    (shallow as GradientHead).dispose();
    const description = JSON.parse(readFileSync(join(path, 'head.json'), 'utf8'));
    expect(description.tuned).toBe(false);
    expect(readdirSync(path).sort()).toEqual([description.files.weights, 'head.json'].sort());
    // A stop before head.json is replaced: the new weights lie beside the old head, which is whole.
    const halfWay = join(folder, 'half-way');
    cpSync(join(path, description.files.weights), join(halfWay, description.files.weights));
    const old = await loadHead(halfWay);
    (await predictAssayHead(old.head, new VariantFeatures(old.models, WILD_TYPE, variants))).forEach((value, i) => {
      expect(value).toBeCloseTo(deepValues[i], 4);
    });
    old.dispose();
    // A model's folder that belongs to no head of this description is not read.
    await saveModel(model, join(path, 'model'));
    const tensors = tf.memory().numTensors;
    const loaded = await loadHead(path);
    const again = await predictAssayHead(loaded.head, new VariantFeatures(loaded.models, WILD_TYPE, variants));
    expect((loaded.head as GradientHead).model).toBe(loaded.models[0]);
    again.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i], 4);
    });
    loaded.dispose();
    expect(tf.memory().numTensors).toBe(tensors);
  });

  it('keeps the model it stands on when it is saved beside it', async () => {
    const path = join(folder, 'beside');
    const itsModel = join(path, 'model');
    await saveModel(model, itsModel);
    const head = await fitAssayHead('one-hot', features(), [...variants.keys()].slice(0, 60), measured);
    const about = { models: [itsModel], wildType: WILD_TYPE, offset: 1, trained: 60 };
    await expect(saveHead(head, path, about)).rejects.toThrow('save it in another folder');
    await saveHead(head, path, { ...about, models: [base] });
    expect(existsSync(itsModel)).toBe(true);
  });

  it('refuses another model and a broken file', async () => {
    const path = join(folder, 'one-hot');
    const other = join(folder, 'other');
    const network = createModel(newConfig({ layers: 1, hidden: 16, heads: 2, feedForward: 16, dropout: 0 }), 9);
    await saveModel(network, other);
    network.dispose();
    await expect(loadHead(path, [other])).rejects.toThrow('is not the model that');
    await expect(loadHead(other)).rejects.toThrow('no head.json');
    writeFileSync(join(other, 'head.json'), '{');
    await expect(loadHead(other)).rejects.toThrow('not JSON');
    writeFileSync(
      join(other, 'head.json'),
      JSON.stringify({ ...JSON.parse(readFileSync(join(path, 'head.json'), 'utf8')), format: 9 }),
    );
    await expect(loadHead(other)).rejects.toThrow('known format');
  });
});

it('measures classes as scikit-learn does', () => {
  // accuracy_score, matthews_corrcoef of scikit-learn 1.9.1.
  const truth = [0, 1, 2, 2, 1, 0, 0, 2, 1, 1];
  const { accuracy, mcc, majority } = evaluateClasses(truth, [0, 2, 2, 2, 1, 0, 1, 2, 1, 0], 3);
  expect(accuracy).toBeCloseTo(0.7, 12);
  expect(mcc).toBeCloseTo(0.5606060606060606, 12);
  expect(majority).toBeCloseTo(0.4, 12);
});

describe('gradients', () => {
  it('classifies sequences and residues, and leaks no tensor', async () => {
    const encode = (sequence: string) => model.alphabet.encode(sequence);
    const sequences = Array.from({ length: 40 }, (_, i) => (i % 2 ? 'KRKRKWKR' : 'DEDEDWDE'));
    const whole = sequences.map((sequence, i) => ({
      tokens: encode(sequence),
      indices: [...sequence].map((_, j) => j + 1),
      targets: [i % 2],
    }));
    const restore = await snapshotParameters(model);
    const settings = { loss: 'classification' as const, outputs: 2, learningRate: 1e-2, epochs: 5 };
    const before = tf.memory().numTensors;
    const head = await trainGradientHead(model, whole, { ...settings, layers: 'all' });
    const outputs = await head.predict(whole);
    expect(outputs.every(([zero, one], i) => one! > zero! === (i % 2 === 1))).toBe(true);
    head.dispose();
    expect(tf.memory().numTensors).toBe(before);
    restore();

    const residues = ['MKDKW', 'DDKMK', 'KWDMD', 'WKKDM', 'MDWKK', 'DKDKD'].map((sequence) => ({
      tokens: encode(sequence),
      indices: [...sequence].map((_, j) => j + 1),
      perToken: true,
      targets: [...sequence].map((residue) => (residue === 'K' ? 1 : 0)),
    }));
    const tagger = await trainGradientHead(model, residues, { ...settings, epochs: 120, patience: 120 });
    const tags = await tagger.predict(residues);
    expect(tags).toHaveLength(30);
    const right = tags.filter(([zero, one], i) => Number(one! > zero!) === residues[Math.floor(i / 5)].targets[i % 5]);
    expect(right.length).toBeGreaterThan(25);
    tagger.dispose();
  });
});

async function parameters(): Promise<number[][]> {
  const values: number[][] = [];
  for (const variable of model.parameters.values()) {
    values.push([...(await variable.data())]);
  }
  return values;
}
