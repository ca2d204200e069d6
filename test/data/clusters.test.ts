import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { trainingBatches } from '../../src/data/batches.js';
import { buildStore } from '../../src/data/build.js';
import { Clusters } from '../../src/data/clusters.js';
import { Holdout } from '../../src/data/holdout.js';
import { namesOf } from '../../src/data/names.js';
import { Random } from '../../src/data/random.js';
import { openStore, SPLITS } from '../../src/data/store.js';

const folder = mkdtempSync(join(tmpdir(), 'clusters-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, content: string | Uint8Array) => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

const random = new Random(3);
const protein = () => Array.from({ length: 30 }, () => 'ACDEFGHIKLMNPQRSTVWY'[random.int(20)]).join('');
/** 60 clusters of 1 to 5 sequences, in UniProt's headers. */
const clusters = Array.from({ length: 60 }, (_, c) =>
  Array.from({ length: 1 + (c % 5) }, (_, m) => ({ id: `P${String(10000 + 10 * c + m)}`, sequence: protein() })),
);
const members = clusters.flat();
const fasta = file(
  'all.fasta',
  members.map(({ id, sequence }) => `>sp|${id}|${id}_HUMAN some protein\n${sequence}\n`).join(''),
);
/** As MMseqs2 writes it: accessions. */
const tsv = file(
  'mmseqs_cluster.tsv',
  clusters.flatMap((one) => one.map(({ id }) => `${one[0].id}\t${id}\n`)).join(''),
);
/** As CD-HIT writes it, headers cut after 19 letters, or with -d 0 at the first space. */
const clstr = (cut?: number) =>
  clusters
    .map(
      (one, c) =>
        `>Cluster ${c}\n${one
          .map(
            ({ id }, m) => `${m}\t30aa, >${`sp|${id}|${id}_HUMAN`.slice(0, cut)}... ${m === 0 ? '*' : 'at 95.00%'}\n`,
          )
          .join('')}`,
    )
    .join('');

async function splitsOf(options: Parameters<typeof buildStore>[2], sources = [fasta]): Promise<Map<string, string>> {
  const out = join(folder, `store-${Math.random().toString(36).slice(2)}`);
  await buildStore(sources, out, options);
  const store = await openStore(out);
  const found = new Map<string, string>();
  for (const name of SPLITS) {
    const split = store.split(name);
    for (let i = 0; i < split.size; i++) {
      found.set(split.name(i).split('|')[1], name);
    }
  }
  store.close();
  return found;
}

describe('splits by cluster', () => {
  const files = [
    ['MMseqs2', tsv],
    ['MMseqs2, gzip', file('mmseqs_cluster.tsv.gz', gzipSync(readFileSync(tsv)))],
    ['CD-HIT', file('cut.clstr', clstr(19))],
    ['CD-HIT -d 0', file('whole.clstr', clstr())],
  ];
  it.each(files)('%s: no cluster is in two splits', async (_, path) => {
    const splits = await splitsOf({ clusters: path, fractions: { validation: 0.2, test: 0.2 } });
    expect(splits.size).toBe(members.length);
    for (const one of clusters) {
      expect(new Set(one.map(({ id }) => splits.get(id))).size).toBe(1);
    }
    expect(new Set(splits.values())).toEqual(new Set(['train', 'validation', 'test']));
    // By sequences they would be torn apart.
    const alone = await splitsOf({ fractions: { validation: 0.2, test: 0.2 } });
    expect(clusters.some((one) => new Set(one.map(({ id }) => alone.get(id))).size > 1)).toBe(true);
  });

  it.each(files)('%s: --holdout takes whole clusters', async (_, path) => {
    const splits = await splitsOf({ clusters: path, holdout: [clusters[9][2].id] });
    const out = [...splits].filter(([, split]) => split === 'ood').map(([id]) => id);
    expect(out.sort()).toEqual(clusters[9].map(({ id }) => id));
  });

  it.each([
    [
      'MMseqs2',
      clusters
        .slice(0, 7)
        .flatMap((one) => one.map(({ id }) => `${one[0].id}\t${id}\n`))
        .join(''),
    ],
    ['CD-HIT', clstr(19).split('>Cluster 7\n')[0]],
    ['CD-HIT -d 0', clstr().split('>Cluster 7\n')[0]],
  ])('%s given to --holdout holds out all members, not the representatives alone', async (name, text) => {
    const splits = await splitsOf({ holdout: [file(`held-${name}`, text)] });
    const out = [...splits].filter(([, split]) => split === 'ood').map(([id]) => id);
    expect(out.sort()).toEqual(
      clusters
        .slice(0, 7)
        .flat()
        .map(({ id }) => id)
        .sort(),
    );
  });

  it('weighs a sequence by 1 / size where asked: an epoch has one of each cluster', async () => {
    const out = join(folder, 'weighted');
    await buildStore([fasta], out, { clusters: tsv, clusterWeights: true, fractions: { validation: 0, test: 0 } });
    const store = await openStore(out);
    await store.verify();
    const train = store.split('train');
    const clusterOf = new Map(clusters.flatMap((one, c) => one.map(({ id }): [string, number] => [id, c])));
    for (const mode of ['single', 'packed'] as const) {
      const epochs: string[][] = [];
      for (const { sequences, cursor } of trainingBatches(train, {
        length: 32,
        tokensPerBatch: 32,
        seed: 1,
        mode,
        poolSize: 16,
      })) {
        if (cursor.epoch > 39) {
          break;
        }
        const epoch = cursor.index === 0 && cursor.offset === 0 ? cursor.epoch - 1 : cursor.epoch;
        epochs[epoch] ??= [];
        epochs[epoch].push(...Array.from(sequences, (i) => train.name(i).split('|')[1]));
      }
      if (mode === 'single') {
        for (const epoch of epochs.slice(0, 39)) {
          expect(epoch.map((id) => clusterOf.get(id)).sort((a, b) => a! - b!)).toEqual([...clusters.keys()]);
        }
      }
      // Over many epochs each member of a cluster of five comes about as often as any other.
      const seen = epochs.flat().filter((id) => clusterOf.get(id)! % 5 === 4);
      const counts = clusters[4].map(({ id }) => seen.filter((other) => other === id).length);
      expect(Math.min(...counts)).toBeGreaterThan(0);
      expect(Math.max(...counts)).toBeLessThan(25);
    }
    store.close();
  });
});

describe('names that do not tell', () => {
  const build = (header: string[], text: string, name = 'x.tsv') =>
    splitsOf({ clusters: file(name, text) }, [
      file('few.fasta', header.map((one) => `>${one}\n${protein()}\n`).join('')),
    ]);

  it.each<[string, string[], string, RegExp]>([
    [
      'a name of nobody',
      ['A', 'B'],
      'A\tA\nA\tB\nA\tC\n',
      /x\.tsv: 1 names are no sequence's \(first: C\); cluster the same/,
    ],
    ['a sequence in no cluster', ['A', 'B'], 'A\tA\n', /few\.fasta:3, record B: in no cluster of .*x\.tsv/],
    [
      'a name of two',
      ['pdb|1A3N|A', 'pdb|1A3N|B'],
      '1A3N\t1A3N\n',
      /x\.tsv: 1A3N may be .*few\.fasta:1, record pdb\|1A3N\|A or .*few\.fasta:3, record pdb\|1A3N\|B; give the sequences names/,
    ],
    [
      'a name in two clusters',
      ['A', 'B'],
      'A\tA\nA\tB\nC\tC\nC\tB\n',
      /x\.tsv: B is in two clusters; give each sequence/,
    ],
  ])('%s stops the build', async (_, headers, text, message) => {
    await expect(build(headers, text)).rejects.toThrow(message);
  });

  it('so does a name that CD-HIT cut, with the way out', async () => {
    const headers = ['generated_protein_number_1', 'generated_protein_number_2'];
    const cut = headers.map((header, i) => `${i}\t30aa, >${header.slice(0, 19)}... ${i === 0 ? '*' : 'at 95.00%'}\n`);
    await expect(build(headers, `>Cluster 0\n${cut.join('')}`, 'x.clstr')).rejects.toThrow(
      /x\.clstr: generated_protein_n may be .* \(CD-HIT may have cut it: -d 0 keeps names whole\)/,
    );
    await expect(
      build(headers, `>Cluster 0\n${cut[0]}>Cluster 1\n${cut[1].replace('at 95.00%', '*')}`, 'x.clstr'),
    ).rejects.toThrow(/x\.clstr: generated_protein_n is in two clusters \(CD-HIT may have cut it: -d 0/);
  });

  it('no file of clusters is refused', async () => {
    await expect(Clusters.read(file('list.txt', 'A\nB\n'))).rejects.toThrow(
      "list.txt: no clusters; MMseqs2's _cluster.tsv (representative, tab, member) or CD-HIT's .clstr is needed",
    );
    await expect(Clusters.read(file('bad.clstr', '>Cluster 0\nwhat\n'))).rejects.toThrow(
      'bad.clstr:2: no line of CD-HIT',
    );
  });
});

describe('forms of headers', () => {
  it.each([
    ['sp|P12345|A_HUMAN Protein OS=Homo', ['sp|P12345|A_HUMAN', 'P12345', 'A_HUMAN']],
    ['pdb|1A3N|A Chain A', ['pdb|1A3N|A', '1A3N_A', '1A3N', 'A']],
    ['UniRef50_P12345 Cluster: x n=3', ['UniRef50_P12345', 'P12345']],
    ['UniRef50_UPI00001 x', ['UniRef50_UPI00001', 'UPI00001']],
    ['AFDB:AF-P12345-F1 Protein', ['AFDB:AF-P12345-F1', 'AF-P12345-F1', 'P12345']],
    ['NP_1.1 one [Homo]\x01XP_2.1 other [Pan]', ['NP_1.1', 'XP_2.1']],
    ['1A3N_A mol:protein', ['1A3N_A']],
  ])('%s', (description, names) => {
    expect(namesOf(description)).toEqual(names);
  });

  it.each([
    ['P12345', 'sp|P12345-2|A_HUMAN isoform'],
    ['P12345-2', 'sp|P12345-2|A_HUMAN isoform'],
    ['P12345', 'UniRef50_P12345 Cluster'],
    ['P12345', 'AFDB:AF-P12345-F1 Protein'],
    ['1A3N_A', 'pdb|1A3N|A Chain'],
    ['XP_2.1', 'NP_1.1 one [Homo]\x01XP_2.1 other [Pan]'],
    ['XP_2', 'NP_1.1 one [Homo]\x01XP_2.1 other [Pan]'],
    ['Pan]', 'NP_1.1 one [Homo]\x01XP_2.1 other [from Pan]'],
  ])('--holdout %s takes %s', async (entry, description) => {
    const holdout = await Holdout.read([entry]);
    expect(holdout.matches(description, 'x')).toBe(true);
    expect(holdout.matches('sp|Q99999-2|B_HUMAN', 'x')).toBe(false);
    expect(holdout.unmatched()).toEqual([]);
  });
});
