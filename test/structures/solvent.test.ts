import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RESIDUE_AREAS, relativeAccessibility, solventAreas } from '../../src/structures/solvent.js';
import {
  type Chain,
  otherAtoms,
  parseStructure,
  readChain,
  type StructureAtom,
} from '../../src/structures/structure.js';
import { SHARED } from '../shared.js';

const STRUCTURES = join(SHARED ?? '', 'data', 'structures');
const TABLES = join(SHARED ?? '', 'data', 'solvent');

/** A chain of one residue for each list of atoms, which are carbons. */
function carbons(...residues: [number, number, number][][]): Chain {
  return {
    id: 'A',
    sequence: 'A'.repeat(residues.length),
    residues: residues.map((positions, i) => ({
      letter: 'A',
      name: 'ALA',
      number: String(i + 1),
      atoms: positions.map((position): StructureAtom => ({ name: 'CA', element: 'C', position })),
    })),
  };
}

const SPHERE = 4 * Math.PI * (1.7 + 1.4) ** 2;

describe('solventAreas', () => {
  it('gives a lone atom its whole sphere', () => {
    expect(solventAreas(carbons([[3, -2, 7]]))[0]).toBeCloseTo(SPHERE, 9);
  });

  it('cuts the cap that a neighbour covers', () => {
    // Two spheres of radius R at distance d: each loses a cap of height R - d/2.
    const distance = 4;
    const free = SPHERE * (1 - (3.1 - distance / 2) / (2 * 3.1));
    const areas = solventAreas(carbons([[0, 0, 0]], [[0, 0, distance]]), { points: 20_000 });
    for (const area of areas) {
      expect(Math.abs(area - free)).toBeLessThan(0.001 * SPHERE);
    }
  });

  it('is the same wherever the structure lies and however it is numbered', () => {
    const chain = carbons([[0, 0, 0]], [[2, 1, 0]], [[-1, 2, 3]]);
    const moved = carbons([[100, -50, 7]], [[102, -49, 7]], [[99, -48, 10]]);
    expect([...solventAreas(moved)]).toEqual([...solventAreas(chain)]);
  });

  it('leaves hydrogens out, with and without an element', () => {
    const line = (name: string, element: string, x: number) =>
      `ATOM      1 ${name.padEnd(4)} ALA A   1    ${x.toFixed(3).padStart(8)}   0.000   0.000  1.00  0.00${element ? `          ${element.padStart(2)}` : ''}`;
    for (const element of [true, false]) {
      const text = [line(' CA', element ? 'C' : '', 0), line('1HA', element ? 'H' : '', 1)].join('\n');
      expect(solventAreas(parseStructure(text, 'x.pdb')[0])[0]).toBeCloseTo(SPHERE, 9);
    }
  });

  it('has none of a residue that was not resolved', () => {
    const chain = carbons([[0, 0, 0]], []);
    expect([...solventAreas(chain)]).toEqual([expect.closeTo(SPHERE, 9), Number.NaN]);
    expect(relativeAccessibility(chain)[1]).toBeNaN();
  });

  it('lets other atoms cover the chain', () => {
    const ligand: StructureAtom = { name: 'ZN', element: 'ZN', position: [0, 0, 1] };
    expect(solventAreas(carbons([[0, 0, 0]]), { others: [ligand] })[0]).toBeLessThan(0.9 * SPHERE);
  });
});

describe('relativeAccessibility', () => {
  it('divides by the table of maxima', () => {
    const chain = carbons([[0, 0, 0]]);
    expect(relativeAccessibility(chain)[0]).toBeCloseTo(SPHERE / 129, 9);
    expect(RESIDUE_AREAS.tien).toMatchObject({ T: 172, Q: 225, E: 223 });
    expect(RESIDUE_AREAS.rsalor).toMatchObject({ T: 155, Q: 223, E: 225 });
  });

  it('has no value for an unknown residue', () => {
    const chain = carbons([[0, 0, 0]]);
    const unknown = { ...chain, residues: [{ ...chain.residues[0], letter: 'X', name: 'UNK' }] };
    expect(relativeAccessibility(unknown)[0]).toBeNaN();
  });
});

