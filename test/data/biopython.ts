import { execFileSync } from 'node:child_process';

/** The Python that has Biopython: Debian's python3-biopython belongs to the system's own. */
const PYTHON = ['python3', '/usr/bin/python3'].find((python) => {
  try {
    execFileSync(python, ['-c', 'import Bio.SeqIO'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
});

/** Whether Biopython is there to compare with. */
export const hasBiopython = PYTHON !== undefined;

export interface BiopythonRecord {
  id: string;
  description: string;
  sequence: string;
}

const SCRIPT = `
import json, sys, warnings
from Bio import SeqIO
warnings.simplefilter('ignore')
results = []
for path in sys.stdin.read().splitlines():
    results.append([{'id': r.id, 'description': r.description, 'sequence': str(r.seq)}
                    for r in SeqIO.parse(path, 'fasta')])
json.dump(results, sys.stdout)
`;

/** What Biopython's `SeqIO.parse(path, 'fasta')` gives for each file. */
export function parseWithBiopython(paths: string[]): BiopythonRecord[][] {
  return runBiopython(SCRIPT, paths) as BiopythonRecord[][];
}

/** The JSON that a script prints, which finds the paths in its standard input, one a line. */
export function runBiopython(script: string, paths: string[]): unknown {
  const output = execFileSync(PYTHON!, ['-c', script], {
    input: paths.join('\n'),
    env: { ...process.env, PYTHONUTF8: '1' },
    maxBuffer: 1 << 30,
  });
  return JSON.parse(output.toString('utf8'));
}
