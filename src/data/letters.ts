import { InputError } from './errors.js';
import { type FastaOptions, type FastaRecord, type FastaSource, readFasta } from './fasta.js';
import { DATABASE } from './foreign.js';
import { Warnings } from './warnings.js';

/** A sequence as a model takes it. */
export interface SequenceRecord {
  /** The header's first word; of a file's bytes its path. */
  id: string;
  /** The whole header, the identifier included. */
  description: string;
  /** Upper-case letters of the alphabet, at least one; bytes as one character each. */
  sequence: string;
  file: string;
  /** Line of the header, counted from 1; 0 where the sequence comes from a stream of objects, which tells none. */
  line: number;
  /** Places (0-based) where the file has `<mask>` and `sequence` the unknown letter, with `LetterOptions.masks`. */
  masked?: number[];
}

/** What to do with a letter that the alphabet lacks: stop, leave the record out, or let it become `<unk>`. */
export type InvalidLetters = 'error' | 'skip' | 'unknown';

export interface LetterOptions extends Omit<FastaOptions, 'warnings'> {
  /** Takes every case that has a default; a `strict` one turns each into an error. */
  warnings?: Warnings;
  /** Letters outside the alphabet; default `error`. */
  invalid?: InvalidLetters;
  /**
   * Takes the rows of an alignment (A3M, A2M, Stockholm) for sequences: without gaps, insertions in upper case. Default
   * false: an A3M or A2M file is an error, and gaps are letters.
   */
  unaligned?: boolean;
  /** Takes `<mask>` for one residue that is not known, instead of letters outside the alphabet. */
  masks?: boolean;
  /**
   * Identifiers that come twice: `warn` counts them, `error` stops, `ignore` (default) does not look. Looking keeps
   * all identifiers in memory.
   */
  duplicates?: 'warn' | 'error' | 'ignore';
}

/** How sequences of one alphabet are written in FASTA. */
export interface LetterRules {
  /** The letters that a sequence may have, upper case, without those that are replaced. */
  letters: string;
  /** The letter of anything. */
  unknown: string;
  /** A sequence's end that is dropped. */
  end?: string;
  /** Letters that are read as another one, with a warning. */
  replaced: { letter: string; by: string; warning: string }[];
  /** What is wrong with a letter, for an error: why it is none, and what to do. */
  explain(letter: string): string;
  /** Looks at each sequence, in upper case, and throws where the file is of another alphabet. */
  check?(sequence: string, record: FastaRecord): void;
}

/** The warning of a sequence that `invalid: 'skip'` leaves out. */
export const SKIPPED = 'letter outside the alphabet, sequence skipped';

/** A set of characters in a regular expression, with `-` where it means itself. */
const charactersOf = (letters: string) => `${letters.replace('-', '')}-`;

/**
 * Reads sequences from FASTA, checked and ready to encode. What is done, and counted as a warning where it changes more
 * than the writing:
 *
 * - lower case (soft masking) becomes upper case, the rules' `end` is dropped: no warning
 * - letters that the rules replace: warning
 * - `-` and `.` are letters of the alphabets (gaps) and stay: warning
 * - a record without letters is left out: warning
 * - a record without identifier is named `record_N`: warning
 * - text before the first record and files without one: warning
 * - any other letter: `invalid`
 *
 * @throws InputError with file, line, record and column
 */
