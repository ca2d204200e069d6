import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Random } from '../../../../src/data/random.js';
import { fitAssayHead, predictHead } from '../../../../src/scoring/heads/assayHead.js';
import { crossValidateAssay, type HeadEvaluation, methodFits } from '../../../../src/scoring/heads/crossValidation.js';
import { VariantFeatures } from '../../../../src/scoring/heads/features.js';
import { type GaussianEvidence, readGaussianEvidence } from '../../../../src/scoring/heads/gp/evidence.js';
import { gaussianInputs } from '../../../../src/scoring/heads/gp/inputs.js';
import { mixProfiles, scanProfile, siteProfile } from '../../../../src/scoring/heads/gp/profile.js';
import { loadHead, saveHead } from '../../../../src/scoring/heads/headFiles.js';
import { readVariant, singleSubstitutions } from '../../../../src/scoring/variants.js';

const WILD_TYPE = 'MKTAYIAKQRQISFVKSHFSRQ';
const LETTERS = 'ACDEFGHIKLMNPQRSTVWY';
const A3M = [
  '>query',
  WILD_TYPE,
  '>a',
  'MKTAYLAKQRQLSFVKAHFSRE',
  '>b',
  'MRTAYIAKNRQISYVKSHYSRQ',
  '>c',
  'MKSAYVAKQKQVSFIKSHFTRQ',
];

const folder = () => mkdtempSync(join(tmpdir(), 'gp-'));

function familyFile(): string {
  const path = join(folder(), 'family.a3m');
  writeFileSync(path, `${A3M.join('\n')}\n`);
  return path;
}

/** One Cα a residue on a helix. */
function structureFile(sequence = WILD_TYPE): string {
  const names: Record<string, string> = Object.fromEntries(
    'ALA CYS ASP GLU PHE GLY HIS ILE LYS LEU MET ASN PRO GLN ARG SER THR VAL TRP TYR'
      .split(' ')
      .map((name, i) => [LETTERS[i], name]),
  );
  const lines = [...sequence].map((letter, i) => {
    const angle = (i * 100 * Math.PI) / 180;
    const [x, y, z] = [2.3 * Math.cos(angle), 2.3 * Math.sin(angle), 1.5 * i].map((v) => v.toFixed(3).padStart(8));
    const serial = String(i + 1);
    return `ATOM  ${serial.padStart(5)}  CA  ${names[letter]} A${serial.padStart(4)}    ${x}${y}${z}  1.00  0.00           C`;
  });
  const path = join(folder(), 'protein.pdb');
  writeFileSync(path, `${lines.join('\n')}\nEND\n`);
  return path;
}

const variants = [...singleSubstitutions(WILD_TYPE, LETTERS)];
/** A landscape of the sites' tolerance and the letters' size, with noise. */
const measured = (() => {
  const random = new Random(2);
  const tolerance = [...WILD_TYPE].map(() => random.uniform());
  return Float64Array.from(variants, ({ edits: [edit] }) => {
    const size = 'GASCTPDNVEQHLIMKFRYW'.indexOf(edit!.residues) / 20;
    return -2 * tolerance[edit!.start] - size + 0.1 * random.normal();
  });
})();

describe('profiles', () => {
  test('an alignment of many rows gives its frequencies, none the expectation of the own letter', () => {
    const counts = new Float64Array(2 * 20);
    counts[0] = 75_000;
    counts[1] = 25_000;
    const profile = siteProfile('AW', counts);
    expect(profile[0]).toBeCloseTo(0.75, 3);
    expect(profile[1]).toBeCloseTo(0.25, 3);
    expect(profile.subarray(20).reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12);
    const own = [...profile.subarray(20)];
    expect(own.indexOf(Math.max(...own))).toBe(LETTERS.indexOf('W'));
  });

  test('a scan of log odds gives back its distribution; a mixture is the geometric mean', () => {
    const p = siteProfile('AW');
    const scan = p.map((value, i) => Math.log(value / p[i < 20 ? 0 : 20 + LETTERS.indexOf('W')]));
    for (const [i, value] of scanProfile(scan).entries()) {
      expect(value).toBeCloseTo(p[i], 12);
    }
    const mixed = mixProfiles(p, scanProfile(new Float64Array(40)));
    expect(mixed[0] / mixed[1]).toBeCloseTo(Math.sqrt(p[0] / p[1]), 12);
  });
});

