import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { InputError } from '../data/errors.js';

/** One atom of a residue. */
export interface StructureAtom {
  /** As the file names it: CA, CB, OXT. */
  name: string;
  /** Symbol in upper case; empty where the file has none. */
  element: string;
  /** In ångström. */
  position: readonly [x: number, y: number, z: number];
}

/** One residue of a chain: its letter, its atoms, and the one that stands for its side chain, in ångström. */
export interface StructureResidue {
  letter: string;
  /** The chemical component's name: ALA, MSE. */
  name: string;
  /** Number in the file, with its insertion code. */
  number: string;
  /** Cβ, for glycine (and where Cβ is missing) Cα; undefined where neither was resolved. */
  position?: readonly [x: number, y: number, z: number];
  /** The atoms of one conformation, in the file's order, hydrogens with them. */
  atoms: readonly StructureAtom[];
}

/** One chain of a structure: the residues that its file has coordinates for, in its order. */
export interface Chain {
  id: string;
  residues: readonly StructureResidue[];
  /** One letter a residue; X where the residue is not a standard one and not one of the usual modifications. */
  sequence: string;
}

/** Two residues are in contact when their Cβ are closer than this, in ångström (as in CASP). */
export const CONTACT_DISTANCE = 8;

const LETTERS: Readonly<Record<string, string>> = {
  ALA: 'A',
  ARG: 'R',
  ASN: 'N',
  ASP: 'D',
  CYS: 'C',
  GLN: 'Q',
  GLU: 'E',
  GLY: 'G',
  HIS: 'H',
  ILE: 'I',
  LEU: 'L',
  LYS: 'K',
  MET: 'M',
  PHE: 'F',
  PRO: 'P',
  SER: 'S',
  THR: 'T',
  TRP: 'W',
  TYR: 'Y',
  VAL: 'V',
  SEC: 'U',
  PYL: 'O',
  // Modified residues that crystallographers write into protein chains, by what they were made of.
  MSE: 'M',
  SEP: 'S',
  TPO: 'T',
  PTR: 'Y',
  CSO: 'C',
  CME: 'C',
  OCS: 'C',
  CSD: 'C',
  KCX: 'K',
  MLY: 'K',
  M3L: 'K',
  HYP: 'P',
  PCA: 'E',
  CGU: 'E',
  HIC: 'H',
  MEN: 'N',
  ALY: 'K',
  CAS: 'C',
};

interface Atom extends StructureAtom {
  model: string;
  chain: string;
  number: string;
  residue: string;
  /** Alternative location; a residue takes the first that it has. */
  alternative: string;
  hetero: boolean;
}

/**
 * Reads the protein chains of a structure: PDB or mmCIF (by content), plain or gzip. The first model counts.
 * @throws InputError where the file has no atoms, or an atom's coordinates cannot be read (with its line)
 */
export function readStructure(path: string): Chain[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new InputError(
      `${path}: cannot be read (${(error as NodeJS.ErrnoException).code}): give a PDB or mmCIF file`,
    );
  }
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    try {
      bytes = gunzipSync(bytes);
    } catch {
      throw new InputError(`${path}: damaged or truncated gzip: download it again`);
    }
  }
  return parseStructure(bytes.toString('utf8'), path);
}

/** The chains in a PDB or mmCIF file's text; `where` names it in errors. */
export function parseStructure(text: string, where: string): Chain[] {
  const atoms = /^(data_|loop_|_atom_site\.)/m.test(text) ? cifAtoms(text, where) : pdbAtoms(text, where);
  const chains = new Map<string, Map<string, StructureResidue & { atoms: StructureAtom[]; names: Set<string> }>>();
  let model: string | undefined;
  for (const atom of atoms) {
    model ??= atom.model;
    if (atom.model !== model) {
      break;
    }
    const letter = LETTERS[atom.residue];
    // Waters and ligands are no residues; a modified residue of a chain is.
    if (atom.hetero && !letter) {
      continue;
    }
    const residues = chains.get(atom.chain) ?? new Map();
    chains.set(atom.chain, residues);
    let residue = residues.get(atom.number);
    if (!residue) {
      residue = { letter: letter ?? 'X', name: atom.residue, number: atom.number, atoms: [], names: new Set() };
      residues.set(atom.number, residue);
    }
    const { name, element, position } = atom;
    if (residue.names.has(name)) {
      continue;
    }
    residue.names.add(name);
    residue.atoms.push({ name, element, position });
    if (name === 'CB' || (name === 'CA' && !residue.names.has('CB'))) {
      residue.position = position;
    }
  }
  const found = [...chains]
    .map(([id, residues]): Chain => {
      const list = [...residues.values()].map(({ names, ...residue }) => residue);
      return { id, residues: list, sequence: list.map(({ letter }) => letter).join('') };
    })
    .filter(({ residues }) => residues.some(({ position }) => position));
  if (found.length === 0) {
    throw new InputError(`${where}: no protein atoms in it: give a PDB or mmCIF file`);
  }
  return found;
}

