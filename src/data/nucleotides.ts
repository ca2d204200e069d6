import { BASES, NUCLEOTIDE } from './alphabet.js';
import { InputError } from './errors.js';
import type { FastaRecord, FastaSource } from './fasta.js';
import { type LetterOptions, type LetterRules, readLetters, type SequenceRecord } from './letters.js';

const LETTERS = NUCLEOTIDE.tokens.filter((token) => token.length === 1).join('');

/**
 * Reads DNA or RNA from FASTA, as `readLetters` says, in IUPAC's letters. Besides:
 *
 * - `U` becomes `T`: warning
 * - `X`, which some tools write for masked bases, becomes `N`: warning
 * - proteins are an error. A file is of proteins where of 20 letters or more a tenth are no code of a base, as of proteins
 *   a third are.
 *
 * @throws InputError with file, line, record and column
 */
export function readNucleotides(
  sources: FastaSource | readonly FastaSource[],
  options: LetterOptions = {},
): AsyncGenerator<SequenceRecord, void, undefined> {
  const proteins = new ProteinCheck();
  const rules: LetterRules = {
    letters: LETTERS,
    unknown: 'N',
    replaced: [
      { letter: 'U', by: 'T', warning: 'letter U (RNA), read as T' },
      { letter: 'X', by: 'N', warning: 'letter X (masked), read as N' },
    ],
    explain: (letter) =>
      `${JSON.stringify(letter)} is no letter of DNA or RNA (${LETTERS}U); correct it, or leave out ` +
      '--alphabet nucleotide where these are proteins',
    check: (sequence, record) => proteins.take(sequence, record),
  };
  return readLetters(sources, rules, options);
}

/** Whether there is a base to learn from, and not only gaps and unknown ones. */
export function hasBase(sequence: string): boolean {
  return HAS_BASE.test(sequence);
}

const HAS_BASE = new RegExp(`[${BASES}]`);

/** Letters that make it sure. */
const ENOUGH = 20;

/** Tells proteins by their letters, over as many records as it takes to be sure. */
class ProteinCheck {
  private total = 0;
  private foreign = 0;
  private file = '';

  take(sequence: string, record: FastaRecord): void {
    if (record.file !== this.file) {
      this.file = record.file;
      this.total = 0;
      this.foreign = 0;
    }
    const beginning = sequence.slice(0, 300);
    this.total += beginning.length;
    this.foreign += beginning.replace(/[^EFILPQ]/g, '').length;
    if (this.total < ENOUGH) {
      return;
    }
    if (this.foreign >= 0.1 * this.total) {
      throw new InputError(
        `${record.where}: this looks like a protein, DNA or RNA is needed; a protein model reads it ` +
          '(without --alphabet nucleotide)',
      );
    }
    this.total = 0;
    this.foreign = 0;
  }
}
