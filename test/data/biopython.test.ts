import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { readFasta } from '../../src/data/fasta.js';
import { type BiopythonRecord, hasBiopython, parseWithBiopython } from './biopython.js';

const folder = mkdtempSync(join(tmpdir(), 'biopython-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Our records of a text that arrives in chunks of so many bytes. */
async function read(bytes: Buffer, chunk: number): Promise<BiopythonRecord[]> {
  const chunks = Array.from({ length: Math.ceil(bytes.length / chunk) }, (_, i) =>
    bytes.subarray(i * chunk, (i + 1) * chunk),
  );
  const records: BiopythonRecord[] = [];
  try {
    for await (const { id, description, sequence } of readFasta(Readable.from(chunks, { objectMode: false }))) {
      records.push({ id, description, sequence });
    }
  } catch (error) {
    // Text without any record, which Biopython gives as no records.
    if (!/no FASTA record/.test((error as Error).message)) {
      throw error;
    }
  }
  return records;
}

/** Texts of everything that FASTA files are known to have, in any order. */
const fastaText = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom('\n', '\r\n') },
      { weight: 5, arbitrary: fc.constantFrom('MKTVRQG', 'acdefghik', 'LAGVSERTIDPKQNFYMHWC', 'X-U.B', 'W') },
      {
        weight: 4,
        arbitrary: fc
          .tuple(
            fc.constantFrom('', '\n', '\r\n', '\r'),
            fc.constantFrom('>a', '>sp|P1|A_X Protein OS=X', '>', '> b c', '>dup\tword', '>é水 ü', '>x\u00a0y'),
          )
          .map(([end, header]) => end + header),
      },
      {
        weight: 3,
        arbitrary: fc.constantFrom('\r', ' ', '\t', '  ', '*', ';note', '#note', '>', '1', '\v', '\f', '\x1c', '\x00'),
      },
    ),
    { minLength: 5, maxLength: 40, size: 'max' },
  )
  .map((parts) => parts.join(''))
  // Biopython has no sequence for letters outside ASCII: they are only in headers.
  .filter((text) => text.split(/\r\n|\r|\n/).every((line) => line.startsWith('>') || /^[\0-\x7f]*$/.test(line)));

describe.skipIf(!hasBiopython)('beside Biopython', () => {
  test('records of generated files are the same', async () => {
    let records = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(fastaText, { minLength: 300, maxLength: 300 }), fc.nat(40), async (texts, chunk) => {
        const paths = texts.map((text, i) => {
          const path = join(folder, `${i}.fasta`);
          writeFileSync(path, text);
          return path;
        });
        const expected = parseWithBiopython(paths);
        for (const [i, text] of texts.entries()) {
          expect(await read(Buffer.from(text), chunk + 1), JSON.stringify(text)).toEqual(expected[i]);
        }
        records += expected.flat().length;
      }),
      { numRuns: 10, endOnFailure: true },
    );
    expect(records).toBeGreaterThan(5000);
  });
});

/** Texts and what Biopython 1.80 makes of them, for where it is not installed. */
const cases: { text: string; records: BiopythonRecord[] }[] = JSON.parse(
  readFileSync(new URL('biopython-1.80.json', import.meta.url), 'utf8'),
);

test.each(cases)('as Biopython 1.80 reads $text', async ({ text, records }) => {
  for (const chunk of [1, 2, 3, 1000]) {
    expect(await read(Buffer.from(text), chunk)).toEqual(records);
  }
});
