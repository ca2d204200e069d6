import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { blosum62, normalisedBlosum62 } from '../../src/alignment/blosum62.js';
import { RESIDUES } from '../../src/data/alphabet.js';
import { residueMaps } from '../../src/interpret/contacts.js';
import { compare, residueSimilarity } from '../../src/interpret/similarity.js';
import { loadModel } from '../../src/model/files.js';
import { describeEngines } from '../engines.js';
import { SHARED } from '../shared.js';

describe('BLOSUM62', () => {
  it.skipIf(!SHARED)("is NCBI's", () => {
    const lines = readFileSync(join(SHARED!, 'data', 'BLOSUM62'), 'utf8')
      .split('\n')
      .filter((line) => !/^#|^$/.test(line));
    const letters = lines[0].trim().split(/\s+/);
    for (const line of lines.slice(1)) {
      const [a, ...scores] = line.trim().split(/\s+/);
      for (const [k, b] of letters.entries()) {
        if (RESIDUES.includes(a) && RESIDUES.includes(b)) {
          expect(blosum62(a, b)).toBe(Number(scores[k]));
        }
      }
    }
  });

  it('is symmetric, and one with itself when normalised', () => {
    const matrix = normalisedBlosum62('WDE');
    expect([matrix[0], matrix[4], matrix[8]]).toEqual([1, 1, 1]);
    expect(matrix[5]).toBe(matrix[7]);
    expect(matrix[5]).toBeCloseTo(2 / Math.sqrt(6 * 5), 6);
    expect(() => blosum62('A', 'B')).toThrow('no score for A and B');
  });

  it('correlates with itself perfectly, and its most similar pairs are the known ones', () => {
    const result = compare(normalisedBlosum62(RESIDUES));
    expect(result.pearson).toBeCloseTo(1, 10);
    expect(result.spearman).toBeCloseTo(1, 10);
    expect(result.pairs).toHaveLength(190);
    expect(result.pairs.slice(0, 3).map(({ a, b }) => a + b)).toEqual(['VI', 'LI', 'FY']);
  });
});

describeEngines('residue similarity', () => {
  // Above 0.1 there is no attention in some of the heads.
  it.skipIf(!SHARED).each([0, 0.1])(
    'is the correlation over heads of the share received, above %s',
    async (threshold) => {
      const model = await loadModel(join(SHARED!, 'golden', 'performer-relu'));
      const sequences = ['MKTVRQGACDEFXHILNPSWY', 'YWSPNLIHGFEDCAQRVTKM'];
      const { attention } = await residueSimilarity(model, sequences, { threshold });
      const shares: number[][] = Array.from({ length: 12 }, () => Array(20).fill(0));
      for (const sequence of sequences) {
        let head = 0;
        for await (const map of residueMaps(model, model.alphabet.encode(sequence))) {
          const n = sequence.length;
          map.forEach((value, cell) => {
            const [from, to] = [sequence[Math.floor(cell / n)], sequence[cell % n]];
            if (from !== 'X' && to !== 'X' && value > threshold) {
              shares[head][RESIDUES.indexOf(to)] += value;
            }
          });
          head++;
        }
      }
      const heads = shares.filter((row) => row.some((value) => value > 0));
      expect(heads.length < 12).toBe(threshold > 0);
      const normalised = heads.map((row) => row.map((value) => value / row.reduce((a, b) => a + b, 0)));
      const correlation = (a: number[], b: number[]): number => {
        const mean = (values: number[]) => values.reduce((x, y) => x + y, 0) / values.length;
        const [ma, mb] = [mean(a), mean(b)];
        const product = (x: number[], mx: number, y: number[], my: number) =>
          x.reduce((sum, value, i) => sum + (value - mx) * (y[i] - my), 0);
        return product(a, ma, b, mb) / Math.sqrt(product(a, ma, a, ma) * product(b, mb, b, mb));
      };
      for (let a = 0; a < 20; a++) {
        for (let b = 0; b < 20; b++) {
          const wanted = correlation(
            normalised.map((row) => row[a]),
            normalised.map((row) => row[b]),
          );
          expect(attention[a * 20 + b]).toBeCloseTo(wanted, 3);
        }
      }
      await expect(residueSimilarity(model, ['MKT'])).rejects.toThrow('residue L receives no attention');
      const few =
        '1 of 12 heads have attention between residues above the threshold: a similarity needs at least three';
      await expect(residueSimilarity(model, sequences, { threshold: 0.2 })).rejects.toThrow(few);
      model.dispose();
    },
  );
});
