import { resolve, sep } from 'node:path';
import { append } from '../data/arrays.js';
import { InputError } from '../data/errors.js';
import type { ProteinRecord } from '../data/proteins.js';
import type { KnownContacts } from '../interpret/contacts.js';
import type { Chain } from '../structures/structure.js';
import { printWarnings } from './dataOutput.js';
import { type ChainOptions, readAllSequences, structureOptions } from './interpretOptions.js';

/** Ends of the names of structure files. */
const STRUCTURE = /\.(pdb\d*|ent|pdbx|cif|mmcif|bcif)(\.gz)?$/i;

/** A protein of the inputs, with what its structure says. */
export interface ContactInput extends ProteinRecord {
  known?: KnownContacts & { chain: Chain };
}

/**
 * Reads proteins from FASTA files and structures.
 * @throws InputError where two have one identifier
 */
export async function readContactInputs(inputs: string[], options: ChainOptions): Promise<ContactInput[]> {
  const { contactPairs, isStructureFile, readChain } = await import('../structures/structure.js');
  const { Warnings } = await import('../data/warnings.js');
  const structures = new Set(inputs.filter(isStructureFile));
  const names = shortNames([...structures].map(stem));
  const warnings = new Warnings();
  const proteins: ContactInput[] = [];
  for (const path of inputs) {
    if (structures.has(path)) {
      const chain = readChain(path, options.chain, { ...structureOptions(options), warnings });
      const { sequence, residues } = chain;
      const unresolved = new Set([...residues.keys()].filter((i) => residues[i].position === undefined));
      const known = { sequence, contacts: contactPairs(chain), unresolved, chain };
      const id = `${names.get(stem(path))}_${chain.id}`;
      proteins.push({ id, description: id, sequence, file: path, line: 1, known });
    } else {
      append(proteins, await readAllSequences(path));
    }
  }
  printWarnings(warnings);
  const files = new Map<string, string>();
  for (const { id, file } of proteins) {
    const other = files.get(id);
    if (other !== undefined) {
      throw new InputError(`${file}: ${id} is in ${other} as well; give one of them`);
    }
    files.set(id, file);
  }
  return proteins;
}

/** The whole path of a structure, without extension. */
function stem(path: string): string {
  return resolve(path).replace(STRUCTURE, '');
}

/** The last part of each path; where several have the same, with as many folders before it as tell them apart. */
function shortNames(paths: string[]): Map<string, string> {
  const names = new Map<string, string>();
  let alike = [...new Set(paths)];
  for (let parts = 1; alike.length > 0; parts++) {
    const counts = new Map<string, number>();
    for (const path of alike) {
      const name = path.split(sep).slice(-parts).join('/');
      names.set(path, name);
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    alike = alike.filter((path) => counts.get(names.get(path)!)! > 1);
  }
  return names;
}
