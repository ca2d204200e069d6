/**
 * Memory that a build takes as the corpus grows: proteins repeated to 10 MB, 100 MB and 1 GB of FASTA, each built in a
 * process of its own. Prints one JSON object.
 *
 *     npm run build && node test/bench/build-memory.mjs datasets/uniprot-sample.fasta.gz [megabytes …]
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { buildStore } from '../../dist/data/build.js';
import { readFasta } from '../../dist/data/fasta.js';

const [file, ...sizes] = process.argv.slice(2);
if (!file) {
  throw new Error('usage: node test/bench/build-memory.mjs FASTA [megabytes …]');
}

/** The file's records over and over, each time with other identifiers and the sequences turned by a letter. */
async function* repeat(bytes) {
  let written = 0;
  for (let round = 0; written < bytes; round++) {
    for await (const { id, sequence } of readFasta(file)) {
      const turn = round % sequence.length;
      const chunk = Buffer.from(`>${id}_${round}\n${sequence.slice(turn)}${sequence.slice(0, turn)}\n`);
      written += chunk.length;
      yield chunk;
      if (written >= bytes) {
        return;
      }
    }
  }
}

async function measure(megabytes) {
  const folder = await mkdtemp(join(tmpdir(), 'bench-'));
  const start = performance.now();
  const source = Readable.from(repeat(megabytes * 1e6), { objectMode: false, highWaterMark: 1 << 20 });
  const { sequences, residues } = await buildStore(source, join(folder, 'store'));
  const seconds = Number(((performance.now() - start) / 1000).toFixed(1));
  await rm(folder, { recursive: true });
  return { megabytes, sequences, residues, seconds, peakMegabytes: Math.round(process.resourceUsage().maxRSS / 1024) };
}

if (process.send) {
  process.send(await measure(Number(sizes[0])));
} else {
  const results = [];
  for (const megabytes of sizes.length > 0 ? sizes : [10, 100, 1000]) {
    const child = fork(fileURLToPath(import.meta.url), [file, String(megabytes)]);
    results.push((await once(child, 'message'))[0]);
  }
  console.log(JSON.stringify({ file, node: process.version, results }, null, 2));
}
