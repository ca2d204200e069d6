import { encode } from '@msgpack/msgpack';
import { describe, expect, it } from 'vitest';
import { parseStructure } from '../../src/structures/structure.js';

/** A dimer as the archive writes it: waters and a ligand in chains of their own, one residue of four not resolved. */
const ROWS: Record<string, (string | number)[]> = {
  group_PDB: ['ATOM', 'ATOM', 'HETATM', 'ATOM', 'ATOM', 'ATOM', 'ATOM', 'HETATM', 'HETATM'],
  type_symbol: ['C', 'C', 'C', 'C', 'C', 'C', 'C', 'O', 'C'],
  label_atom_id: ['CA', 'CB', 'CA', 'CA', 'CA', 'CA', 'CA', 'O', 'CA'],
  label_alt_id: ['.', '.', 'A', 'B', '.', '.', '.', '.', '.'],
  label_comp_id: ['ALA', 'ALA', 'MSE', 'MET', 'TRP', 'ALA', 'ALA', 'HOH', 'LIG'],
  label_asym_id: ['A', 'A', 'A', 'A', 'A', 'B', 'B', 'C', 'D'],
  label_entity_id: [1, 1, 1, 1, 1, 1, 1, 2, 3],
  label_seq_id: [1, 1, 2, 2, 4, 1, 1, '.', '.'],
  pdbx_PDB_ins_code: ['?', '?', '?', '?', 'A', '?', '?', '?', '?'],
  Cartn_x: [1.5, 2.25, 5, 6, 12.125, 31, 33, 3, 4],
  Cartn_y: [0, 0, 0, 0, -0.5, 0, 0, 1, 1],
  Cartn_z: [0, 0, 0, 0, 100000.5, 0, 0, 1, 1],
  occupancy: [1, 1, 0.4, 0.6, 1, 1, 1, 1, 1],
  auth_seq_id: [-1, -1, 70000, 70000, 70001, 5, 5, 201, 202],
  auth_asym_id: ['H', 'H', 'H', 'H', 'H', 'L', 'L', 'H', 'H'],
  pdbx_PDB_model_num: [1, 1, 1, 1, 1, 1, 2, 1, 1],
};
const TABLES: Record<string, Record<string, (string | number)[]>> = {
  entity_poly_seq: { entity_id: [1, 1, 1, 1, 1], num: [1, 2, 2, 3, 4], mon_id: ['ALA', 'MET', 'MSE', 'ZZ9', 'TRP'] },
  entity_poly: { entity_id: [1], pdbx_seq_one_letter_code_can: ['AMKW'] },
  atom_site: ROWS,
};

/** As text. */
function cif(tables = TABLES, without: string[] = []): string {
  const loops = Object.entries(tables).map(([category, columns]) => {
    const names = Object.keys(columns).filter((name) => !without.includes(name));
    const rows = columns[names[0]].map((_, row) => names.map((name) => columns[name][row]).join(' '));
    return `loop_\n${names.map((name) => `_${category}.${name}`).join('\n')}\n${rows.join('\n')}\n#\n`;
  });
  return `data_TEST\n#\n_struct.title\n;several words\nloop_ in a text\n;\n${loops.join('')}`;
}

