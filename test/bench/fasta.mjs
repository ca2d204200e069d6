/**
 * How fast FASTA is read and a store is built, beside bionode-fasta and a plain line reader. Prints one JSON object.
 *
 *     npm run build && node test/bench/fasta.mjs proteins.fasta.gz
 */
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import { buildStore } from '../../dist/data/build.js';
import { readFasta } from '../../dist/data/fasta.js';
import { readProteins } from '../../dist/data/proteins.js';

const bionode = createRequire(import.meta.url)('bionode-fasta');
const [file] = process.argv.slice(2);
if (!file) {
  throw new Error('usage: node test/bench/fasta.mjs FASTA.gz');
}

async function count(records) {
  const counts = { sequences: 0, residues: 0 };
  for await (const record of records) {
    counts.sequences++;
    counts.residues += record.sequence.length;
  }
  return counts;
}

/** bionode-fasta's streams are too old for `for await`. */
function countBionode() {
  return new Promise((resolve, reject) => {
    const counts = { sequences: 0, residues: 0 };
    const stream = bionode.obj(file);
    stream.on('error', reject).on('end', () => resolve(counts));
    stream.on('data', ({ seq }) => {
      counts.sequences++;
      counts.residues += seq.length;
    });
  });
}

/** What a script would do: lines, gathered until the next header. */
async function* lines() {
  const compressed = createReadStream(file);
  const input = file.endsWith('.gz') ? compressed.pipe(createGunzip()) : compressed;
  let parts = [];
  for await (const line of createInterface({ input })) {
    if (!line.startsWith('>')) {
      parts.push(line);
    } else {
      if (parts.length > 0) {
        yield { sequence: parts.join('') };
      }
      parts = [];
    }
  }
  yield { sequence: parts.join('') };
}

const folder = await mkdtemp(join(tmpdir(), 'bench-'));
const runs = {
  'bionode-fasta': countBionode,
  'line by line': () => count(lines()),
  readFasta: () => count(readFasta(file)),
  'readProteins (checked)': () => count(readProteins(file)),
  buildStore: () => buildStore(file, join(folder, 'store'), { overwrite: true }),
};
const results = {};
for (const [name, run] of Object.entries(runs)) {
  let best = Infinity;
  let cpu = Infinity;
  let counts;
  for (let round = 0; round < 3; round++) {
    const start = performance.now();
    const before = process.cpuUsage();
    counts = await run();
    best = Math.min(best, (performance.now() - start) / 1000);
    const { user, system } = process.cpuUsage(before);
    cpu = Math.min(cpu, (user + system) / 1e6);
  }
  const { sequences, residues } = counts;
  results[name] = {
    seconds: Number(best.toFixed(3)),
    cpuSeconds: Number(cpu.toFixed(3)),
    sequences,
    residues,
    residuesPerSecond: Math.round(residues / best),
  };
}
await rm(folder, { recursive: true });
const peak = Math.round(process.resourceUsage().maxRSS / 1024);
console.log(JSON.stringify({ file, node: process.version, peakMegabytes: peak, results }, null, 2));
