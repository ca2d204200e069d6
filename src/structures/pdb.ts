import { InputError } from '../data/errors.js';
import type { AtomSite, Monomer, StructureFile } from './atoms.js';

/**
 * A PDB file: fixed columns (wwPDB format 3.3), of which ATOM, HETATM, MODEL, TER, SEQRES and MODRES are read. Names of
 * residues may take the column before the chain, as force fields' do.
 * @throws InputError with the line of an atom whose coordinates cannot be read
 */
export function readPdb(text: string, where: string): StructureFile {
  const atoms: AtomSite[] = [];
  const sequences = new Map<string, Monomer[]>();
  const parents = new Map<string, string>();
  const several = new Set<string>();
  let model = '1';
  let ended = new Set<string>();
  let last = '';
  let line = 0;
  for (const record of text.split(/\r\n|\r|\n/)) {
    line++;
    const kind = record.slice(0, 6);
    if (kind === 'ATOM  ' || kind === 'HETATM') {
      const position = [record.slice(30, 38), record.slice(38, 46), record.slice(46, 54)].map(coordinate);
      if (position.some(Number.isNaN)) {
        throw new InputError(`${where}, line ${line}: an atom without coordinates: the file is damaged or no PDB file`);
      }
      last = chainOf(record[21]);
      const occupancy = coordinate(record.slice(54, 60));
      atoms.push({
        model,
        chain: last,
        strand: last,
        number: record.slice(22, 27).trim(),
        component: record.slice(17, 21).trim(),
        name: record.slice(12, 16).trim(),
        element: record.slice(76, 78).trim().toUpperCase() || elementOf(record.slice(12, 16)),
        alternative: record[16].trim(),
        occupancy: Number.isNaN(occupancy) ? 1 : occupancy,
        hetero: kind === 'HETATM',
        afterEnd: ended.has(last),
        position: position as [number, number, number],
      });
    } else if (kind.startsWith('TER')) {
      ended.add(last);
    } else if (kind === 'MODEL ') {
      model = record.slice(6).trim() || model;
      ended = new Set();
    } else if (kind === 'SEQRES') {
      const chain = chainOf(record[11]);
      const monomers = sequences.get(chain) ?? [];
      sequences.set(chain, monomers);
      for (const component of record.slice(19, 70).split(/\s+/)) {
        if (component !== '') {
          monomers.push({ components: [component], number: '' });
        }
      }
    } else if (kind === 'MODRES') {
      const [component, parent] = [record.slice(12, 15).trim(), record.slice(24, 27).trim()];
      if (parents.has(component) && parents.get(component) !== parent) {
        several.add(component);
      }
      parents.set(component, parent);
    }
  }
  for (const component of several) {
    parents.delete(component);
  }
  return { atoms, sequences, parents, others: new Set() };
}

function chainOf(letter: string | undefined): string {
  return letter?.trim() || 'A';
}

/** The element of an atom by its name's four columns: the symbol ends at the second. */
function elementOf(name: string): string {
  const symbol = name
    .slice(0, 2)
    .replace(/[^A-Za-z]/g, '')
    .toUpperCase();
  return name[0] !== ' ' && /^[HD]/.test(symbol) ? symbol[0] : symbol;
}

/** A number of fixed columns, NaN where they are empty. */
function coordinate(text: string): number {
  return text.trim() === '' ? Number.NaN : Number(text);
}