const bytesOf = (values: ArrayBufferView) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** As BinaryCIF: strings with lengths of runs, whole numbers as packed differences, others as fixed points or floats. */
function binaryCif(tables = TABLES): Uint8Array {
  const packed = (values: number[], limit: number) =>
    values.flatMap((value) => {
      const parts: number[] = [];
      let rest = value;
      for (; rest >= limit; rest -= limit) {
        parts.push(limit);
      }
      for (; rest <= -limit - 1; rest += limit + 1) {
        parts.push(-limit - 1);
      }
      return [...parts, rest];
    });
  const packing = (values: number[]) => ({
    data: bytesOf(Int8Array.from(packed(values, 127))),
    encoding: [
      { kind: 'IntegerPacking', byteCount: 1, isUnsigned: false, srcSize: values.length },
      { kind: 'ByteArray', type: 1 },
    ],
  });
  const runs = (values: number[]) => {
    const pairs = values.flatMap((value) => [value, 1]);
    return {
      data: bytesOf(Int32Array.from(pairs)),
      encoding: [
        { kind: 'RunLength', srcSize: values.length },
        { kind: 'ByteArray', type: 3 },
      ],
    };
  };
  const column = (name: string, cells: (string | number)[]) => {
    const mask = cells.map((cell) => (cell === '.' ? 1 : cell === '?' ? 2 : 0));
    const known = cells.map((cell) => (cell === '.' || cell === '?' ? '' : cell));
    return { name, data: encoded(name, known), mask: mask.some((one) => one !== 0) ? runs(mask) : null };
  };
  const encoded = (name: string, cells: (string | number)[]) => {
    if (cells.every((cell) => typeof cell === 'number' || cell === '')) {
      const numbers = cells.map(Number);
      if (name === 'Cartn_y') {
        return { data: bytesOf(Float64Array.from(numbers)), encoding: [{ kind: 'ByteArray', type: 33 }] };
      }
      if (numbers.every(Number.isInteger) && !name.startsWith('Cartn')) {
        const delta = numbers.map((value, i) => value - (i === 0 ? 0 : numbers[i - 1]));
        const { data, encoding } = packing(delta);
        return { data, encoding: [{ kind: 'Delta', origin: 0 }, ...encoding] };
      }
      const whole = numbers.map((value) => Math.round(1000 * value));
      return {
        data: bytesOf(Int32Array.from(whole)),
        encoding: [
          { kind: 'FixedPoint', factor: 1000 },
          { kind: 'ByteArray', type: 3 },
        ],
      };
    }
    const words = [...new Set(cells.map(String))];
    const ends = words.map((_, i) => words.slice(0, i).join('').length);
    const offsets = packing([...ends, words.join('').length]);
    const indices = runs(cells.map((cell) => words.indexOf(String(cell))));
    return {
      data: indices.data,
      encoding: [
        {
          kind: 'StringArray',
          stringData: words.join(''),
          dataEncoding: indices.encoding,
          offsets: offsets.data,
          offsetEncoding: offsets.encoding,
        },
      ],
    };
  };
  return encode({
    version: '0.3.0',
    encoder: 'test',
    dataBlocks: [
      {
        header: 'TEST',
        categories: Object.entries(tables).map(([name, columns]) => ({
          name: `_${name}`,
          rowCount: Object.values(columns)[0].length,
          columns: Object.entries(columns).map(([key, cells]) => column(key, cells)),
        })),
      },
    ],
  });
}

