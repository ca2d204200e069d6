import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { LETTERS, readAlignment } from '../../src/alignment/alignment.js';
import { siteFrequencies, weightedCounts } from '../../src/alignment/frequencies.js';
import { relatedRows, schemeTerms } from '../../src/alignment/scores.js';
import { SHARED } from '../shared.js';
import { alignmentOf } from './sample.js';

const ALIGNMENTS = join(SHARED ?? '', 'data', 'alignments');

/** The score of a substitution such as A24G, where the alignment's columns are the protein's residues. */
function scoreOf(terms: Float64Array, mutant: string): number {
  const column = Number(mutant.slice(1, -1)) - 1;
  const term = (letter: string) => terms[column * LETTERS.length + LETTERS.indexOf(letter)];
  return term(mutant.slice(-1)) - term(mutant[0]);
}

function readCsv(path: string): Record<string, string>[] {
  const bytes = readFileSync(path);
  const [header, ...lines] = (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString().trim().split(/\r?\n/);
  const names = header.split(',');
  return lines.map((line) => Object.fromEntries(line.split(',').map((cell, i) => [names[i], cell])));
}

describe('frequencies', () => {
  it('add the weights of each letter, gaps apart', () => {
    const counts = weightedCounts(alignmentOf('A', 'A', 'C', '-'), Float64Array.of(1, 0.5, 0.25, 2));
    expect([counts[0], counts[1], counts[20]]).toEqual([1.5, 0.25, 2]);
    const frequencies = siteFrequencies(counts);
    expect(frequencies[0]).toBeCloseTo((1.5 + 0.05) / 2.75, 12);
    expect(frequencies[2]).toBeCloseTo(0.05 / 2.75, 12);
    expect(frequencies.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 12);
  });
});

describe('relatedRows', () => {
  it('leaves out repeated and far rows, by the identity over their own residues', () => {
    const query = 'ACDEFGHIKLMNPQRSTVWY';
    const kept = relatedRows(
      alignmentOf(query, query, 'ACDEFGH-------------', 'ACDEFGHAAAAAAAAAAAAA', 'ACDEFGHIAAAAAAAAAAAA', '-'.repeat(20)),
    );
    // Seven of 20 residues are 0.35, which is not above it.
    expect(kept.names).toEqual(['row0', 'row2', 'row4']);
    expect(kept).toMatchObject({ depth: 3, length: 20 });
    expect(kept.rows).toHaveLength(60);
  });
});

describe('schemeTerms', () => {
  it('of log-odds equal the formula', () => {
    // Two rows, both kept, of weight 1: f(A) = 1 in the first column, f(C) = f(D) = 1/2 in the second.
    const { terms, depth, effectiveDepth } = schemeTerms(alignmentOf('AC', 'AD'), 'log-odds');
    expect([depth, effectiveDepth]).toEqual([2, 2]);
    const odds = (frequency: number) => {
      const mixed = 0.99 * frequency + 0.01 / 21;
      return Math.log(mixed / (1 - mixed));
    };
    expect(scoreOf(terms, 'A1C')).toBeCloseTo(odds(0) - odds(1), 12);
    expect(scoreOf(terms, 'C2D')).toBe(0);
    expect(scoreOf(terms, 'C2W')).toBeCloseTo(odds(0) - odds(0.5), 12);
  });

  it('of pssm prefer what BLOSUM62 finds likely where nothing was seen', () => {
    const { terms } = schemeTerms(alignmentOf('LLLL', 'LLLV', 'LLLI', 'LL-M'), 'pssm');
    expect(scoreOf(terms, 'L1I')).toBeGreaterThan(scoreOf(terms, 'L1D'));
    expect(scoreOf(terms, 'L4V')).toBeGreaterThan(scoreOf(terms, 'L1V'));
    expect(Math.max(...terms.subarray(0, 20))).toBe(terms[LETTERS.indexOf('L')]);
  });

  it('of pssm are those of the background in a column of gaps', () => {
    const alignment = alignmentOf('AC', 'AC', 'AD');
    alignment.rows.fill(20, 0, 6);
    expect([...schemeTerms(alignment, 'pssm').terms]).toEqual(new Array(40).fill(0));
  });
});

// The package's scores, whose sign is the other way round, and those of an independent implementation.
describe.skipIf(!SHARED)('parity', () => {
  it.each([
    ['6acv_A_29-94.fasta', '6acv_A_29-94.rsalor.csv', 1320],
    ['BLAT_ECOLX.a3m', 'BLAT_ECOLX.rsalor.csv.gz', 5720],
  ])('log-odds of %s equal rsalor', async (name, table, count) => {
    const { terms } = schemeTerms(await readAlignment(join(ALIGNMENTS, name)), 'log-odds');
    const rows = readCsv(join(ALIGNMENTS, table));
    expect(rows).toHaveLength(count);
    const worst = rows.map((row) => Math.abs(scoreOf(terms, row.mutation_fasta) + Number(row.LOR)));
    expect(Math.max(...worst)).toBeLessThan(1e-6);
  });

  it('site-independent scores of PTEN_HUMAN.a2m equal the reference', async () => {
    const { terms } = schemeTerms(await readAlignment(join(ALIGNMENTS, 'PTEN_HUMAN.a2m')), 'site-independent');
    const rows = readCsv(join(ALIGNMENTS, 'PTEN_HUMAN.reference.csv'));
    const worst = rows.map((row) => Math.abs(scoreOf(terms, row.mutant) - Number(row.site_logodds_eve80_alpha1)));
    expect(worst).toHaveLength(7260);
    expect(Math.max(...worst)).toBeLessThan(1e-6);
  });
});
