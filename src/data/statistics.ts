import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDiskFull, writeError } from '../formats/fileErrors.js';
import { scratchFolder } from '../formats/temporary.js';
import { ALPHABETS, type Alphabet, type AlphabetName } from './alphabet.js';
import { DuplicateFinder } from './duplicates.js';
import { InputError } from './errors.js';
import { type FastaOptions, FastaRecord, type FastaSource, readFasta } from './fasta.js';
import { DATABASE } from './foreign.js';
import { hash53 } from './random.js';
import { readSequences } from './reading.js';
import { SPLITS, type SplitName, type TokenStore } from './store.js';

/** What sequences are like, as numbers. */
export interface SequenceStatistics {
  sequences: number;
  residues: number;
  /** Of the sequences that are not empty, in residues; quantiles are interpolated as NumPy's are. */
  length: Record<(typeof LENGTHS)[number], number>;
  /** The alphabet's standard letters: number, and share of all letters. Of bytes those that occur. */
  composition: Record<string, { count: number; fraction: number }>;
  /** All other letters, upper case: number, and how many sequences have them where it is known. */
  unusual: Record<string, { count: number; sequences?: number }>;
}

export interface FastaStatistics extends SequenceStatistics {
  /** Records without a letter. They count as sequences. */
  empty: number;
  /** Records whose identifier came before. */
  duplicateIdentifiers: number;
  /** Sequences that came before, letter for letter. */
  duplicateSequences: number;
  /** Letters in lower case. */
  lowerCase: number;
}

export const LENGTHS = ['min', 'q05', 'q25', 'median', 'mean', 'q75', 'q95', 'max'] as const;

/** A character's code is below this. */
const CODES = 2 ** 16;

const QUANTILES = { min: 0, q05: 0.05, q25: 0.25, median: 0.5, q75: 0.75, q95: 0.95, max: 1 };

export interface StatisticsOptions extends FastaOptions {
  /** Which letters are standard; default `protein`. Of `bytes` the files may be of any kind. */
  alphabet?: AlphabetName;
  /** `bytes`: a sequence is a line; see `readByteFiles`. */
  lines?: boolean;
  onSequences?: (sequences: number) => void;
}

/**
 * Statistics of FASTA files as they are: nothing is corrected, and no letter is an error. One pass, in memory that does
 * not grow with the number of sequences.
 */
export async function fastaStatistics(
  sources: FastaSource | readonly FastaSource[],
  options: StatisticsOptions = {},
): Promise<FastaStatistics> {
  const alphabet = ALPHABETS[options.alphabet ?? 'protein'];
  const bytes = alphabet.name === 'bytes';
  const records = bytes ? readSequences(sources, options) : readFasta(sources, options);
  const scratch = scratchFolder(join(tmpdir(), 'protein-lm'));
  try {
    const names = new DuplicateFinder(scratch.folder, 'names');
    const sequences = new DuplicateFinder(scratch.folder, 'sequences');
    const lengths = new Lengths();
    // By character code: how often, in how many sequences, and in which one last.
    const counts = new Float64Array(CODES);
    const inSequences = new Float64Array(CODES);
    const lastIn = new Float64Array(CODES);
    let lowerCase = 0;
    let count = 0;
    let empty = 0;
    for await (const record of records) {
      const { id, sequence } = record;
      if (record instanceof FastaRecord && record.endsEntry) {
        throw new InputError(`${record.where}: ${DATABASE}`);
      }
      names.add(hash53(Buffer.from(id)), count++);
      options.onSequences?.(count);
      if (sequence === '') {
        empty++;
        continue;
      }
      sequences.add(hash53(Buffer.from(bytes ? sequence : sequence.toUpperCase())), count);
      lengths.add(sequence.length);
      for (let i = 0; i < sequence.length; i++) {
        let code = sequence.charCodeAt(i);
        if (!bytes && code >= 97 && code <= 122) {
          code -= 32;
          lowerCase++;
        }
        counts[code]++;
        if (lastIn[code] !== count) {
          lastIn[code] = count;
          inSequences[code]++;
        }
      }
    }
    const letters = new Map<string, { count: number; sequences: number }>();
    counts.forEach((times, code) => {
      const letter = bytes ? alphabet.tokens[code + alphabet.storedOffset] : String.fromCharCode(code);
      if (times > 0) {
        letters.set(letter, { count: times, sequences: inSequences[code] });
      }
    });
    return {
      ...summary(alphabet, count, lengths, letters),
      empty,
      duplicateIdentifiers: countOf(names.duplicates()),
      duplicateSequences: countOf(sequences.duplicates()),
      lowerCase,
    };
  } catch (error) {
    throw isDiskFull(error) ? writeError(error, join(tmpdir(), 'protein-lm')) : error;
  } finally {
    scratch.remove();
  }
}

