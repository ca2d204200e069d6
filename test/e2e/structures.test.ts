import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { encode } from '@msgpack/msgpack';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEngine } from '../../src/engines/index.js';
import { newConfig } from '../../src/model/config.js';
import { saveModel } from '../../src/model/files.js';
import { createModel } from '../../src/model/model.js';
import { contactPairs, readStructure } from '../../src/structures/structure.js';
import { SHARED } from '../shared.js';
import { backbone, pdb, seqres, type TestAtom } from '../structures/files.js';
import { runCli } from './cli.js';

const folder = mkdtempSync(join(tmpdir(), 'structures-'));
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  const engine = await startEngine();
  const model = createModel(
    newConfig({ layers: 1, hidden: 16, heads: 2, feedForward: 16, dropout: 0, length: 128 }),
    7,
  );
  await saveModel(model, at('model'));
  model.dispose();
  await engine.stop();
  writeFileSync(at('head.json'), '{"weights":[1,1],"bias":0}');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const contacts = (...args: string[]) =>
  runCli(['contacts', ...args, '--model', at('model'), '--head', at('head.json'), '--quiet']);

/** Rows of what `contacts --all` prints, by column. */
async function rowsOf(...args: string[]): Promise<Record<string, string>[]> {
  const result = await contacts(...args, '--all');
  expect(result, result.stderr).toMatchObject({ code: 0 });
  const [header, ...lines] = result.stdout
    .trim()
    .split('\n')
    .map((line) => line.split(','));
  return lines.map((cells) => Object.fromEntries(cells.map((cell, i) => [header[i], cell])));
}

const hairpin = (number: number, at: readonly [number, number, number]): TestAtom => ({
  name: 'CA',
  component: 'GLY',
  number,
  at,
});

