import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { constants, gunzipSync } from 'node:zlib';
import { InputError } from '../data/errors.js';
import { Warnings } from '../data/warnings.js';
import type { AtomSite, StructureAtom, StructureFile } from './atoms.js';
import { isMessagePack, parseBinaryCif } from './binaryCif.js';
import { parseCif, structureOf } from './cif.js';
import { refusalOf } from './foreign.js';
import { readPdb } from './pdb.js';
import { residuesOf, type StructureResidue } from './residues.js';

export type { StructureAtom } from './atoms.js';
export type { StructureResidue } from './residues.js';

/** One chain of a structure: the residues that it consists of, in their order, also those without coordinates. */
export interface Chain {
  id: string;
  residues: readonly StructureResidue[];
  /** One letter a residue, of a modified one its parent's; X where there is none. */
  sequence: string;
}

export interface StructureOptions {
  /** Number of the model (PDB's MODEL, mmCIF's `pdbx_PDB_model_num`); default: the first of the file. */
  model?: number;
  /** Which of mmCIF's two names of a chain is its id: the author's (default), or the archive's `label_asym_id`. */
  chains?: 'author' | 'label';
  /** Which of alternative locations a residue has: the one of highest occupancy (default), or the file's first. */
  locations?: 'occupied' | 'first';
  /** Takes residues that are read as X. */
  warnings?: Warnings;
}

/** Two residues are in contact when their Cβ are closer than this, in ångström (as in CASP). */
export const CONTACT_DISTANCE = 8;

/**
 * Reads the protein chains of a structure: PDB, mmCIF or BinaryCIF (by content), plain or gzip.
 *
 * - Residues are what the polymer consists of: by `label_seq_id` and the sequences of mmCIF; in PDB by SEQRES, and without
 *   it by names, backbone and peptide bonds. Waters, ligands and caps are none, whatever record they are in.
 * - A modified residue has its parent's letter: by the file (`_chem_comp`, MODRES), else the Chemical Component Dictionary.
 * - Residues that were not resolved are listed, without atoms: by the file's sequence, else as X where the numbers jump
 *   and no bond joins the neighbours.
 * - Of alternative locations a residue has the one of highest occupancy, of equal ones the first (`locations`).
 *
 * @throws InputError where the file has no protein, an atom's coordinates cannot be read, or the format is another one
 */
export function readStructure(path: string, options: StructureOptions = {}): Chain[] {
  return parseStructure(readBytes(path), path, options);
}

function readBytes(path: string): Buffer {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new InputError(
      `${path}: cannot be read (${(error as NodeJS.ErrnoException).code}): give a PDB, mmCIF or BinaryCIF file`,
    );
  }
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    try {
      bytes = gunzipSync(bytes);
    } catch {
      throw new InputError(`${path}: damaged or truncated gzip: download it again`);
    }
  }
  return bytes;
}

/** The chains in the text of a PDB or mmCIF file, or the bytes of one or of a BinaryCIF file; `where` names it in errors. */
export function parseStructure(content: string | Uint8Array, where: string, options: StructureOptions = {}): Chain[] {
  return chainsOf(parseFile(content, where, options.chains ?? 'author'), where, options);
}

/** The atoms of the model that is asked for. */
function modelAtoms({ atoms }: StructureFile, where: string, wanted: number | undefined): AtomSite[] {
  const models = [...new Set(atoms.map(({ model }) => model))];
  const model = wanted === undefined ? models[0] : models.find((name) => Number(name) === wanted);
  if (model === undefined && models.length > 0) {
    throw new InputError(`${where}: no model ${wanted}: it has ${listed(models)}`);
  }
  return atoms.filter((atom) => atom.model === model);
}

function chainsOf(file: StructureFile, where: string, options: StructureOptions): Chain[] {
  const { warnings = new Warnings() } = options;
  const strands = new Map<string, AtomSite[]>();
  for (const site of modelAtoms(file, where, options.model)) {
    const atom = options.locations === 'first' ? { ...site, occupancy: 1 } : site;
    const key = `${atom.strand} ${atom.chain}`;
    const strand = strands.get(key);
    if (strand) {
      strand.push(atom);
    } else {
      strands.set(key, [atom]);
    }
  }
  const found = [...strands.values()].flatMap((atoms): Chain[] => {
    const [{ chain: id, strand }] = atoms;
    const residues = residuesOf(atoms, file, file.sequences.get(strand));
    if (!residues.some(({ position }) => position)) {
      return [];
    }
    for (const { letter, name, number } of residues) {
      if (letter === 'X' && name !== '' && name !== 'UNK') {
        warnings.add('residue without a known parent, read as X', `${where}, chain ${id}, ${name} ${number}`.trimEnd());
      }
    }
    return [{ id, residues, sequence: residues.map(({ letter }) => letter).join('') }];
  });
  if (found.length === 0) {
    throw new InputError(`${where}: no protein atoms in it: give a PDB, mmCIF or BinaryCIF file of a protein`);
  }
  return found;
}

