import { type Alphabet, PROTEIN, type Tokens } from './alphabet.js';

/** Sequences by index: what batches are made from. */
export interface SequenceSource {
  /** Number of sequences. */
  readonly size: number;
  /** Number of residues of sequence i. */
  length(i: number): number;
  /** `<cls> residues <eos>` of sequence i: [length(i) + 2] */
  tokens(i: number): Tokens;
  /** Identifier of sequence i. */
  name(i: number): string;
  /**
   * Indices of the sequences by cluster, where training shall draw one of each an epoch, as ESM-2 did of UniRef50's: a
   * sequence then weighs 1 / size of its cluster. Undefined where all are drawn.
   */
  readonly groups?: readonly Uint32Array[];
}

/** Sequences that are in memory, for example those of a small FASTA file, as a source of batches. */
export function sequencesInMemory(
  records: readonly { id: string; sequence: string }[],
  alphabet: Alphabet = PROTEIN,
): SequenceSource {
  return {
    size: records.length,
    length: (i) => records[i].sequence.length,
    tokens: (i) => alphabet.encode(records[i].sequence),
    name: (i) => records[i].id,
  };
}
