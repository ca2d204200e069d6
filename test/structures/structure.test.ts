import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { contactPairs, parseStructure, readChain, readStructure } from '../../src/structures/structure.js';
import { SHARED } from '../shared.js';

const FOLDER = join(SHARED ?? '', 'data', 'structures');
const TABLES = SHARED ? readdirSync(join(FOLDER, 'contacts')) : [];

/** A PDB file's atoms as mmCIF, with what mmCIF allows and PDB does not: quoted names, long chain names, comments. */
function toCif(pdb: string): string {
  const names =
    'group_PDB id label_atom_id label_alt_id label_comp_id label_asym_id label_entity_id label_seq_id ' +
    'pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z auth_seq_id auth_asym_id pdbx_PDB_model_num type_symbol occupancy';
  const rows = pdb
    .split('\n')
    .filter((line) => /^(ATOM|HETATM)/.test(line))
    .map((line) => {
      const cut = (from: number, to: number) => line.slice(from, to).trim() || '.';
      const name = cut(12, 16);
      return [
        cut(0, 6),
        cut(6, 11),
        name.includes("'") ? `"${name}"` : name,
        cut(16, 17),
        cut(17, 20),
        'Q',
        '1',
        '.',
        cut(26, 27) === '.' ? '?' : cut(26, 27),
        cut(30, 38),
        cut(38, 46),
        cut(46, 54),
        cut(22, 26),
        cut(21, 22),
        '1',
        cut(76, 78),
        cut(54, 60),
      ].join(' ');
    });
  return `data_TEST\n#\n_struct.title\n;several words\nloop_ in a text\n;\nloop_\n${names
    .split(' ')
    .map((name) => `_atom_site.${name}`)
    .join('\n')}\n${rows.join('\n')}\n#\nloop_\n_other.a\n_other.b\n1 2\n`;
}

describe.skipIf(!SHARED)('structures and their contacts', () => {
  it.each(TABLES)('%s', (table) => {
    const [source, sequence, ...rows] = readFileSync(join(FOLDER, 'contacts', table), 'utf8')
      .trim()
      .split('\n');
    const [, file, chainId] = /([^/ ]+\.pdb) chain (\S+)/.exec(source)!;
    const wanted = rows.filter((row) => /^\d/.test(row)).map((row) => row.split('\t').slice(0, 2).map(Number));
    const path = join(FOLDER, file);
    const chain = readChain(path, chainId);
    expect(chain.sequence).toBe(sequence.replace('# seq ', ''));
    expect(contactPairs(chain)).toEqual(wanted);
    const cif = parseStructure(toCif(readFileSync(path, 'utf8')), 'test.cif').find(({ id }) => id === chainId)!;
    expect(cif).toEqual(chain);
  });
});

const ATOM = 'ATOM      1  CA  GLY A   1      23.445 -17.666  -8.245  1.00 56.02           C  ';

describe('reading structures', () => {
  it('reads gzip, takes the first model, and says what is wrong', () => {
    const folder = mkdtempSync(join(tmpdir(), 'structure-'));
    const path = join(folder, 'a.pdb.gz');
    const second = ATOM.replace('23.445', '99.000').replace('  CA  ', '  CB  ');
    writeFileSync(path, gzipSync(`MODEL        1\n${ATOM}\nENDMDL\nMODEL        2\n${second}\n`));
    expect(readStructure(path)).toEqual([
      {
        id: 'A',
        sequence: 'G',
        residues: [
          {
            letter: 'G',
            name: 'GLY',
            number: '1',
            position: [23.445, -17.666, -8.245],
            atoms: [{ name: 'CA', element: 'C', position: [23.445, -17.666, -8.245] }],
          },
        ],
      },
    ]);
    expect(() => readChain(path, 'B')).toThrow(`${path}: no chain B: it has A`);
    writeFileSync(path, gzipSync(ATOM).subarray(0, 20));
    expect(() => readStructure(path)).toThrow('truncated gzip');
    expect(() => parseStructure('>a\nMKT\n', 'x.fasta')).toThrow('x.fasta: FASTA; PDB, mmCIF and BinaryCIF are read');
    expect(() => parseStructure(`${ATOM.slice(0, 40)}\n`, 'x.pdb')).toThrow(
      'x.pdb, line 1: an atom without coordinates',
    );
    expect(() => readStructure(join(folder, 'none.pdb'))).toThrow('ENOENT');
  });

  it('takes Cβ before Cα, the first alternative, modified residues, and no water', () => {
    const line = (record: string, name: string, alternative: string, residue: string, number: number, x: number) =>
      `${record.padEnd(6)}    1  ${name.padEnd(3)}${alternative}${residue} A${String(number).padStart(4)}    ` +
      `${x.toFixed(3).padStart(8)}   0.000   0.000`;
    const text = [
      line('ATOM', 'CB', 'A', 'ALA', 1, 1),
      line('ATOM', 'CB', 'B', 'ALA', 1, 2),
      line('ATOM', 'CA', ' ', 'ALA', 1, 3),
      line('HETATM', 'CA', ' ', 'MSE', 2, 4),
      line('HETATM', 'O', ' ', 'HOH', 201, 5),
      line('ATOM', 'N', ' ', 'LYS', 3, 6),
    ].join('\n');
    const [chain] = parseStructure(text, 'x.pdb');
    expect(chain.sequence).toBe('AMK');
    expect(chain.residues.map(({ position }) => position?.[0])).toEqual([1, 4, undefined]);
  });
});
