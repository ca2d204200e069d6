/**
 * Compares the chains that are read from structure files with Biopython's: letters of the whole sequence (SEQRES or the
 * entity's), of the resolved residues, and where each C-alpha or C-beta stands. Needs `npm run build`, and Python with
 * Biopython.
 *
 *     node test/structures/compare.mjs FOLDER... [--python python3]
 *
 * A file that one of the two refuses, or a chain that differs, is a line; the last line counts.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readStructure } from '../../dist/index.js';

const REFERENCE = `
import gzip, json, sys, warnings
warnings.simplefilter('ignore')
from Bio import SeqIO
from Bio.PDB import MMCIFParser, PDBParser
from Bio.PDB.Polypeptide import is_aa

path, kind = sys.argv[1:]
text = lambda: gzip.open(path, 'rt') if path.endswith('.gz') else open(path)
def sequences(form):
    try:
        return {r.annotations.get('chain', r.id.split(':')[-1]): str(r.seq) for r in SeqIO.parse(text(), f'{kind}-{form}')}
    except Exception as error:
        return {}
parser = MMCIFParser(QUIET=True) if kind == 'cif' else PDBParser(QUIET=True)
model = next(iter(parser.get_structure('s', text())))
chains = {}
for chain in model:
    residues = []
    for residue in chain:
        if residue.is_disordered() == 2:
            pass
        name = 'CB' if 'CB' in residue else 'CA'
        if is_aa(residue) and name in residue:
            number = f'{residue.id[1]}{residue.id[2]}'.strip()
            residues.append([number, residue.get_resname().strip(), [round(float(x), 3) for x in residue[name].coord]])
    if residues:
        chains[chain.id.strip() or 'A'] = residues
print(json.dumps({'seqres': sequences('seqres'), 'atom': sequences('atom'), 'chains': chains}))
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { python: { type: 'string', default: 'python3' } },
});
const files = positionals.flatMap((path) =>
  statSync(path).isDirectory() ? readdirSync(path).map((name) => join(path, name)) : [path],
);
const counts = { files: 0, chains: 0, differ: 0, refused: 0 };
for (const path of files.filter((name) => /\.(pdb|ent|cif)(\.gz)?$/.test(name))) {
  counts.files++;
  const ours = attempt(() => readStructure(path));
  const kind = /\.cif/.test(path) ? 'cif' : 'pdb';
  const reference = attempt(() =>
    JSON.parse(execFileSync(values.python, ['-c', REFERENCE, path, kind], { encoding: 'utf8', stdio: 'pipe' })),
  );
  if (ours.error || reference.error) {
    counts.refused++;
    const theirs = reference.error ? 'Biopython fails' : `Biopython: ${describe(reference.value.chains)}`;
    console.log(`${path}: ${ours.error ?? describe(byId(ours.value))}; ${theirs}`);
    continue;
  }
  compare(path, byId(ours.value), reference.value);
}
console.log(JSON.stringify(counts));

function byId(chains) {
  return Object.fromEntries(chains.map((chain) => [chain.id, chain]));
}

function describe(chains) {
  return Object.entries(chains)
    .map(([id, chain]) => `${id} of ${(chain.residues ?? chain).length}`)
    .join(', ');
}

function attempt(work) {
  try {
    return { value: work() };
  } catch (error) {
    return { error: error.message.split('\n')[0] };
  }
}

function compare(path, ours, { seqres, atom, chains }) {
  for (const id of new Set([...Object.keys(ours), ...Object.keys(chains)])) {
    counts.chains++;
    const differences = [];
    if (!ours[id] || !chains[id]) {
      differences.push(
        ours[id]
          ? `only here (${ours[id].sequence.slice(0, 40)})`
          : `only there (${chains[id].length} residues: ${chains[id].slice(0, 5).map(([n, name]) => name + n)})`,
      );
    } else {
      const { residues, sequence } = ours[id];
      const whole = seqres[id] ?? atom[id];
      if (whole !== undefined && whole !== sequence) {
        differences.push(`sequence ${sequence} and ${whole} (${seqres[id] ? 'seqres' : 'atoms'})`);
      }
      const own = new Map(residues.filter(({ position }) => position).map((one) => [one.number, one]));
      const other = new Map(chains[id].map((one) => [one[0], one]));
      const missing = [...other.keys()].filter((number) => !own.has(number)).map((n) => other.get(n)[1] + n);
      const more = [...own.keys()].filter((number) => !other.has(number)).map((n) => own.get(n).name + n);
      const moved = [...own].filter(([number, { name, position }]) => {
        const [, otherName, coordinates] = other.get(number) ?? [];
        return coordinates && (name !== otherName || position.some((x, i) => Math.abs(x - coordinates[i]) > 2e-3));
      });
      for (const [what, list] of Object.entries({ missing, more, moved: moved.map(([n, { name }]) => name + n) })) {
        if (list.length > 0) {
          differences.push(`${what}: ${list.slice(0, 8).join(' ')}${list.length > 8 ? ` and ${list.length - 8}` : ''}`);
        }
      }
    }
    if (differences.length > 0) {
      counts.differ++;
      console.log(`${path} chain ${id}: ${differences.join('; ')}`);
    }
  }
}
