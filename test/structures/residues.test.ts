import { describe, expect, it } from 'vitest';
import { Warnings } from '../../src/data/warnings.js';
import { contactPairs, parseStructure } from '../../src/structures/structure.js';
import { backbone, pdb, seqres, type TestAtom } from './files.js';

const GLY_ALA_SER = backbone([
  { component: 'GLY', number: 1 },
  { component: 'ALA', number: 2 },
  { component: 'SER', number: 3 },
]);
const sequence = (text: string) => parseStructure(text, 'x').map((chain) => `${chain.id}:${chain.sequence}`);
const numbers = (text: string) => parseStructure(text, 'x')[0].residues.map(({ number }) => number);

describe('what is a residue of a chain, in PDB', () => {
  it.each(['ATOM', 'HETATM'] as const)('no water, ligand, ion or cap that is written as %s', (record) => {
    const others: TestAtom[] = [
      ...Array.from(
        { length: 300 },
        (_, i): TestAtom => ({
          record,
          name: 'OW',
          component: i % 2 === 0 ? 'SOL' : 'HOH',
          number: 100 + i,
          at: [i, 50, 0],
        }),
      ),
      { record, name: 'C1', component: 'LIG', number: 401, at: [9, 9, 9] },
      { record, name: 'N', component: 'LIG', number: 401, at: [9, 9, 8] },
      { record, name: 'CA', component: 'CA', number: 402, at: [20, 9, 9], element: 'CA' },
      { record, name: 'C', component: 'ACE', number: 0, at: [1, 1, 0] },
      { record, name: 'CH3', component: 'ACE', number: 0, at: [0, 1, 0] },
      { record, name: 'N', component: 'NME', number: 4, at: [14, 0.5, 0] },
      { record, name: 'C', component: 'NME', number: 4, at: [15, 0.5, 0] },
    ];
    expect(sequence(pdb([...GLY_ALA_SER, ...others]))).toEqual(['A:GAS']);
  });

  it('no free amino acid beside the chain, by its distance', () => {
    const free = backbone([{ component: 'GLU', number: 90, place: 30, record: 'HETATM' }]);
    expect(sequence(pdb([...GLY_ALA_SER, ...free]))).toEqual(['A:GAS']);
  });

  it('names of force fields are residues, also of four letters', () => {
    const names = 'HID HIE HIP HSD HSE HSP CYX CYM ASH GLH LYN HISE LYSH'.split(' ');
    const atoms = backbone(names.map((component, i) => ({ component, number: i + 1 })));
    expect(sequence(pdb(atoms))).toEqual(['A:HHHHHHCCDEKHK']);
  });

  it('a modified residue in mid-chain has the letter of its parent: of the dictionary, of MODRES, or X and counted', () => {
    const of = (component: string) =>
      pdb(
        backbone([
          { component: 'GLY', number: 1 },
          { component, number: 2, record: 'HETATM' },
          { component: 'SER', number: 3 },
        ]),
        component === 'ZZ1' ? ['MODRES 1ABC ZZ1 A    2  TRP  MODIFIED TRYPTOPHAN'] : [],
      );
    const letters = {
      MSE: 'M',
      SEP: 'S',
      CSO: 'C',
      PCA: 'Q',
      DAL: 'A',
      ABA: 'A',
      NLE: 'L',
      TYS: 'Y',
      MHO: 'M',
      ZZ1: 'W',
    };
    for (const [component, letter] of Object.entries(letters)) {
      expect(sequence(of(component))).toEqual([`A:G${letter}S`]);
    }
    const warnings = new Warnings();
    const [chain] = parseStructure(of('ZZ2'), 'x.pdb', { warnings });
    expect(chain.sequence).toBe('GXS');
    expect(warnings.lines()).toEqual(['residue without a known parent, read as X: 1 (first: x.pdb, chain A, ZZ2 2)']);
  });

  it('a modified residue at the end counts where a bond joins it, and a trace by its distances', () => {
    const end = backbone([{ component: 'TPO', number: 4, record: 'HETATM' }]);
    expect(sequence(pdb([...GLY_ALA_SER, ...end]))).toEqual(['A:GAST']);
    const trace = [...GLY_ALA_SER, ...end].filter(({ name }) => name === 'CA');
    expect(sequence(pdb(trace))).toEqual(['A:GAST']);
  });
});

