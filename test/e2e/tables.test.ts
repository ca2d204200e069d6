import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromCSV } from 'arquero';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Engine, startEngine } from '../../src/engines/index.js';
import { newConfig } from '../../src/model/config.js';
import { saveModel } from '../../src/model/files.js';
import { createModel, type LanguageModel } from '../../src/model/model.js';
import { auc } from '../../src/scoring/metrics.js';
import { logLikelihoods, scoreVariants } from '../../src/scoring/schemes.js';
import { readVariant } from '../../src/scoring/variants.js';
import { runCli } from './cli.js';

const folder = mkdtempSync(join(tmpdir(), 'tables-'));
const at = (name: string) => join(folder, name);
const file = (name: string, content: string) => {
  writeFileSync(at(name), content);
  return at(name);
};
const WILD_TYPE = 'MKTVRQGWAALLSEKHNDYP';
let engine: Engine;
let model: LanguageModel;
beforeAll(async () => {
  engine = await startEngine();
  model = createModel(newConfig({ layers: 1, hidden: 16, heads: 2, feedForward: 16, dropout: 0 }), 1);
  await saveModel(model, at('model'));
  file('protein.fasta', `>P1\n${WILD_TYPE}\n`);
});
afterAll(async () => {
  model.dispose();
  await engine.stop();
  rmSync(folder, { recursive: true });
});
const score = (...args: string[]) => runCli(['score', ...args, '--model', at('model'), '--quiet']);
const scoreTable = (path: string, ...args: string[]) => score(at('protein.fasta'), '--mutations', path, ...args);
const rowsOf = (csv: string) => fromCSV(csv, { autoType: false }).objects() as Record<string, string>[];
const placed = (texts: string[]) => texts.map((text) => readVariant(WILD_TYPE, text));

describe('score of other tools’ tables', () => {
  it('refuses changes of DNA, also where mismatches are skipped', async () => {
    for (const change of ['c.4A>G', 'n.4A>G', 'g.4A>G', '4A>G']) {
      const result = await scoreTable(file('dna.csv', `mutant\n${change}\n`), '--skip-mismatches');
      expect(result.code).toBe(1);
      expect(result.stderr).toMatch(/dna\.csv row 1: variant ".*" is a change of DNA or RNA, .*--skip-unscorable/);
      expect(result.stdout).toBe('');
    }
  });

  it('leaves out what cannot be scored, counted by reason', async () => {
    const table =
      '# urn:mavedb:1\nhgvs_nt,hgvs_pro,score\nNA,p.Lys2Ala,1\nNA,_wt,1\nNA,p.?,1\nNA,p.Lys2fs,1\nNA,p.Thr3GlnfsTer4,1\n' +
      'NA,p.Ter21Lys,1\nNA,NA,1\nNA,c.4A>G,1\nNA,p.Ala2Gly,1\n';
    const result = await scoreTable(file('mavedb.csv', table), '--skip-unscorable');
    expect(result.code).toBe(0);
    expect(rowsOf(result.stdout).map(({ variant }) => variant)).toEqual(['p.Lys2Ala', '_wt']);
    const counts = [
      'row that does not match the wild type, skipped: 1',
      'row without a score (unknown effect), skipped: 1',
      'row without a score (frameshift), skipped: 2',
      'row without a score (extension), skipped: 1',
      'row without a score (no variant), skipped: 1',
      'row without a score (a change of DNA or RNA), skipped: 1',
    ];
    for (const count of counts) {
      expect(result.stderr).toContain(`warning: ${count} (first: `);
    }
  });

  it('reads notations of several tools', async () => {
    const variants = [
      'MSH2:p.Lys2Ala',
      'F9:p.Lys2Ala',
      'K2A T3S',
      'K2A+T3S',
      'K2A_T3S',
      'NM_1.3(G):c.4A>G (p.Lys2Ala)',
      'KA2A;',
    ];
    const result = await scoreTable(file('notations.tsv', `mutant\n${variants.join('\n')}\n`));
    expect(result.code, result.stderr).toBe(0);
    const scores = await scoreVariants([model], WILD_TYPE, placed(['K2A', 'K2A:T3S']));
    const expected = [0, 0, 1, 1, 1, 0, 0].map((i) => scores[i]);
    rowsOf(result.stdout).forEach((row, i) => {
      expect(Number(row.score)).toBeCloseTo(expected[i], 5);
    });
  });

  it('scores insertions and deletions given whole, per residue by default', async () => {
    const sequences = [WILD_TYPE.replace('TV', 'T'), WILD_TYPE.replace('TV', 'TVV')];
    const plls: number[] = [];
    for await (const value of logLikelihoods(model, [WILD_TYPE, ...sequences])) {
      plls.push(value);
    }
    const path = file('indels.csv', `mutant,DMS_score\n${sequences.map((text, i) => `${text},${i}\n`).join('')}`);
    const means = await scoreTable(path);
    const sums = await scoreTable(path, '--no-per-residue');
    const named = await scoreTable(path, '--sequence-column', 'mutant');
    expect(named.stdout).toBe(means.stdout);
    expect(rowsOf(means.stdout).map(({ variant }) => variant)).toEqual(['V4del', 'V4_R5insV']);
    sequences.forEach((sequence, i) => {
      const mean = plls[i + 1] / sequence.length - plls[0] / WILD_TYPE.length;
      expect(Number(rowsOf(means.stdout)[i].score)).toBeCloseTo(mean, 5);
      expect(Number(rowsOf(sums.stdout)[i].score)).toBeCloseTo(plls[i + 1] - plls[0], 4);
    });
  });
});

