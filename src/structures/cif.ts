import { InputError } from '../data/errors.js';
import type { AtomSite, Monomer, StructureFile } from './atoms.js';

/** One table of a CIF file: values by column (lower case) and row, undefined where the file has `.` or `?`. */
export interface CifCategory {
  rows: number;
  columns: Map<string, (row: number) => string | number | undefined>;
}

/** Tables of one data block, by name without the underscore, lower case. */
export type CifBlock = Map<string, CifCategory>;

/** The tables that a structure is read from. */
export const CATEGORIES = new Set([
  'atom_site',
  'entity_poly',
  'entity_poly_seq',
  'pdbx_poly_seq_scheme',
  'pdbx_struct_mod_residue',
  'chem_comp',
]);

/**
 * The tables of CIF's text that a structure is read from (Hall, Allen and Brown 1991), of each data block.
 * @throws InputError where a loop is cut off
 */
export function parseCif(text: string, where: string): CifBlock[] {
  const blocks: CifBlock[] = [];
  let block: CifBlock = new Map();
  const tokens = cifTokens(text);
  let token = tokens.next();
  const advance = () => {
    token = tokens.next();
  };
  /** Whether the token is a value, and no name or keyword. */
  const isValue = () =>
    !token.done && (token.value.quoted || !/^(_|loop_$|data_|save_|stop_$|global_$)/i.test(token.value.value));
  const take = () => {
    const { value, quoted } = token.value as Token;
    advance();
    return !quoted && (value === '.' || value === '?') ? undefined : value;
  };
  const split = (name: string) => {
    const dot = name.indexOf('.');
    return dot === -1 ? ['', name] : [name.slice(1, dot).toLowerCase(), name.slice(dot + 1).toLowerCase()];
  };
  while (!token.done) {
    const { value, quoted, line } = token.value;
    const word = quoted ? '' : value.toLowerCase();
    if (word.startsWith('data_')) {
      block = new Map();
      blocks.push(block);
      advance();
    } else if (word === 'loop_') {
      advance();
      const names: string[][] = [];
      while (!token.done && !isValue() && token.value.value.startsWith('_')) {
        names.push(split(token.value.value));
        advance();
      }
      const [category] = names[0] ?? [''];
      const wanted = CATEGORIES.has(category);
      const values: (string | undefined)[] = [];
      let count = 0;
      while (isValue()) {
        const cell = take();
        count++;
        if (wanted) {
          values.push(cell);
        }
      }
      if (names.length > 0 && count % names.length !== 0) {
        throw new InputError(
          `${where}, line ${line}: a loop of ${names.length} columns ends within a row: the file is cut off or no mmCIF ` +
            'file; get it again',
        );
      }
      if (wanted) {
        const columns = names.map(([, name], i): [string, (row: number) => string | undefined] => [
          name,
          (row) => values[row * names.length + i],
        ]);
        block.set(category, { rows: count / names.length, columns: new Map(columns) });
      }
    } else if (word.startsWith('_')) {
      advance();
      const cell = isValue() ? take() : undefined;
      const [category, name] = split(word);
      if (CATEGORIES.has(category)) {
        const table = block.get(category) ?? { rows: 1, columns: new Map() };
        table.columns.set(name, () => cell);
        block.set(category, table);
      }
    } else {
      advance();
    }
  }
  return blocks;
}

interface Token {
  value: string;
  quoted: boolean;
  line: number;
}

/** CIF's words: bare, in quotes, or between lines that begin with a semicolon. */
function* cifTokens(text: string): Generator<Token> {
  const lines = text.split(/\r\n|\r|\n/);
  for (let at = 0; at < lines.length; at++) {
    if (lines[at].startsWith(';')) {
      const parts = [lines[at].slice(1)];
      const line = at + 1;
      while (++at < lines.length && !lines[at].startsWith(';')) {
        parts.push(lines[at]);
      }
      yield { value: parts.join('\n'), quoted: true, line };
      continue;
    }
    for (const match of lines[at].matchAll(/'((?:[^']|'(?=\S))*)'(?=\s|$)|"((?:[^"]|"(?=\S))*)"(?=\s|$)|#.*|\S+/g)) {
      if (match[0].startsWith('#')) {
        break;
      }
      const quotation = match[1] ?? match[2];
      yield { value: quotation ?? match[0], quoted: quotation !== undefined, line: at + 1 };
    }
  }
}

/**
 * The structure in CIF's tables: of the first block that has atoms.
 * @param chains which of mmCIF's two names of a chain is meant: the author's, or the archive's (`label_asym_id`)
 * @throws InputError where an atom has no coordinates
 */
export function structureOf(blocks: CifBlock[], where: string, chains: 'author' | 'label'): StructureFile | undefined {
  const block = blocks.find((one) => one.has('atom_site'));
  if (!block) {
    return undefined;
  }
  const { atoms, entities } = atomsOf(block.get('atom_site')!, where, chains);
  const parents = new Map<string, string>();
  const others = new Set<string>();
  const components = reader(block, 'chem_comp');
  for (let row = 0; row < components.rows; row++) {
    const id = components.text(row, 'id');
    const type = components.text(row, 'type').toLowerCase();
    if (type !== '' && type !== 'other' && !type.includes('peptide')) {
      others.add(id);
    }
    const parent = components.text(row, 'mon_nstd_parent_comp_id');
    if (parent !== '') {
      parents.set(id, parent);
    }
  }
  const modified = reader(block, 'pdbx_struct_mod_residue');
  const several = new Set<string>();
  for (let row = 0; row < modified.rows; row++) {
    const id = modified.text(row, 'label_comp_id', 'auth_comp_id');
    const parent = modified.text(row, 'parent_comp_id');
    if (parents.has(id) && parents.get(id) !== parent) {
      several.add(id);
    }
    if (parent !== '') {
      parents.set(id, parent);
    }
  }
  for (const component of several) {
    parents.delete(component);
  }
  return { atoms, sequences: sequencesOf(block, entities), parents, others };
}