interface Reference {
  chain: string;
  resnum: string;
  aa: keyof typeof RESIDUE_AREAS.tien;
  [column: string]: string;
}

function readReference(file: string): { chain: Chain; rows: Reference[] } {
  const id = file.slice('rsa_'.length, -'.csv'.length);
  const structure = readdirSync(STRUCTURES).find((name) => name.startsWith(id) && name.endsWith('.pdb'));
  const [header, ...lines] = readFileSync(join(TABLES, file), 'utf8').trim().split(/\r?\n/);
  const names = header.split(',');
  const rows = lines.map((line) => {
    return Object.fromEntries(line.split(',').map((cell, i) => [names[i], cell])) as unknown as Reference;
  });
  const chain = readChain(join(STRUCTURES, structure ?? ''), rows[0].chain, { locations: 'first' });
  const residues = rows.map(({ resnum, aa }) => {
    const residue = chain.residues.find(({ number }) => number === resnum);
    expect(residue?.letter).toBe(aa);
    return residue;
  });
  expect(residues).toEqual(chain.residues);
  return { chain, rows };
}

describe.skipIf(!SHARED)('beside independent implementations (shared/data/solvent)', () => {
  const files = SHARED ? readdirSync(TABLES) : [];

  // The tables have three decimals of areas and four of relative ones.
  it.each(files)('equals the same algorithm: %s', (file) => {
    const { chain, rows } = readReference(file);
    const areas = solventAreas(chain);
    const tien = relativeAccessibility(chain);
    const rsalor = relativeAccessibility(chain, { table: 'rsalor' });
    for (const [i, row] of rows.entries()) {
      expect(Math.abs(areas[i] - Number(row.sasa_SR100_bondi_nohet))).toBeLessThan(0.0005 + 1e-6);
      expect(Math.abs(tien[i] - Number(row.rsa_tien_theoretical))).toBeLessThan(0.00005 + 1e-6);
      expect(Math.abs(rsalor[i] - Number(row.rsalor_package_RSA))).toBeLessThan(0.00005 + 1e-6);
    }
  });

  it('equals it with 1,000 points: rsa_2QMT.csv', () => {
    const { chain, rows } = readReference('rsa_2QMT.csv');
    const areas = solventAreas(chain, { points: 1000 });
    for (const [i, row] of rows.entries()) {
      expect(Math.abs(areas[i] - Number(row.sasa_SR1000_bondi))).toBeLessThan(0.0005 + 1e-6);
    }
  });

  it.each(['rsa_1HRC.csv', 'rsa_2QMT.csv'])('equals it with ligands and waters: %s', (file) => {
    const { chain, rows } = readReference(file);
    const others = otherAtoms(join(STRUCTURES, file.replace('rsa_', '').replace('.csv', '.pdb')), {
      hetero: true,
      water: true,
    });
    const areas = solventAreas(chain, { others });
    const dry = solventAreas(chain, { others: others.filter(({ element }) => element !== 'O') });
    for (const [i, row] of rows.entries()) {
      expect(Math.abs(areas[i] - Number(row.sasa_with_hetatm_waters_SR100))).toBeLessThan(0.0005 + 1e-6);
    }
    expect(dry.reduce((sum, area) => sum + area, 0)).toBeGreaterThan(areas.reduce((sum, area) => sum + area, 0));
  });

  it.each(['freesasa_SR100', 'mkdssp_acc'])('is near %s, whose radii differ', (column) => {
    const differences = files.flatMap((file) => {
      const { chain, rows } = readReference(file);
      const tien = relativeAccessibility(chain);
      return rows.map((row, i) => Math.abs(tien[i] - Number(row[column]) / RESIDUE_AREAS.tien[row.aa]));
    });
    expect(differences.length).toBeGreaterThan(1000);
    expect(differences.reduce((sum, value) => sum + value, 0) / differences.length).toBeLessThan(0.02);
  });
});
