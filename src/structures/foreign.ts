/** What is read, for messages about files that are not. */
const READ = 'PDB, mmCIF and BinaryCIF are read';

/** Other formats of structures: how each begins, and how it becomes one that is read. */
const FORMATS: [name: string, pattern: RegExp, advice: string][] = [
  [
    'PDBML (XML)',
    /^\s*<\?xml|^\s*<(PDBx:)?datablock/i,
    'get the entry as .cif.gz or .bcif.gz, or convert it with python3 -c "from Bio.PDB import MMCIFIO; from Bio.PDB.PDBMLParser import PDBMLParser; ' +
      "io = MMCIFIO(); io.set_structure(PDBMLParser().get_structure('FILE')); io.save('FILE.cif')\"",
  ],
  ['JSON (mmJSON)', /^\s*\{/, 'convert it with gemmi convert FILE.json FILE.cif'],
  ['MOL2', /^@<TRIPOS>/m, 'convert it with obabel FILE.mol2 -O FILE.pdb'],
  ['SDF or MOL', /^.*\n.*\n.*\n.*V[23]000\s*$/m, 'it is of small molecules; give the structure of a protein'],
  [
    'GROMACS (.gro)',
    /^.*\n\s*\d+\s*\n\s*\d+[A-Z0-9]{2,5}\s+\S+\s*\d+\s+-?\d+\.\d{3}\s*-?\d/,
    'convert it with gmx editconf -f FILE.gro -o FILE.pdb',
  ],
  [
    'XYZ',
    /^\s*\d+\s*\n.*\n\s*[A-Z][a-z]?\s+-?\d+\.\d+\s+-?\d+\.\d+\s+-?\d+\.\d+/,
    'it names no residues; give the structure it was made from',
  ],
  ['FASTA', /^\s*>/, 'a structure is needed'],
];

/** Why text is no structure that is read, and what to do; undefined where it may be one. */
export function refusalOf(text: string, where: string): string | undefined {
  const beginning = text.slice(0, 4096).replaceAll('\r\n', '\n');
  const format = FORMATS.find(([, pattern]) => pattern.test(beginning));
  if (format) {
    const [name, , advice] = format;
    return `${where}: ${name}; ${READ}: ${advice}`;
  }
  if (/^_atom_site_(label|fract_x)\b/m.test(text)) {
    return `${where}: CIF of a small molecule's crystal; ${READ}: give the structure of a protein`;
  }
  return beginning.includes('\0')
    ? `${where}: a binary file of an unknown format; ${READ}: give the structure as one of them, or gzip of it`
    : undefined;
}
