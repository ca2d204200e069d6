export {
  ALPHABET_NAMES,
  ALPHABETS,
  Alphabet,
  type AlphabetName,
  BYTES,
  NUCLEOTIDE,
  PROTEIN,
  RESIDUES,
  readVocabulary,
  type Tokens,
  writeVocabulary,
} from './alphabet.js';
export {
  type BatchCursor,
  type BatchOptions,
  bucketLengths,
  type EvaluationBatchOptions,
  evaluationBatches,
  microBatches,
  type Objective,
  type TokenBatch,
  type TrainingBatch,
  type TrainingBatchOptions,
  trainingBatches,
} from './batches.js';
export { type BuildOptions, type BuildProgress, buildStore, type SplitOptions } from './build.js';
export type { FileSource } from './byteStream.js';
export { cacheFolder, cacheStore } from './cache.js';
export { InputError } from './errors.js';
export { type FastaOptions, FastaRecord, type FastaSource, readFasta } from './fasta.js';
export type { InvalidLetters, LetterOptions, SequenceRecord } from './letters.js';
export { type MaskedTokens, type MaskingOptions, maskForEvaluation, maskForTraining } from './masking.js';
export { readNucleotides } from './nucleotides.js';
export { type ProteinOptions, type ProteinRecord, readProteins } from './proteins.js';
export { Random, type RandomState } from './random.js';
export { type ReadingOptions, readSequences } from './reading.js';
export {
  type BionodeRecord,
  SequenceStream,
  type StreamedSequence,
  sequencesFrom,
} from './sequenceStream.js';
export { type SequenceSource, sequencesInMemory } from './sequences.js';
export {
  type FastaStatistics,
  fastaStatistics,
  LENGTHS,
  type SequenceStatistics,
  type StatisticsOptions,
  storeStatistics,
} from './statistics.js';
export {
  openStore,
  SHARD_FILES,
  type ShardManifest,
  SPLITS,
  type SplitManifest,
  type SplitName,
  type StoreManifest,
  TokenStore,
} from './store.js';
export { type WarningCounts, Warnings } from './warnings.js';