describe('inputs', () => {
  test("do not hang on which other variants are asked for, and multi-mutants' scores add", async () => {
    const evidence = await readGaussianEvidence(WILD_TYPE, 'it', {
      alignment: familyFile(),
      structure: structureFile(),
    });
    const [one, two, both] = ['K2R', 'S13W', 'K2R:S13W'].map((name) => readVariant(WILD_TYPE, name));
    const alone = gaussianInputs(evidence, [both!]).inputs;
    const { inputs, space } = gaussianInputs(evidence, [one!, two!, both!, readVariant(WILD_TYPE, 'M1A')]);
    const width = space.groups.at(-1)!.end;
    expect([...inputs.descriptors.subarray(2 * width, 3 * width)]).toEqual([...alone.descriptors]);
    for (const score of inputs.scores) {
      expect(score[2]).toBeCloseTo(score[0] + score[1], 12);
    }
    expect(inputs.scores[0][0]).toBeGreaterThan(inputs.scores[0][1]);
    expect(space.distances[1]).toBeCloseTo(Math.hypot(2 * 2.3 * Math.sin((50 * Math.PI) / 180), 1.5) / 10, 3);
    expect(space.groups.map(({ name }) => name)).toContain('accessibility');
  });

  test('without a structure distances are those of a chain, and there is no accessibility', () => {
    const { space, inputs } = gaussianInputs(new VariantFeatures([], WILD_TYPE, []).evidence, variants);
    expect(space.distances[4]).toBeCloseTo(0.38 * 2, 6);
    expect(inputs.scores).toHaveLength(1);
    expect(space.groups.map(({ name }) => name)).not.toContain('accessibility');
  });

  test('variants that change the length are refused by name', () => {
    const evidence = new VariantFeatures([], WILD_TYPE, []).evidence;
    expect(() => gaussianInputs(evidence, [readVariant(WILD_TYPE, 'K2del')])).toThrow(/K2del changes the length/);
    expect(methodFits('gp', [readVariant(WILD_TYPE, 'K2del')])).toBe(false);
  });

  test('a structure and an alignment of another protein are refused', async () => {
    const other = 'WWCHHPPGGWDDNNCCWPGHWW';
    await expect(readGaussianEvidence(other, 'mine', { alignment: familyFile() })).rejects.toThrow(
      /another protein than mine/,
    );
    await expect(readGaussianEvidence(other, 'mine', { structure: structureFile() })).rejects.toThrow(
      /nothing of its chain/,
    );
  });
});

describe('a head', () => {
  const features = (evidence?: GaussianEvidence) => new VariantFeatures([], WILD_TYPE, variants, { evidence });

  test('cross-validates without a model, with coverage near what the intervals promise', async () => {
    const lines: HeadEvaluation[] = [];
    const labels = new Uint8Array(variants.length).map((_, i) => i % 2);
    const data = { features: features(), measured, labels, unscorable: 0 };
    for await (const line of crossValidateAssay(data, { methods: ['gp'], splits: ['random'] })) {
      lines.push(line);
    }
    const { metrics, mse, coverage } = lines.at(-1)!;
    expect(metrics.spearman).toBeGreaterThan(0.9);
    expect(mse).toBeLessThan(0.2);
    expect(coverage!.half).toBeGreaterThan(0.4);
    expect(coverage!.half).toBeLessThan(0.65);
    expect(coverage!.most).toBeGreaterThan(0.84);
    expect(coverage!.most).toBeLessThan(0.97);
  });

  test('is saved and loaded with its evidence, and predicts the same', async () => {
    const evidence = await readGaussianEvidence(WILD_TYPE, 'it', {
      alignment: familyFile(),
      structure: structureFile(),
    });
    const rows = variants.flatMap((_, i) => (i % 3 === 0 ? [] : [i]));
    const head = await fitAssayHead('gp', features(evidence), rows, measured);
    const expected = await predictHead(head, features(evidence));
    const path = join(folder(), 'head');
    await saveHead(head, path, { models: [], wildType: WILD_TYPE, offset: 1, trained: rows.length });
    const loaded = await loadHead(path);
    expect(loaded.description.gaussian?.given).toEqual(['alignment', 'structure']);
    const again = loaded.head.method === 'gp' ? loaded.head.evidence : undefined;
    const { values, deviations } = await predictHead(loaded.head, features(again));
    for (const [i, value] of values.entries()) {
      expect(value).toBeCloseTo(expected.values[i], 5);
      expect(deviations![i]).toBeCloseTo(expected.deviations![i], 5);
    }
    const held = variants.flatMap((_, i) => (i % 3 === 0 ? [i] : []));
    const error = held.reduce((sum, i) => sum + (values[i] - measured[i]) ** 2, 0) / held.length;
    expect(error).toBeLessThan(0.1);
    loaded.dispose();
  });
});

const SHARED = new URL('../../../../../shared/data/', import.meta.url).pathname;

test.skipIf(!existsSync(SHARED))("reads BLAT's alignment and structure onto its wild type", async () => {
  const sequence = readFileSync(join(SHARED, 'dms/assays.csv'), 'utf8')
    .split('\n')
    .find((line) => line.startsWith('BLAT_ECOLX_Stiffler_2015'))!
    .split(',')[1];
  const evidence = await readGaussianEvidence(sequence, 'TEM-1', {
    alignment: join(SHARED, 'alignments/BLAT_ECOLX.a3m'),
    structure: join(SHARED, 'structures/1BTL.pdb'),
  });
  // Ser70 of class A β-lactamases, residue 68 of the whole sequence, is the nucleophile: hardly anything else occurs.
  const serine = evidence.profile[67 * 20 + LETTERS.indexOf('S')];
  expect(sequence[67]).toBe('S');
  expect(serine).toBeGreaterThan(0.95);
  // The signal peptide is not in the crystal.
  expect(evidence.accessibility![0]).toBeNaN();
  expect(evidence.accessibility![67]).toBeLessThan(0.2);
});