function parseFile(content: string | Uint8Array, where: string, chains: 'author' | 'label'): StructureFile {
  if (typeof content !== 'string' && isMessagePack(content)) {
    return cifFile(parseBinaryCif(content, where), where, chains);
  }
  const text = typeof content === 'string' ? content : new TextDecoder().decode(content);
  const refusal = refusalOf(text, where);
  if (refusal !== undefined) {
    throw new InputError(refusal);
  }
  return /^(data_|loop_|_atom_site\.)/im.test(text)
    ? cifFile(parseCif(text, where), where, chains)
    : readPdb(text, where);
}

function cifFile(blocks: ReturnType<typeof parseCif>, where: string, chains: 'author' | 'label'): StructureFile {
  const file = structureOf(blocks, where, chains);
  if (!file) {
    throw new InputError(
      `${where}: CIF without the atoms of a structure (_atom_site): give an mmCIF or BinaryCIF file of a protein`,
    );
  }
  return file;
}

/** The first ten names, and how many more there are. */
function listed(names: string[]): string {
  return names.length > 10 ? `${names.slice(0, 10).join(', ')} and ${names.length - 10} more` : names.join(', ');
}

/**
 * One chain of a structure file.
 * @param id the chain's name; default: the first
 * @throws InputError naming the chains that there are
 */
export function readChain(path: string, id?: string, options: StructureOptions = {}): Chain {
  const chains = readStructure(path, options);
  const chain = id === undefined ? chains[0] : chains.find((one) => one.id === id);
  if (!chain) {
    throw new InputError(`${path}: no chain ${id}: it has ${chains.map((one) => one.id).join(', ')}`);
  }
  return chain;
}

const WATER = new Set(['HOH', 'DOD', 'WAT', 'H2O', 'SOL', 'TIP3']);

/**
 * Atoms of a structure that belong to none of its protein chains.
 * @param options.hetero takes those of ligands, ions and caps
 * @param options.water takes those of waters
 */
export function otherAtoms(
  path: string,
  options: StructureOptions & { hetero?: boolean; water?: boolean },
): StructureAtom[] {
  const file = parseFile(readBytes(path), path, options.chains ?? 'author');
  const keyOf = ({ position }: StructureAtom) => position.join();
  const own = new Set(
    chainsOf(file, path, { ...options, warnings: undefined }).flatMap(({ residues }) =>
      residues.flatMap(({ atoms }) => atoms.map(keyOf)),
    ),
  );
  // A chain's other conformations are none of these.
  const chained = new Set(
    modelAtoms(file, path, options.model)
      .filter((atom) => own.has(keyOf(atom)))
      .map(({ strand, number }) => `${strand} ${number}`),
  );
  return modelAtoms(file, path, options.model).filter(
    ({ strand, number, component }) =>
      !chained.has(`${strand} ${number}`) && (WATER.has(component) ? options.water : options.hetero),
  );
}

/** Whether a file is a structure, in a format that is read or not: by its name, or else by how it begins. */
export function isStructureFile(path: string): boolean {
  if (/\.(pdb\d*|ent|pdbx|cif|mmcif|bcif|pqr|mmtf|gro|mol2|sdf|mmjson|xml)(\.gz)?$/i.test(path)) {
    return true;
  }
  let bytes: Buffer = Buffer.alloc(4096);
  try {
    const file = openSync(path, 'r');
    try {
      bytes = bytes.subarray(0, readSync(file, bytes));
    } finally {
      closeSync(file);
    }
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
      bytes = gunzipSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH });
    }
  } catch {
    // Whoever reads it as sequences says what is wrong.
    return false;
  }
  return (
    isMessagePack(bytes) ||
    /^(HEADER|ATOM {2}|HETATM|CRYST1|data_|<\?xml)/m.test(bytes.toString('latin1').slice(0, 4000))
  );
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
