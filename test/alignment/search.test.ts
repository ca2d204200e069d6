import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { LETTERS, readAlignment } from '../../src/alignment/alignment.js';
import { searchFamily } from '../../src/alignment/search.js';
import { Random } from '../../src/data/random.js';

const folder = mkdtempSync(join(tmpdir(), 'search-'));
afterAll(() => rmSync(folder, { recursive: true }));
const random = new Random(3);
const randomProtein = (length: number) => Array.from({ length }, () => LETTERS[random.int(20)]).join('');
const QUERY =
  'MSIQHFRVALIPFFAAFCLPVFAHPETLVKVKDAEDQLGARVGYIELDLNSGKILESFRPEERFPMMSTFKVLLCGAVLSRVDAGQEQLGRRIHYSQNDLVEYSPVTEKHLTDGMTVREL';
/** A relative of the query: a share of its residues changed, two taken out, three put in. */
function relative(share: number): string {
  const changed = [...QUERY].map((letter) => (random.uniform() < share ? LETTERS[random.int(20)] : letter)).join('');
  return `${changed.slice(0, 40)}GGS${changed.slice(40, 80)}${changed.slice(82)}`;
}
const records = [
  ...Array.from({ length: 12 }, (_, i) => [`near${i}`, relative(0.1 + 0.02 * i)]),
  ['part', QUERY.slice(10, 50)],
  ...Array.from({ length: 60 }, (_, i) => [`other${i}`, randomProtein(120)]),
];
const database = join(folder, 'database.fasta.gz');
writeFileSync(database, gzipSync(records.map(([id, sequence]) => `>${id}\n${sequence}\n`).join('')));

describe.each([
  ['mmseqs2', 'mmseqs', 'version'],
  ['hmmer', 'jackhmmer', '-h'],
] as const)('searchFamily by %s', (program, executable, argument) => {
  const absent = spawnSync(executable, [argument]).error !== undefined;

  it.skipIf(absent)(
    `finds relatives, and aligns them (${executable})`,
    async () => {
      const query = { id: 'blat', sequence: QUERY };
      const beside = join(folder, `${program}.a3m`);
      const family = await searchFamily(query, database, beside, { program });
      writeFileSync(beside, family.a3m);
      const alignment = await readAlignment(beside);
      expect(family).toMatchObject({ program, rows: alignment.depth, short: 1 });
      expect(alignment.querySequence).toBe(QUERY);
      const names = alignment.names.slice(1).map((name) => name.split('/')[0]);
      expect(names.filter((name) => name.startsWith('near')).length).toBeGreaterThanOrEqual(10);
      expect(names.filter((name) => name.startsWith('other'))).toEqual([]);
      // The two residues that relatives lack are gaps, and what they have more has no column.
      const { rows, length } = alignment;
      expect([...rows.subarray(length + 60, length + 100)].filter((code) => code === 20)).toHaveLength(2);
      expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    },
    300_000,
  );
});

describe('searchFamily', () => {
  it('says what to install where no program is there', async () => {
    const path = process.env.PATH;
    process.env.PATH = folder;
    try {
      const search = (program?: 'hmmer') =>
        searchFamily({ id: 'q', sequence: QUERY }, database, join(folder, 'x'), { program });
      await expect(search()).rejects.toThrow(
        'neither mmseqs (MMseqs2) nor jackhmmer (HMMER) is installed; install one: apt install mmseqs2, or hmmer',
      );
      await expect(search('hmmer')).rejects.toThrow('jackhmmer is not installed; install it: apt install hmmer');
    } finally {
      process.env.PATH = path;
    }
  });
});