function atomsOf(
  category: CifCategory,
  where: string,
  chains: 'author' | 'label',
): { atoms: AtomSite[]; entities: Map<string, string> } {
  const { text, number } = reader(new Map([['atom_site', category]]), 'atom_site');
  const atoms: AtomSite[] = [];
  /** Entity by strand. */
  const entities = new Map<string, string>();
  const names: [string, string] =
    chains === 'author' ? ['auth_asym_id', 'label_asym_id'] : ['label_asym_id', 'auth_asym_id'];
  for (let row = 0; row < category.rows; row++) {
    const position = [number(row, 'cartn_x'), number(row, 'cartn_y'), number(row, 'cartn_z')];
    if (position.some(Number.isNaN)) {
      throw new InputError(
        `${where}, atom ${row + 1}: an atom without coordinates: the file is damaged or no mmCIF file`,
      );
    }
    const strand = text(row, 'label_asym_id', 'auth_asym_id');
    const entity = text(row, 'label_entity_id');
    if (entity !== '' && !entities.has(strand)) {
      entities.set(strand, entity);
    }
    const place = number(row, 'label_seq_id');
    const occupancy = number(row, 'occupancy');
    const name = text(row, 'label_atom_id', 'auth_atom_id');
    atoms.push({
      model: text(row, 'pdbx_pdb_model_num') || '1',
      chain: text(row, ...names),
      strand,
      number: text(row, 'auth_seq_id', 'label_seq_id') + text(row, 'pdbx_pdb_ins_code'),
      ...(Number.isInteger(place) && { place }),
      component: text(row, 'label_comp_id', 'auth_comp_id'),
      name,
      element: text(row, 'type_symbol').toUpperCase() || name.slice(0, 1).toUpperCase(),
      alternative: text(row, 'label_alt_id'),
      occupancy: Number.isNaN(occupancy) ? 1 : occupancy,
      hetero: text(row, 'group_pdb') === 'HETATM',
      afterEnd: false,
      position: position as [number, number, number],
    });
  }
  return { atoms, entities };
}

/** What each strand consists of: by its own scheme, else by its entity's sequence. */
function sequencesOf(block: CifBlock, entities: Map<string, string>): Map<string, Monomer[]> {
  const canonical = new Map<string, string>();
  const poly = reader(block, 'entity_poly');
  for (let row = 0; row < poly.rows; row++) {
    canonical.set(poly.text(row, 'entity_id'), poly.text(row, 'pdbx_seq_one_letter_code_can').replace(/\s/g, ''));
  }
  const sequences = new Map<string, Monomer[]>();
  const add = (to: Map<string, Monomer[]>, key: string, place: number, component: string, number: string) => {
    const monomers = to.get(key) ?? [];
    to.set(key, monomers);
    const monomer = monomers[place - 1];
    if (monomer) {
      monomer.components.push(component);
    } else {
      monomers[place - 1] = { components: [component], number };
    }
  };
  const scheme = reader(block, 'pdbx_poly_seq_scheme');
  for (let row = 0; row < scheme.rows; row++) {
    const strand = scheme.text(row, 'asym_id');
    const entity = scheme.text(row, 'entity_id');
    if (entity !== '') {
      entities.set(strand, entity);
    }
    const number = scheme.text(row, 'pdb_seq_num', 'auth_seq_num') + scheme.text(row, 'pdb_ins_code');
    add(sequences, strand, scheme.number(row, 'seq_id'), scheme.text(row, 'mon_id'), number);
  }
  const ofEntity = new Map<string, Monomer[]>();
  const poly_seq = reader(block, 'entity_poly_seq');
  for (let row = 0; row < poly_seq.rows; row++) {
    add(ofEntity, poly_seq.text(row, 'entity_id'), poly_seq.number(row, 'num'), poly_seq.text(row, 'mon_id'), '');
  }
  for (const [strand, entity] of entities) {
    const monomers = sequences.get(strand) ?? ofEntity.get(entity)?.map((monomer) => ({ ...monomer }));
    if (!monomers) {
      continue;
    }
    const letters = canonical.get(entity) ?? '';
    if (letters.length === monomers.length) {
      monomers.forEach((monomer, i) => {
        monomer.letter = letters[i];
      });
    }
    sequences.set(strand, monomers);
  }
  // A list with holes tells nothing about them.
  return new Map([...sequences].filter(([, monomers]) => !Array.from(monomers).includes(undefined as never)));
}

function reader(block: CifBlock, name: string) {
  const category = block.get(name);
  return {
    rows: category?.rows ?? 0,
    /** The first of the columns that has a value; empty where none has. */
    text(row: number, ...columns: string[]): string {
      for (const column of columns) {
        const value = category?.columns.get(column)?.(row);
        if (value !== undefined) {
          return String(value);
        }
      }
      return '';
    },
    /** NaN where there is none. */
    number(row: number, column: string): number {
      const value = category?.columns.get(column)?.(row);
      return value === undefined || value === '' ? Number.NaN : Number(value);
    },
  };
}
