/**
 * Makes the files of this folder from UniProt's sequences in Debian's package mmseqs2-examples:
 *
 *     apt-get download mmseqs2-examples
 *     dpkg -x mmseqs2-examples_*.deb examples
 *     npm run build
 *     node datasets/make-sample.mjs examples/usr/share/doc/mmseqs2/example-data/DB.fasta.gz
 *
 * The same input gives the same bytes.
 */
import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { readFasta } from '../dist/data/fasta.js';
import { hash32 } from '../dist/data/random.js';

const SEQUENCES = 10_000;
/** Single proteins to score. They are not in the sample, so that no model has seen them. */
const EXAMPLES = { P00995: 'spink1.fasta', O23759: 'sumo.fasta' };

const [source] = process.argv.slice(2);
if (!source) {
  throw new Error('usage: node datasets/make-sample.mjs DB.fasta.gz');
}

const examples = new Map();
const records = new Map();
for await (const { id, description, sequence } of readFasta(source)) {
  // MMseqs2 added "Split=0" to UniProt's headers.
  const header = description.replace(/ Split=\d+$/, '');
  const accession = id.split('|')[1];
  if (accession in EXAMPLES) {
    examples.set(EXAMPLES[accession], { header, sequence });
  } else if (!records.has(sequence)) {
    records.set(sequence, { header, sequence });
  }
}

const hash = ({ sequence }) => hash32(Buffer.from(sequence));
const limit = [...records.values()].map(hash).sort((a, b) => a - b)[SEQUENCES];
const sample = [...records.values()].filter((record) => hash(record) < limit);
if (sample.length !== SEQUENCES || examples.size !== 2) {
  throw new Error(`${source}: not the expected sequences`);
}

const fasta = ({ header, sequence }) => `>${header}\n${sequence.replace(/.{60}(?=.)/g, '$&\n')}\n`;
const write = (name, bytes) => writeFileSync(new URL(name, import.meta.url), bytes);
write('uniprot-sample.fasta.gz', gzipSync(sample.map(fasta).join(''), { level: 9 }));
for (const [name, record] of examples) {
  write(name, fasta(record));
}