describe('what a model says of positions', () => {
  it('score --logits: log-probabilities of all letters, which differ as the scores do', async () => {
    const { stdout, code } = await score(at('protein.fasta'), '--logits');
    expect(code).toBe(0);
    const rows = rowsOf(stdout);
    expect(rows).toHaveLength(WILD_TYPE.length);
    expect(Object.keys(rows[0]).slice(0, 4)).toEqual(['sequence_id', 'position', 'wild_type', 'L']);
    const letters = Object.keys(rows[0]).slice(3);
    expect(new Set(letters)).toEqual(new Set('ACDEFGHIKLMNPQRSTVWYXBZUO.-'));
    const total = letters.reduce((sum, letter) => sum + Math.exp(Number(rows[4][letter])), 0);
    expect(total).toBeGreaterThan(0.3);
    expect(total).toBeLessThanOrEqual(1 + 1e-6);
    const [expected] = await scoreVariants([model], WILD_TYPE, placed(['K2A']));
    expect(Number(rows[1].A) - Number(rows[1].K)).toBeCloseTo(expected, 5);
    const once = rowsOf((await score(at('protein.fasta'), '--logits', '--scheme', 'wt-marginals')).stdout);
    const [unmasked] = await scoreVariants([model], WILD_TYPE, placed(['K2A']), { scheme: 'wt-marginals' });
    expect(Number(once[1].A) - Number(once[1].K)).toBeCloseTo(unmasked, 5);
  });

  it('score --fill: what stands at a mask', async () => {
    const path = file(
      'masked.fasta',
      `>M1\n${WILD_TYPE.replace('T', '<mask>').replace('GW', 'G<mask>\n')}\n>M2\n${WILD_TYPE}\n`,
    );
    const { stdout, stderr, code } = await score(path, '--fill');
    expect(code, stderr).toBe(0);
    const rows = rowsOf(stdout);
    expect(rows.map(({ sequence_id, position }) => [sequence_id, position])).toEqual([
      ['M1', '3'],
      ['M1', '8'],
    ]);
    expect(Number(rows[0].probability)).toBe(
      Math.max(...[...'ACDEFGHIKLMNPQRSTVWY'].map((letter) => Number(rows[0][letter]))),
    );
    expect(rows[0][rows[0].residue]).toBe(rows[0].probability);
    // Both are hidden at once, so that the ratio of two letters is that of a reading with two masks.
    const both = await scoreVariants([model], WILD_TYPE, placed(['T3A:W8W', 'T3A:W8F']), { maskTogether: true });
    expect(both[1]).toBeCloseTo(
      Math.log(Number(rows[0].A) / Number(rows[0].T)) + Math.log(Number(rows[1].F) / Number(rows[1].W)),
      4,
    );
    expect(stderr).toContain('warning: no <mask> in a sequence, nothing to fill in: 1');
    const refused = await score(path);
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('masked.fasta:2:3, record M1: <mask> in a sequence; score --fill'),
    });
    expect((await score(path, '--fill', '--logits')).code).toBe(2);
  });
});

describe('benchmark', () => {
  it('takes no version for a published value, and measures clinical variants by AUC', async () => {
    mkdirSync(at('assays'));
    const variants = ['K2A', 'T3S', 'V4W', 'R5P', 'Q6N', 'G7V'];
    writeFileSync(
      at('assays/A_2020.csv'),
      `mutant,DMS_score\n${variants.map((variant, i) => `${variant},${i}\n`).join('')}`,
    );
    writeFileSync(
      at('assays/DMS_substitutions.csv'),
      `DMS_id,target_seq,ProteinGym_version,ESM\nA_2020,${WILD_TYPE},0.1,0.4\n`,
    );
    const pathogenic = [1, 0, 1, 1, 0, 0];
    writeFileSync(
      at('assays/NP_1.csv'),
      `protein,protein_sequence,mutant,mutated_sequence,DMS_bin_score\n${variants
        .map((variant, i) => {
          const [, number, letter] = /^.(\d+)(.)$/.exec(variant)!;
          const mutated = WILD_TYPE.slice(0, Number(number) - 1) + letter + WILD_TYPE.slice(Number(number));
          return `NP_1,${WILD_TYPE},${variant},${mutated},${pathogenic[i] ? 'Pathogenic' : 'Benign'}\n`;
        })
        .join('')}`,
    );
    const out = at('results.csv');
    const result = await runCli([
      'benchmark',
      '--assays',
      at('assays'),
      '--model',
      at('model'),
      '--out',
      out,
      '--quiet',
    ]);
    expect(result.code, result.stderr).toBe(0);
    const rows = rowsOf(readFileSync(out, 'utf8'));
    expect(Object.keys(rows[0])).toContain('ESM');
    expect(Object.keys(rows[0])).not.toContain('ProteinGym_version');
    const scores = await scoreVariants([model], WILD_TYPE, placed(variants));
    const clinical = rows.find(({ assay }) => assay === 'NP_1')!;
    expect(clinical.kind).toBe('clinical');
    const benign = Uint8Array.from(pathogenic, (value) => 1 - value);
    expect(Number(clinical.auc)).toBeCloseTo(auc(benign, scores), 3);
    expect(['', 'null', undefined, null]).toContain(clinical.spearman as never);
    expect(rows.find(({ level, kind }) => level === 'mean' && kind === 'clinical')?.auc).toBe(clinical.auc);
  });
});
