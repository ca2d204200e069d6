import { PROTEIN } from './alphabet.js';
import { InputError } from './errors.js';
import type { FastaRecord, FastaSource } from './fasta.js';
import { type LetterOptions, type LetterRules, readLetters, type SequenceRecord } from './letters.js';

/** A protein as the model takes it. */
export type ProteinRecord = SequenceRecord;

export interface ProteinOptions extends LetterOptions {
  /** Takes sequences that look like DNA or RNA; default false: an error. */
  nucleotides?: boolean;
}

const LETTERS = PROTEIN.tokens.filter((token) => token.length === 1).join('');

/**
 * Reads proteins from FASTA, as `readLetters` says. Besides:
 *
 * - one `*` (stop) at the end is dropped: no warning
 * - `J` (leucine or isoleucine), which the alphabet lacks, becomes `X`: warning
 * - sequences that look like nucleotides: `nucleotides`. They do where of 20 letters or more at least 95 % are
 *   A, C, G, T, U or N, with A, C, G and T or U at 5 % or more each.
 *
 * @throws InputError with file, line, record and column
 */
export function readProteins(
  sources: FastaSource | readonly FastaSource[],
  options: ProteinOptions = {},
): AsyncGenerator<ProteinRecord, void, undefined> {
  const nucleotides = options.nucleotides ? undefined : new NucleotideCheck('nucleotides' in options);
  const rules: LetterRules = {
    letters: LETTERS,
    unknown: 'X',
    end: '*',
    replaced: [{ letter: 'J', by: 'X', warning: 'letter J (leucine or isoleucine), read as X' }],
    explain: (letter) =>
      letter === '*'
        ? '* (stop) inside a sequence; translate one reading frame'
        : `${JSON.stringify(letter)} is no letter of a protein (${LETTERS}); correct it`,
    check: (sequence, record) => nucleotides?.take(sequence, record),
  };
  return readLetters(sources, rules, options);
}

/** Letters that make it sure: a peptide of 20 has them all by chance once in 10^11. */
const ENOUGH = 20;

/** Counts letters to tell DNA and RNA from proteins. */
export class NucleotideTally {
  private total = 0;
  private counts = { A: 0, C: 0, G: 0, T: 0, N: 0 };

  /** Counts the first letters of an upper-case sequence; nothing of it may be a gap. */
  add(sequence: string): void {
    const counts = this.counts;
    const length = Math.min(sequence.length, 300);
    for (let i = 0; i < length; i++) {
      const letter = sequence[i];
      if (letter === 'A' || letter === 'C' || letter === 'G' || letter === 'T' || letter === 'N') {
        counts[letter]++;
      } else if (letter === 'U') {
        counts.T++;
      }
    }
    this.total += length;
  }

  /** Whether what was counted looks like DNA or RNA; undefined while it is too little to say. */
  get isNucleotide(): boolean | undefined {
    if (this.total < ENOUGH) {
      return undefined;
    }
    const { A, C, G, T, N } = this.counts;
    return A + C + G + T + N >= 0.95 * this.total && Math.min(A, C, G, T) >= 0.05 * this.total;
  }
}

/** Tells DNA and RNA by their letters, over as many records as it takes to be sure. */
class NucleotideCheck {
  private tally = new NucleotideTally();
  private file = '';
  private readonly advice: string;

  /** `offered`: whether the caller lets its user take nucleotides. */
  constructor(offered: boolean) {
    this.advice = offered
      ? 'give --alphabet nucleotide, or translate it first (--nucleotides reads the letters as amino acids all the same)'
      : 'translate it first, or use a model that was trained with --alphabet nucleotide';
  }

  take(sequence: string, record: FastaRecord): void {
    if (record.file !== this.file) {
      this.file = record.file;
      this.tally = new NucleotideTally();
    }
    this.tally.add(sequence);
    if (this.tally.isNucleotide === undefined) {
      return;
    }
    if (this.tally.isNucleotide) {
      throw new InputError(`${record.where}: this looks like DNA or RNA, proteins are needed; ${this.advice}`);
    }
    this.tally = new NucleotideTally();
  }
}
