import type { AlphabetName } from './alphabet.js';
import { filesBelow, readByteFiles } from './byteFiles.js';
import { type FileSource, sourceList } from './byteStream.js';
import { InputError } from './errors.js';
import type { FastaSource } from './fasta.js';
import type { SequenceRecord } from './letters.js';
import { hasBase, readNucleotides } from './nucleotides.js';
import { type ProteinOptions, readProteins } from './proteins.js';
import { SequenceStream } from './sequenceStream.js';
import { Warnings } from './warnings.js';

/** How files become sequences of an alphabet. */
export interface ReadingOptions extends ProteinOptions {
  /** Default `protein`. */
  alphabet?: AlphabetName;
  /**
   * Letters of a sequence at most: a longer one is cut into several, named by the letters' numbers from 1 on
   * (`chr1:1-16384`). `Infinity` leaves them whole. Default: 16,384 for nucleotides and bytes; proteins stay whole.
   */
  cut?: number;
  /** `bytes`: takes each line for a sequence, instead of each file. */
  lines?: boolean;
}

/** Letters that nucleotides and bytes are cut after: several rows of training, and many pieces to split by. */
export const DEFAULT_CUT = 16_384;

/** Where sequences are cut, undefined where they are not. */
export function cutOf({ alphabet = 'protein', cut }: Pick<ReadingOptions, 'alphabet' | 'cut'>): number | undefined {
  if (cut === undefined) {
    return alphabet === 'protein' ? undefined : DEFAULT_CUT;
  }
  return cut === Number.POSITIVE_INFINITY ? undefined : cut;
}

/**
 * Reads files as sequences of an alphabet, checked and ready to encode: proteins (`readProteins`) and nucleotides
 * (`readNucleotides`) from FASTA, bytes (`readByteFiles`) from files of any kind and folders of them.
 * @throws InputError with file, line, record and column
 */
export async function* readSequences(
  sources: FastaSource | readonly FastaSource[],
  options: ReadingOptions = {},
): AsyncGenerator<SequenceRecord, void, undefined> {
  const { alphabet = 'protein', warnings = new Warnings() } = options;
  const cut = cutOf(options);
  if (alphabet === 'bytes') {
    const { lines, onBytes } = options;
    yield* readByteFiles(byteFiles(sources), { cut, lines, onBytes });
    return;
  }
  const read = alphabet === 'nucleotide' ? readNucleotides : readProteins;
  for await (const record of read(sources, { ...options, warnings })) {
    for (const piece of cutSequence(record, cut)) {
      if (alphabet === 'nucleotide' && !hasBase(piece.sequence)) {
        warnings.add(
          'nothing but N and gaps, skipped',
          `${piece.file}${piece.line === 0 ? '' : `:${piece.line}`}, record ${piece.id}`,
        );
      } else {
        yield piece;
      }
    }
  }
}

/** The files to read: for bytes, those below a folder. */
export function inputFiles(
  sources: FastaSource | readonly FastaSource[],
  alphabet: AlphabetName = 'protein',
): FastaSource[] {
  return alphabet === 'bytes' ? byteFiles(sources) : sourceList(sources);
}

function byteFiles(sources: FastaSource | readonly FastaSource[]): FileSource[] {
  return filesBelow(
    sourceList(sources).map((source) => {
      if (source instanceof SequenceStream) {
        throw new InputError(`${source.name}: a stream of sequences, bytes come from files; name the files`);
      }
      return source;
    }),
  );
}

function* cutSequence(record: SequenceRecord, cut: number | undefined): Generator<SequenceRecord, void, undefined> {
  const { sequence, id } = record;
  if (cut === undefined || sequence.length <= cut) {
    yield record;
    return;
  }
  for (let from = 0; from < sequence.length; from += cut) {
    const piece = sequence.slice(from, from + cut);
    yield { ...record, id: `${id}:${from + 1}-${from + piece.length}`, sequence: piece };
  }
}
