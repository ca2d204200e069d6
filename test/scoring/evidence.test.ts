import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LETTERS } from '../../src/alignment/alignment.js';
import { schemeTerms } from '../../src/alignment/scores.js';
import { Warnings } from '../../src/data/warnings.js';
import { type Engine, startEngine } from '../../src/engines/index.js';
import { newConfig } from '../../src/model/config.js';
import { createModel, type LanguageModel } from '../../src/model/model.js';
import { fileOfAssay } from '../../src/scoring/benchmark.js';
import { scoreZeroShot } from '../../src/scoring/blend.js';
import { type ProteinEvidence, placeEvidence, scoreByEvidence, unscorableBy } from '../../src/scoring/evidence.js';
import { scoreVariants } from '../../src/scoring/schemes.js';
import { readVariant } from '../../src/scoring/variants.js';
import { alignmentOf } from '../alignment/sample.js';

const PROTEIN = 'MSIQHFRVALIPFFAAFCLPVFAHPETLVK';
const QUERY = PROTEIN.slice(4, 24);
const alignment = alignmentOf(QUERY, `${QUERY.slice(0, 10)}A${QUERY.slice(11)}`, `W${QUERY.slice(1, 15)}-----`);
const evidence = { alignment, scheme: 'log-odds' as const, ...schemeTerms(alignment, 'log-odds') };
const variant = (name: string) => readVariant(PROTEIN, name);

let engine: Engine;
let models: LanguageModel[];
beforeAll(async () => {
  engine = await startEngine();
  models = [1, 2].map((seed) =>
    createModel(newConfig({ layers: 1, hidden: 16, heads: 2, feedForward: 16, dropout: 0 }), seed),
  );
});
afterAll(async () => {
  for (const model of models) {
    model.dispose();
  }
  await engine.stop();
});

describe('evidence', () => {
  const placed = placeEvidence({ alignment: evidence }, PROTEIN, 'p');
  const factors = Float64Array.from(PROTEIN, (_, i) => (i === 6 ? Number.NaN : i / 100));

  it('lies where the query does, and mutations add up', () => {
    const term = (column: number, letter: string) => evidence.terms[column * 20 + LETTERS.indexOf(letter)];
    const [one, two, both, none, same] = scoreByEvidence(placed, PROTEIN, [
      variant('H5W'),
      variant('P20V'),
      variant('H5W:P20V'),
      variant('M1A'),
      variant('H5='),
    ]);
    expect(one).toBeCloseTo(term(0, 'W') - term(0, 'H'), 12);
    expect(both).toBeCloseTo(one + two, 12);
    expect(none).toBeNaN();
    expect(same).toBe(0);
  });

  it('is multiplied residue by residue', () => {
    const names = ['H5W', 'P20V', 'H5W:P20V', 'R7A'].map(variant);
    const plain = scoreByEvidence(placed, PROTEIN, names);
    const [one, two, both, unknown] = scoreByEvidence({ ...placed, factors }, PROTEIN, names);
    expect(one).toBeCloseTo(0.04 * plain[0], 12);
    expect(both).toBeCloseTo(0.04 * plain[0] + 0.19 * plain[1], 12);
    expect(two).toBeCloseTo(0.19 * plain[1], 12);
    expect(unknown).toBeNaN();
  });

  it('says why it has no score', () => {
    const reason = (name: string, of: ProteinEvidence = placed) => unscorableBy(of, PROTEIN, variant(name));
    expect(reason('H5W')).toBeUndefined();
    expect(reason('M1A')).toBe('no column of the alignment');
    expect(reason('H5del')).toBe('an insertion or deletion, which an alignment does not score');
    expect(reason('H5*')).toBe('stop codon');
    expect(reason('H5X')).toBe('letter X, which alignments do not count');
    expect(reason('R7A', { factors })).toBe('no accessibility in the structure');
  });

  it('warns of differences by their names', () => {
    const warnings = new Warnings();
    placeEvidence({ alignment: evidence }, PROTEIN.replace('HFRV', 'HFKV'), 'p', { offset: 11, warnings });
    expect(warnings.lines()).toEqual([
      "the alignment's query differs from the sequence, whose residues count: 1 (first: p, 1 (K17R))",
    ]);
  });
});