describe('protein-lm contacts of structures', () => {
  it("counts unresolved residues, takes no water, and shows the file's own numbers", async () => {
    const water: TestAtom[] = [1, 2, 3].map((i) => ({ name: 'O', component: 'HOH', number: 900 + i, at: [i, 1, 1] }));
    const atoms = [
      hairpin(101, [0, 0, 0]),
      hairpin(102, [3.8, 0, 0]),
      hairpin(107, [3.8, 5, 0]),
      hairpin(108, [0, 5, 0]),
    ];
    writeFileSync(at('gap.pdb'), pdb([...atoms, ...water]));
    const rows = await rowsOf(at('gap.pdb'));
    expect(rows).toHaveLength(3);
    expect(rows.find(({ i, j }) => i === '1' && j === '8')).toMatchObject({
      residue_i: 'G',
      residue_j: 'G',
      number_i: '101',
      number_j: '108',
      contact: '1',
    });
    const near = await rowsOf(at('gap.pdb'), '--min-separation', '1');
    const inGap = near.find(({ i, j }) => i === '2' && j === '5');
    expect(inGap).toMatchObject({ residue_j: 'X', number_j: '105', contact: '' });

    writeFileSync(at('known.pdb'), pdb(atoms, seqres('GLY GLY TRP MSE TRP TRP GLY GLY')));
    const known = await rowsOf(at('known.pdb'), '--min-separation', '1');
    expect(known.find(({ i, j }) => i === '2' && j === '4')).toMatchObject({ residue_j: 'M', contact: '' });
    const { stdout } = await contacts(at('known.pdb'), '--precision');
    // Three pairs of resolved residues are six apart, and all are contacts.
    expect(stdout).toContain('known_A,6,L,3,1,1\n');
  });

  it('reads structures by content, and takes the model and the chain that are asked for', async () => {
    const first = backbone([1, 2, 3, 4, 5, 6, 7].map((number) => ({ component: 'ALA', number })));
    const second = backbone([1, 2, 3, 4, 5, 6, 7, 8].map((number) => ({ component: 'TRP', number })));
    const lines = (atoms: TestAtom[]) => pdb(atoms).replace('END\n', '');
    writeFileSync(
      at('models'),
      gzipSync(`MODEL        1\n${lines(first)}ENDMDL\nMODEL        2\n${lines(second)}ENDMDL\n`),
    );
    expect((await rowsOf(at('models')))[0].residue_i).toBe('A');
    expect((await rowsOf(at('models'), '--model-number', '2'))[0].residue_i).toBe('W');
    expect(await contacts(at('models'), '--model-number', '3')).toMatchObject({
      code: 1,
      stderr: `error: ${at('models')}: no model 3: it has 1, 2\n`,
    });
    const names = 'label_asym_id auth_asym_id label_comp_id label_atom_id auth_seq_id Cartn_x Cartn_y Cartn_z';
    const rows = second.map(
      ({ component, name, number, at: [x, y, z] }) => `Q H ${component} ${name} ${number} ${x} ${y} ${z}`,
    );
    const loop = names.split(' ').map((name) => `_atom_site.${name}`);
    writeFileSync(at('two.cif'), `data_X\nloop_\n${[...loop, ...rows].join('\n')}\n`);
    expect((await rowsOf(at('two.cif'), '--chain', 'H'))[0].sequence_id).toBe('two_H');
    expect((await rowsOf(at('two.cif'), '--chain', 'Q', '--chain-names', 'label'))[0].sequence_id).toBe('two_Q');
    expect((await contacts(at('two.cif'), '--chain', 'Q')).stderr).toBe(
      `error: ${at('two.cif')}: no chain Q: it has H\n`,
    );
  });

  it('warns of residues without a parent, once', async () => {
    const names = ['GLY', 'ZZ1', 'ALA', 'ZZ2', 'ALA', 'GLY', 'GLY', 'GLY'];
    const atoms = backbone(names.map((component, i) => ({ component, number: i + 1 })));
    writeFileSync(at('unknown.pdb'), pdb(atoms));
    const { stderr } = await contacts(at('unknown.pdb'));
    const first = `${at('unknown.pdb')}, chain A, ZZ1 2`;
    expect(stderr).toContain(`warning: residue without a known parent, read as X: 2 (first: ${first})\n`);
  });

  it.each([
    [
      'entry.xml',
      '<?xml version="1.0"?>\n<PDBx:datablock/>',
      'PDBML (XML); PDB, mmCIF and BinaryCIF are read: get the entry as .cif.gz',
    ],
    [
      'entry.mmtf',
      encode({ mmtfVersion: '1.0.0' }),
      'an MMTF file; PDB, mmCIF and BinaryCIF are read: get the entry as .cif.gz',
    ],
    [
      'entry',
      encode({ mmtfVersion: '1.0.0' }),
      'an MMTF file; PDB, mmCIF and BinaryCIF are read: get the entry as .cif.gz',
    ],
    [
      'entry.gro',
      'x\n 1\n    1ALA     CA    1   0.126   1.624   1.679\n',
      'GROMACS (.gro); PDB, mmCIF and BinaryCIF are read: convert it with gmx',
    ],
  ])('refuses %s with the formats that are read, and what to do', async (name, content, message) => {
    writeFileSync(at(name), content);
    const result = await contacts(at(name));
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(`error: ${at(name)}: ${message}`);
    expect(result.stderr.trim().split('\n')).toHaveLength(1);
  });
});

const hasGemmi = spawnSync('gemmi', ['--version']).status === 0;

describe.skipIf(!SHARED || !hasGemmi)('what gemmi writes', () => {
  it.each(['1HRC', '1BTL', '2QMT'])('%s is read as the PDB file is', (id) => {
    const source = join(SHARED ?? '', 'data', 'structures', `${id}.pdb`);
    copyFileSync(source, at(`${id}.pdb`));
    execFileSync('gemmi', ['convert', at(`${id}.pdb`), at(`${id}.cif`)]);
    const [ours] = readStructure(at(`${id}.cif`));
    const [reference] = readStructure(source);
    expect(ours.sequence).toBe(reference.sequence);
    expect(ours.residues.map(({ number }) => number)).toEqual(reference.residues.map(({ number }) => number));
    expect(contactPairs(ours)).toEqual(contactPairs(reference));
  });
});