/**
 * One chain of a structure file.
 * @param id the chain's letter; default: the first
 * @throws InputError naming the chains that there are
 */
export function readChain(path: string, id?: string): Chain {
  const chains = readStructure(path);
  const chain = id === undefined ? chains[0] : chains.find((one) => one.id === id);
  if (!chain) {
    throw new InputError(`${path}: no chain ${id}: it has ${chains.map((one) => one.id).join(', ')}`);
  }
  return chain;
}

/**
 * Pairs of residues (0-based, i < j) whose Cβ are closer than `distance`, at least `separation` apart in sequence.
 * @param separation default 6: nearer ones are in contact in any helix
 */
export function contactPairs(chain: Chain, separation = 6, distance = CONTACT_DISTANCE): [i: number, j: number][] {
  const { residues } = chain;
  const pairs: [number, number][] = [];
  for (let i = 0; i < residues.length; i++) {
    const a = residues[i].position;
    if (!a) {
      continue;
    }
    for (let j = i + separation; j < residues.length; j++) {
      const b = residues[j].position;
      if (b && Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]) < distance) {
        pairs.push([i, j]);
      }
    }
  }
  return pairs;
}

/** Atoms of a PDB file: fixed columns (wwPDB format 3.3, ATOM and HETATM). */
function* pdbAtoms(text: string, where: string): Generator<Atom> {
  let model = '1';
  let line = 0;
  for (const record of text.split(/\r?\n/)) {
    line++;
    if (record.startsWith('MODEL ')) {
      model = record.slice(10, 14).trim();
    }
    const hetero = record.startsWith('HETATM');
    if (!hetero && !record.startsWith('ATOM  ')) {
      continue;
    }
    const position = [record.slice(30, 38), record.slice(38, 46), record.slice(46, 54)].map(coordinate);
    if (position.some(Number.isNaN)) {
      throw new InputError(`${where}, line ${line}: an atom without coordinates: the file is damaged or no PDB file`);
    }
    yield {
      model,
      chain: record[21].trim() || 'A',
      number: record.slice(22, 27).trim(),
      residue: record.slice(17, 20).trim(),
      name: record.slice(12, 16).trim(),
      alternative: record[16].trim(),
      element: record.slice(76, 78).trim().toUpperCase(),
      hetero,
      position: position as [number, number, number],
    };
  }
}

/** Atoms of an mmCIF file: the category _atom_site, with the author's names of chains and residues. */
function* cifAtoms(text: string, where: string): Generator<Atom> {
  const columns = new Map<string, number>();
  let row: string[] = [];
  let state: 'outside' | 'header' | 'rows' = 'outside';
  for (const { value, quoted, line } of cifTokens(text)) {
    const keyword = quoted ? '' : value.toLowerCase();
    if (keyword.startsWith('_atom_site.')) {
      columns.set(keyword.slice('_atom_site.'.length), columns.size);
      state = 'header';
      continue;
    }
    if (state === 'outside') {
      continue;
    }
    if (keyword.startsWith('_') || keyword === 'loop_' || keyword.startsWith('data_')) {
      if (state === 'rows') {
        return;
      }
      continue;
    }
    state = 'rows';
    row.push(value);
    if (row.length < columns.size) {
      continue;
    }
    const field = (...names: string[]): string => {
      for (const name of names) {
        const index = columns.get(name);
        if (index !== undefined && row[index] !== '.' && row[index] !== '?') {
          return row[index];
        }
      }
      return '';
    };
    const position = ['cartn_x', 'cartn_y', 'cartn_z'].map((name) => coordinate(field(name)));
    if (position.some(Number.isNaN)) {
      throw new InputError(`${where}, line ${line}: an atom without coordinates: the file is damaged or no mmCIF file`);
    }
    yield {
      model: field('pdbx_pdb_model_num') || '1',
      chain: field('auth_asym_id', 'label_asym_id'),
      number: field('auth_seq_id', 'label_seq_id') + field('pdbx_pdb_ins_code'),
      residue: field('auth_comp_id', 'label_comp_id'),
      name: field('auth_atom_id', 'label_atom_id'),
      element: field('type_symbol').toUpperCase(),
      alternative: field('label_alt_id'),
      hetero: field('group_pdb') === 'HETATM',
      position: position as [number, number, number],
    };
    row = [];
  }
}

/** CIF's words: bare, in quotes, or between lines that begin with a semicolon (Hall, Allen and Brown 1991). */
function* cifTokens(text: string): Generator<{ value: string; quoted: boolean; line: number }> {
  const lines = text.split(/\r?\n/);
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

function coordinate(text: string): number {
  return text.trim() === '' ? Number.NaN : Number(text);
}