describe('scoreZeroShot', () => {
  const placed = placeEvidence({ alignment: evidence }, PROTEIN, 'p');
  const names = ['H5W', 'P20V', 'H5W:P20V'].map(variant);

  it('multiplies the terms of a model', async () => {
    const factors = Float64Array.from(PROTEIN, (_, i) => i / 100);
    for (const scheme of ['masked-marginals', 'wt-marginals', 'mutant-marginals'] as const) {
      const plain = await scoreVariants(models, PROTEIN, names, { scheme });
      const [one, two, both] = await scoreZeroShot(models, { factors }, PROTEIN, names, { scheme });
      expect(one).toBeCloseTo(0.04 * plain[0], 6);
      expect(two).toBeCloseTo(0.19 * plain[1], 6);
      if (scheme !== 'mutant-marginals') {
        expect(both).toBeCloseTo(one + two, 6);
      }
    }
    const [plain] = await scoreVariants(models, PROTEIN, [variant('H5_P20del')], { indels: 'single-pass' });
    const [mean] = await scoreZeroShot(models, { factors }, PROTEIN, [variant('H5_P20del')], { indels: 'single-pass' });
    expect(mean).toBeCloseTo(plain * 0.115, 6);
  });

  it('blends in deviations over all single substitutions, whichever variants are asked for', async () => {
    const options = { scheme: 'wt-marginals' as const };
    const all = await scoreZeroShot(models, placed, PROTEIN, names, options);
    const [alone] = await scoreZeroShot(models, placed, PROTEIN, names.slice(1, 2), options);
    expect(alone).toBeCloseTo(all[1], 6);
    const singles = [...PROTEIN].flatMap((wild, i) =>
      [...LETTERS].filter((letter) => letter !== wild).map((letter) => variant(`${wild}${i + 1}${letter}`)),
    );
    const blended = await scoreZeroShot(models, placed, PROTEIN, singles, options);
    const scored = [...blended.filter((score) => !Number.isNaN(score))];
    expect(scored).toHaveLength(20 * 19);
    expect(scored.reduce((sum, score) => sum + score, 0)).toBeCloseTo(0, 3);
    const z = (scores: Float64Array) => {
      const known = [...scores].filter((_, i) => !Number.isNaN(blended[i]));
      const mean = known.reduce((sum, score) => sum + score, 0) / known.length;
      return known.map(
        (score) => (score - mean) / Math.sqrt(known.reduce((s, v) => s + (v - mean) ** 2, 0) / known.length),
      );
    };
    const [a, b] = [
      await scoreVariants(models, PROTEIN, singles, options),
      scoreByEvidence(placed, PROTEIN, singles),
    ].map(z);
    for (const [i, score] of scored.entries()) {
      expect(score).toBeCloseTo(a[i] + b[i], 4);
    }
  });

  it('mixes log probabilities', async () => {
    const [model] = await scoreVariants(models, PROTEIN, names);
    const [family] = scoreByEvidence(placed, PROTEIN, names);
    const mix = (alignmentShare?: number) =>
      scoreZeroShot(models, placed, PROTEIN, names, { blend: 'mixture', alignmentShare });
    expect((await mix())[0]).toBeCloseTo(0.4 * model + 0.6 * family, 6);
    expect((await mix(0))[0]).toBeCloseTo(model, 6);
  });

  it('takes the least of several models', async () => {
    const [a, b] = await Promise.all(models.map((model) => scoreVariants([model], PROTEIN, names)));
    const least = await scoreVariants(models, PROTEIN, names, { ensemble: 'min' });
    expect([...least]).toEqual([...a].map((score, i) => Math.min(score, b[i])));
  });
});

describe('fileOfAssay', () => {
  const folder = mkdtempSync(join(tmpdir(), 'files-'));
  for (const name of [
    'BLAT_ECOLX.a3m',
    'PTEN_HUMAN_b0.3.a2m.gz',
    'A_B_C_1.a3m',
    'A_B.a3m',
    'BLAT_ECOLX.csv',
    'X_Y_1.a3m',
    'X_Y_2.a3m',
  ]) {
    writeFileSync(join(folder, name), '');
  }
  const find = (id: string) => fileOfAssay(folder, /\.a[23]m(\.gz)?$/, { id, path: '', published: {} });

  it('goes by the name: the assay, its beginning, its entry', () => {
    expect(find('BLAT_ECOLX_Stiffler_2015')).toBe(join(folder, 'BLAT_ECOLX.a3m'));
    expect(find('PTEN_HUMAN_Mighell_2018')).toBe(join(folder, 'PTEN_HUMAN_b0.3.a2m.gz'));
    expect(find('A_B_C_1')).toBe(join(folder, 'A_B_C_1.a3m'));
    expect(find('A_B_D_1')).toBe(join(folder, 'A_B.a3m'));
    expect(find('CALM1_HUMAN_Weile_2017')).toBeUndefined();
    expect(() => find('X_Y_3')).toThrow('several files are of assay X_Y_3: X_Y_1.a3m, X_Y_2.a3m; keep one');
  });
});