describe('mmCIF', () => {
  it.each([
    ['as the archive writes it', []],
    ['without group_PDB, as gemmi 0.5.7 writes it', ['group_PDB']],
  ])('reads chains, places and numbers %s', (_, without) => {
    const [heavy, light, ...others] = parseStructure(cif(TABLES, without), 'x.cif');
    expect(others).toEqual([]);
    expect([heavy.id, heavy.sequence, light.id, light.sequence]).toEqual(['H', 'AMKW', 'L', 'AMKW']);
    expect(heavy.residues.map(({ number }) => number)).toEqual(['-1', '70000', '', '70001A']);
    expect(heavy.residues.map(({ position }) => position)).toEqual([
      [2.25, 0, 0],
      [6, 0, 0],
      undefined,
      [12.125, -0.5, 100000.5],
    ]);
    expect(heavy.residues.map(({ name }) => name)).toEqual(['ALA', 'MET', 'ZZ9', 'TRP']);
  });

  it('names chains by label, and takes the model that is asked for', () => {
    expect(parseStructure(cif(), 'x', { chains: 'label' }).map(({ id }) => id)).toEqual(['A', 'B']);
    const [second] = parseStructure(cif(), 'x', { model: 2 });
    expect([second.id, second.residues[0].position]).toEqual(['L', [33, 0, 0]]);
    expect(() => parseStructure(cif(), 'x.cif', { model: 3 })).toThrow('x.cif: no model 3: it has 1, 2');
  });

  it('takes unresolved residues from the scheme of the strand, with its numbers', () => {
    const scheme = {
      asym_id: ['A', 'A', 'A', 'A', 'A'],
      entity_id: [1, 1, 1, 1, 1],
      seq_id: [1, 2, 2, 3, 4],
      mon_id: ['ALA', 'MET', 'MSE', 'HIS', 'TRP'],
      pdb_seq_num: [-1, 70000, 70000, 70000, 70001],
      pdb_ins_code: ['.', '.', '.', 'B', 'A'],
    };
    const [heavy] = parseStructure(cif({ pdbx_poly_seq_scheme: scheme, atom_site: ROWS }), 'x');
    expect(heavy.sequence).toBe('AMHW');
    expect(heavy.residues.map(({ number }) => number)).toEqual(['-1', '70000', '70000B', '70001A']);
  });

  it('knows parents by the file', () => {
    const components = { id: ['ZZ9'], type: ["'L-peptide linking'"], mon_nstd_parent_comp_id: ['TYR'] };
    const { entity_poly_seq } = TABLES;
    const [heavy] = parseStructure(cif({ entity_poly_seq, chem_comp: components, atom_site: ROWS }), 'x');
    expect(heavy.sequence).toBe('AMYW');
  });

  it('refuses what is cut off, and CIF of other kinds', () => {
    expect(() => parseStructure(cif().trimEnd().slice(0, -4), 'x.cif')).toThrow(
      /^x\.cif, line \d+: a loop of 16 columns ends/,
    );
    expect(() => parseStructure('data_ALA\n_chem_comp.id ALA\n', 'x.cif')).toThrow(
      'x.cif: CIF without the atoms of a structure',
    );
    expect(() => parseStructure('data_1\nloop_\n_atom_site_label\n_atom_site_fract_x\nC1 0.1\n', 'x.cif')).toThrow(
      "x.cif: CIF of a small molecule's crystal",
    );
  });
});

describe('BinaryCIF', () => {
  it('says what the text says', () => {
    expect(parseStructure(binaryCif(), 'x.bcif')).toEqual(parseStructure(cif(), 'x.cif'));
  });

  it('refuses what is damaged', () => {
    expect(() => parseStructure(binaryCif().slice(0, 500), 'x.bcif')).toThrow('x.bcif: a damaged BinaryCIF file');
    expect(() => parseStructure(encode({ a: 1 }), 'x.bcif')).toThrow('x.bcif: MessagePack without the data blocks');
  });
});

describe('other formats', () => {
  it.each([
    [
      'x.xml',
      '<?xml version="1.0"?>\n<PDBx:datablock>',
      /^x\.xml: PDBML \(XML\); PDB, mmCIF and BinaryCIF are read: .*Bio\.PDB/,
    ],
    ['x.json', '{"data_1ABC": {}}', /^x\.json: JSON \(mmJSON\); .*: convert it with gemmi convert/],
    [
      'x.gro',
      'water\n 1\n    1SOL     OW    1   0.126   1.624   1.679\n',
      /^x\.gro: GROMACS \(\.gro\); .*: convert it with gmx editconf/,
    ],
    ['x.mol2', '@<TRIPOS>MOLECULE\nx\n', /^x\.mol2: MOL2; .*: convert it with obabel/],
    ['x.fasta', '>a\nMKT\n', /^x\.fasta: FASTA; /],
    ['x.xyz', '3\nwater\nO 0.0 0.0 0.1\n', /^x\.xyz: XYZ; /],
  ])('%s is refused with the formats that are read, and what to do', (name, text, message) => {
    expect(() => parseStructure(text, name)).toThrow(message);
  });

  it('MMTF too, by its bytes', () => {
    expect(() => parseStructure(encode({ mmtfVersion: '1.0.0', numAtoms: 1 }), 'x.mmtf')).toThrow(
      /^x\.mmtf: an MMTF file; PDB, mmCIF and BinaryCIF are read: .*MMTFParser/,
    );
  });
});