/** Statistics of each split of a store. */
export function storeStatistics(store: TokenStore): Record<SplitName, SequenceStatistics> {
  const ofSplit = (name: SplitName) => {
    const split = store.split(name);
    const lengths = new Lengths();
    for (let i = 0; i < split.size; i++) {
      lengths.add(split.length(i));
    }
    const letters = Object.entries(store.manifest.splits[name].composition);
    return summary(store.alphabet, split.size, lengths, new Map(letters.map(([letter, count]) => [letter, { count }])));
  };
  return Object.fromEntries(SPLITS.map((name) => [name, ofSplit(name)])) as Record<SplitName, SequenceStatistics>;
}

function summary(
  alphabet: Alphabet,
  sequences: number,
  lengths: Lengths,
  letters: Map<string, { count: number; sequences?: number }>,
): SequenceStatistics {
  const residues = lengths.total;
  const composition: SequenceStatistics['composition'] = {};
  const standard = Array.from(alphabet.residues, (id) => alphabet.tokens[id]);
  for (const letter of standard) {
    const count = letters.get(letter)?.count ?? 0;
    if (count === 0 && alphabet.name === 'bytes') {
      continue;
    }
    composition[letter] = { count, fraction: residues === 0 ? 0 : count / residues };
  }
  const unusual = [...letters].filter(([letter]) => !standard.includes(letter));
  unusual.sort(([, a], [, b]) => b.count - a.count);
  return { sequences, residues, length: lengths.statistics(), composition, unusual: Object.fromEntries(unusual) };
}

function countOf(items: Iterable<unknown>): number {
  let count = 0;
  for (const _ of items) {
    count++;
  }
  return count;
}

/** How many sequences have each length: what quantiles follow from, in memory for the different lengths. */
class Lengths {
  total = 0;
  private size = 0;
  private readonly counts = new Map<number, number>();

  add(length: number): void {
    this.total += length;
    this.size++;
    this.counts.set(length, (this.counts.get(length) ?? 0) + 1);
  }

  statistics(): SequenceStatistics['length'] {
    const sorted = [...this.counts].sort(([a], [b]) => a - b);
    /** The length at a rank, counted from 0. */
    const at = (rank: number) => {
      let before = 0;
      for (const [length, count] of sorted) {
        before += count;
        if (rank < before) {
          return length;
        }
      }
      return 0;
    };
    const quantile = (q: number) => {
      const rank = q * (this.size - 1);
      const low = at(Math.floor(rank));
      return low + (rank - Math.floor(rank)) * (at(Math.ceil(rank)) - low);
    };
    const quantiles = Object.entries(QUANTILES).map(([name, q]) => [name, this.size === 0 ? 0 : quantile(q)]);
    const values = Object.fromEntries(quantiles);
    values.mean = this.size === 0 ? 0 : this.total / this.size;
    return Object.fromEntries(LENGTHS.map((name) => [name, values[name]])) as SequenceStatistics['length'];
  }
}