export async function* readLetters(
  sources: FastaSource | readonly FastaSource[],
  rules: LetterRules,
  options: LetterOptions = {},
): AsyncGenerator<SequenceRecord, void, undefined> {
  const { warnings = new Warnings(), invalid = 'error', duplicates = 'ignore' } = options;
  const invalidLetters = new RegExp(`[^${charactersOf(rules.letters)}]`);
  const seen = new Map<string, string>();
  const alignment = options.unaligned ? undefined : new AlignmentCheck('unaligned' in options);
  const { onBytes, unaligned } = options;
  for await (const record of readFasta(sources, { warnings, onBytes, unaligned })) {
    let { id, sequence } = record;
    if (record.endsEntry) {
      throw new InputError(`${record.where}: ${DATABASE}`);
    }
    alignment?.take(record);
    if (unaligned) {
      sequence = sequence.replace(/[-.]/g, '');
    }
    sequence = sequence.toUpperCase();
    if (rules.end !== undefined && sequence.endsWith(rules.end)) {
      sequence = sequence.slice(0, -rules.end.length);
    }
    let masked: number[] | undefined;
    if (options.masks) {
      const parts = sequence.split('<MASK>');
      masked = parts.slice(1).map((_, i) => parts.slice(0, i + 1).join(' ').length);
      sequence = parts.join(rules.unknown);
    }
    if (sequence === '') {
      warnings.add('empty sequence, skipped', record.where);
      continue;
    }
    rules.check?.(sequence, record);
    for (const { letter, by, warning } of rules.replaced) {
      if (!sequence.includes(letter)) {
        continue;
      }
      sequence = sequence.replaceAll(letter, by);
      warnings.add(warning, record.where);
    }
    if (invalidLetters.test(sequence)) {
      if (invalid === 'error') {
        throw invalidLetter(record, rules, 'invalid' in options);
      }
      if (invalid === 'skip') {
        warnings.add(SKIPPED, record.where);
        continue;
      }
      warnings.add('letter outside the alphabet, read as <unk>', record.where);
    }
    if (LINKER.test(sequence)) {
      warnings.add('20 glycines or more in a row: are these chains joined by a linker?', record.where);
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
      if (first === undefined) {
        seen.set(id, record.place);
      } else if (duplicates === 'error') {
        throw new InputError(`${record.where}: the identifier is also at ${first}; give each sequence its own`);
      } else {
        warnings.add('duplicate identifier, kept', `${record.where}, also at ${first}`);
      }
    }
    const { description, file, line } = record;
    yield { id, description, sequence, file, line, ...(masked && { masked }) };
  }
}

/** What ESMFold joins the chains of a complex by: 25 glycines, of no protein's own. */
const LINKER = /G{20}/;

/** Tells A3M and A2M by their first records: as many columns in each, gaps, and insertions. */
class AlignmentCheck {
  private file = '';
  private records = 0;
  private columns = 0;
  private gaps = false;
  private insertions = false;
  private readonly offered: boolean;

  /** `offered`: whether the caller lets its user read the rows as sequences. */
  constructor(offered: boolean) {
    this.offered = offered;
  }

  take({ sequence, file, where }: FastaRecord): void {
    if (file !== this.file) {
      this.file = file;
      this.records = 0;
      this.gaps = false;
      this.insertions = false;
    }
    if (this.records === Number.POSITIVE_INFINITY) {
      return;
    }
    const columns = sequence.replace(/[^A-Z-]/g, '').length;
    this.records = this.records > 0 && columns !== this.columns ? Number.POSITIVE_INFINITY : this.records + 1;
    this.columns = columns;
    this.gaps ||= sequence.includes('-');
    this.insertions ||= /[a-z.]/.test(sequence);
    const isNamed = /\.(a3m|a2m)(\.gz)?$/i.test(file);
    if (this.records > 1 && this.records !== Number.POSITIVE_INFINITY && this.gaps && (this.insertions || isNamed)) {
      const choice = this.offered ? ', or give --unaligned to read its rows as proteins' : '';
      throw new InputError(`${where}: this is an alignment (A3M or A2M); score --alignment reads it${choice}`);
    }
  }
}

/** Letters of which it is known how they come into a sequence. */
const MISPLACED: Record<string, string> = {
  ';': '; in a sequence; comment lines are only possible before the first record, take them out',
  '#': '# in a sequence; comment lines are only possible before the first record, take them out',
  ':': ': in a sequence joins the chains of a complex; give each chain a record of its own',
  '/': '/ in a sequence joins the chains of a complex; give each chain a record of its own',
  '>': '> inside a sequence; a header begins at the start of its line',
};

/** `offered`: whether the caller lets its user choose what becomes of such a letter. */
function invalidLetter(record: FastaRecord, rules: LetterRules, offered: boolean): InputError {
  const replaced = rules.replaced.map(({ letter }) => letter).join('');
  const index = record.sequence.search(new RegExp(`[^${charactersOf(rules.letters + replaced)}]`, 'i'));
  const letter = record.sequence[index];
  const isMask = record.sequence.slice(index, index + 6).toLowerCase() === '<mask>';
  const what = isMask
    ? `<mask> in a sequence; score --fill tells what stands there, elsewhere write the unknown letter ${rules.unknown}`
    : (MISPLACED[letter] ?? rules.explain(letter));
  const choice = offered ? ', or take --invalid skip (leave the sequence out) or unknown (read it as <unk>)' : '';
  return new InputError(`${record.whereLetter(index)}: ${what}${choice}`);
}