describe('residues that were not resolved', () => {
  const resolved = backbone([
    { component: 'ALA', number: 11 },
    { component: 'CYS', number: 12 },
    { component: 'ALA', number: 15 },
    { component: 'TRP', number: 16 },
  ]);

  it('have the letters of SEQRES, and numbers by their neighbours', () => {
    const text = pdb(resolved, seqres('MET ALA CYS ASP MSE ALA TRP HIS'));
    const [chain] = parseStructure(text, 'x');
    expect(chain.sequence).toBe('MACDMAWH');
    expect(numbers(text)).toEqual(['10', '11', '12', '13', '14', '15', '16', '17']);
    expect(chain.residues.map(({ position }) => position !== undefined)).toEqual([
      false,
      true,
      true,
      false,
      false,
      true,
      true,
      false,
    ]);
  });

  it('are X where the numbers jump and no bond joins the neighbours, and none where one does', () => {
    expect(sequence(pdb(resolved))).toEqual(['A:ACXXAW']);
    expect(numbers(pdb(resolved))).toEqual(['11', '12', '13', '14', '15', '16']);
    const joined = backbone([
      { component: 'ALA', number: 11 },
      { component: 'CYS', number: 1002, place: 12 },
      { component: 'GLY', number: 1002, insertion: 'A', place: 13 },
      { component: 'TRP', number: 1003, place: 14 },
    ]);
    expect(sequence(pdb(joined))).toEqual(['A:ACGW']);
    expect(numbers(pdb(joined))).toEqual(['11', '1002', '1002A', '1003']);
    // A fusion partner is numbered from a thousand on: who knows how much is missing before it.
    const apart = backbone([
      { component: 'ALA', number: 11 },
      { component: 'TRP', number: 5003, place: 20 },
    ]);
    expect(sequence(pdb(apart))).toEqual(['A:AXW']);
  });

  it('count in |i - j|', () => {
    // Two strands that lie side by side, seven residues apart in sequence and five in the file.
    const near = (number: number, at: readonly [number, number, number]): TestAtom => ({
      name: 'CA',
      component: 'GLY',
      number,
      at,
    });
    const text = pdb([near(1, [0, 0, 0]), near(2, [3.8, 0, 0]), near(7, [3.8, 5, 0]), near(8, [0, 5, 0])]);
    expect(contactPairs(parseStructure(text, 'x')[0])).toEqual([
      [0, 6],
      [0, 7],
      [1, 7],
    ]);
  });

  it('fit SEQRES by alignment where numbers do not go with it', () => {
    const atoms = backbone([
      { component: 'ALA', number: 1 },
      { component: 'CYS', number: 2 },
      { component: 'CYS', number: 3, place: 9 },
      { component: 'TRP', number: 4, place: 10 },
    ]);
    expect(parseStructure(pdb(atoms, seqres('GLY ALA CYS GLU CYS TRP')), 'x')[0]).toMatchObject({
      sequence: 'GACECW',
      residues: [{ number: '0' }, { number: '1' }, { number: '2' }, { number: '' }, { number: '3' }, { number: '4' }],
    });
  });
});

describe('alternative locations', () => {
  const at = (name: string, alternative: string, occupancy: number, x: number, component = 'ILE'): TestAtom => ({
    name,
    alternative,
    occupancy,
    component,
    number: 1,
    at: [x, 0, 0],
  });
  const position = (atoms: TestAtom[]) => parseStructure(pdb(atoms), 'x')[0].residues[0];

  it('the highest occupancy of the whole residue, the first of equals', () => {
    const both = (a: number, b: number) => [
      at('CA', 'A', a, 1),
      at('CB', 'A', a, 2),
      at('CA', 'B', b, 3),
      at('CB', 'B', b, 4),
    ];
    expect(position(both(0.3, 0.7)).position).toEqual([4, 0, 0]);
    expect(position(both(0.5, 0.5)).position).toEqual([2, 0, 0]);
  });

  it('never the atoms of two', () => {
    const residue = position([at('N', ' ', 1, 0), at('CA', 'A', 0.4, 1), at('CB', 'A', 0.4, 2), at('CA', 'B', 0.6, 3)]);
    expect(residue.atoms.map(({ name, position }) => [name, position[0]])).toEqual([
      ['N', 0],
      ['CA', 3],
    ]);
    expect(residue.position).toEqual([3, 0, 0]);
  });

  it('of two amino acids at one place too', () => {
    const mixed = (a: number, b: number) => [at('CA', 'A', a, 1, 'ILE'), at('CA', 'B', b, 3, 'VAL')];
    expect(position(mixed(0.6, 0.4))).toMatchObject({ letter: 'I', position: [1, 0, 0] });
    expect(position(mixed(0.4, 0.6))).toMatchObject({ letter: 'V', name: 'VAL', position: [3, 0, 0] });
  });
});
