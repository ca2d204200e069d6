import { PROTEIN } from './alphabet.js';
import { InputError } from './errors.js';
import { type FastaOptions, type FastaRecord, type FastaSource, readFasta } from './fasta.js';
import { Warnings } from './warnings.js';

/** A protein as the model takes it. */
export interface ProteinRecord {
  /** The header's first word. */
  id: string;
  /** The whole header, the identifier included. */
  description: string;
  /** Upper-case letters of the alphabet, at least one. */
  sequence: string;
  file: string;
  /** Line of the header, counted from 1. */
  line: number;
}

/** What to do with a letter that the alphabet lacks: stop, leave the record out, or let it become `<unk>`. */
export type InvalidLetters = 'error' | 'skip' | 'unknown';

export interface ProteinOptions extends Omit<FastaOptions, 'warnings'> {
  /** Takes every case that has a default; a `strict` one turns each into an error. */
  warnings?: Warnings;
  /** Letters outside the alphabet; default `error`. */
  invalid?: InvalidLetters;
  /** Takes sequences that look like DNA or RNA; default false: an error. */
  nucleotides?: boolean;
  /**
   * Identifiers that come twice: `warn` counts them, `error` stops, `ignore` (default) does not look. Looking keeps
   * all identifiers in memory.
   */
  duplicates?: 'warn' | 'error' | 'ignore';
}

const INVALID = /[^LAGVSERTIDPKQNFYMHWCXBUZO.-]/;
/** The same in the letters as the file has them. */
const INVALID_RAW = /[^LAGVSERTIDPKQNFYMHWCXBUZOJ.-]/i;

/**
 * Reads proteins from FASTA, checked and ready to encode. What is done, and counted as a warning where it changes more
 * than the writing:
 *
 * - lower case (soft masking) becomes upper case, one `*` (stop) at the end is dropped: no warning
 * - `J` (leucine or isoleucine), which the alphabet lacks, becomes `X`: warning
 * - `-` and `.` are letters of the alphabet (gaps) and stay: warning
 * - a record without letters is left out: warning
 * - a record without identifier is named `record_N`: warning
 * - text before the first record and files without one: warning
 * - any other letter: `invalid`
 * - sequences that look like nucleotides: `nucleotides`. They do where of 20 letters or more at least 95 % are
 *   A, C, G, T, U or N, with A, C, G and T or U at 5 % or more each.
 *
 * @throws InputError with file, line, record and column
 */
export async function* readProteins(
  sources: FastaSource | readonly FastaSource[],
  options: ProteinOptions = {},
): AsyncGenerator<ProteinRecord, void, undefined> {
  const { warnings = new Warnings(), invalid = 'error', duplicates = 'ignore' } = options;
  const nucleotides = options.nucleotides ? undefined : new NucleotideCheck('nucleotides' in options);
  const seen = new Map<string, string>();
  for await (const record of readFasta(sources, { warnings, onBytes: options.onBytes })) {
    let { id, sequence } = record;
    sequence = sequence.toUpperCase();
    if (sequence.endsWith('*')) sequence = sequence.slice(0, -1);
    if (sequence === '') {
      warnings.add('empty sequence, skipped', record.where);
      continue;
    }
    nucleotides?.take(sequence, record);
    if (sequence.includes('J')) {
      sequence = sequence.replaceAll('J', 'X');
      warnings.add('letter J (leucine or isoleucine), read as X', record.where);
    }
    if (INVALID.test(sequence)) {
      if (invalid === 'error') throw invalidLetter(record, 'invalid' in options);
      if (invalid === 'skip') {
        warnings.add('letter outside the alphabet, sequence skipped', record.where);
        continue;
      }
      warnings.add('letter outside the alphabet, read as <unk>', record.where);
    }
    if (sequence.includes('-') || sequence.includes('.')) {
      warnings.add('gap (- or .) in a sequence, kept: is this an alignment?', record.where);
    }
    if (id === '') {
      id = `record_${record.number}`;
      warnings.add('no identifier, named record_N', record.where);
    }
    if (duplicates !== 'ignore') {
      const first = seen.get(id);
      if (first === undefined) seen.set(id, `${record.file}:${record.line}`);
      else if (duplicates === 'error') {
        throw new InputError(`${record.where}: the identifier is also at ${first}; give each sequence its own`);
      } else warnings.add('duplicate identifier, kept', `${record.where}, also at ${first}`);
    }
    const { description, file, line } = record;
    yield { id, description, sequence, file, line };
  }
}

const LETTERS = PROTEIN.tokens.filter((token) => token.length === 1).join('');

/** Letters of which it is known how they come into a sequence. */
const MISPLACED: Record<string, string> = {
  ';': '; in a sequence; comment lines are only possible before the first record, take them out',
  '#': '# in a sequence; comment lines are only possible before the first record, take them out',
  '>': '> inside a sequence; a header begins at the start of its line',
  '*': '* (stop) inside a sequence; translate one reading frame',
};

/** `offered`: whether the caller lets its user choose what becomes of such a letter. */
function invalidLetter(record: FastaRecord, offered: boolean): InputError {
  const index = record.sequence.search(INVALID_RAW);
  const { line, column } = record.locate(index);
  const letter = record.sequence[index]!;
  const what = MISPLACED[letter] ?? `${JSON.stringify(letter)} is no letter of a protein (${LETTERS}); correct it`;
  const choice = offered ? ', or take --invalid skip (leave the sequence out) or unknown (read it as <unk>)' : '';
  return new InputError(`${record.file}:${line}:${column}, record ${record.id || record.number}: ${what}${choice}`);
}

/** Letters that make the nucleotide check sure: a peptide of 20 has them all by chance once in 10^11. */
const ENOUGH = 20;

/** Tells DNA and RNA by their letters, over as many records as it takes to be sure. */
class NucleotideCheck {
  #total = 0;
  #counts = { A: 0, C: 0, G: 0, T: 0, N: 0 };
  #file = '';
  readonly #choice: string;

  /** `offered`: whether the caller lets its user take nucleotides. */
  constructor(offered: boolean) {
    this.#choice = offered ? ', or take --nucleotides' : '';
  }

  take(sequence: string, record: FastaRecord): void {
    if (record.file !== this.#file) this.#reset(record.file);
    const counts = this.#counts;
    const length = Math.min(sequence.length, 300);
    for (let i = 0; i < length; i++) {
      const letter = sequence[i]!;
      if (letter === 'A' || letter === 'C' || letter === 'G' || letter === 'T' || letter === 'N') counts[letter]++;
      else if (letter === 'U') counts.T++;
    }
    this.#total += length;
    if (this.#total < ENOUGH) return;
    const { A, C, G, T, N } = counts;
    const few = 0.05 * this.#total;
    if (A + C + G + T + N >= 0.95 * this.#total && Math.min(A, C, G, T) >= few) {
      throw new InputError(
        `${record.where}: this looks like DNA or RNA, proteins are needed; translate it first${this.#choice}`,
      );
    }
    this.#reset(record.file);
  }

  #reset(file: string): void {
    this.#file = file;
    this.#total = 0;
    this.#counts = { A: 0, C: 0, G: 0, T: 0, N: 0 };
  }
}
